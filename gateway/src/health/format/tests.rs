//! Bodies, good and bad, and what becomes of them.

use serde_json::{Value as Json, json};
use tidegate_protocol::time::Timestamp;

use crate::health::activity::Activity;
use crate::health::fact::{Context, DaySamples, DayValues, Facts, Night, Refusal, What};
use crate::health::field::{Field, Value};
use crate::health::format::{Format, read};

mod any_body;
mod entries;
mod hc_webhook;
mod health_auto_export;
mod native;
mod open_wearables;
mod stages;
mod units;
mod workouts;
mod zuralog;

/// 2026-05-20T12:00:00Z: a Wednesday noon; it is the 21st at UTC+14.
const NOW: Timestamp = Timestamp::from_millis(1_779_278_400_000);

fn context() -> Context {
    Context { now: NOW, zone: None, items_max: Some(500), may_name_all: false }
}

fn take_in(context: &Context, format: Format, body: &Json) -> Facts {
    let facts = read(format, &body.to_string(), context).unwrap();
    assert_sums(&facts);
    facts
}

fn take(format: Format, body: &Json) -> Facts {
    take_in(&context(), format, body)
}

/// Each item is counted once.
fn assert_sums(facts: &Facts) {
    let taken: u64 = facts.facts.iter().map(|fact| u64::from(fact.items)).sum();
    let wrong = facts.errors.len() as u64 + facts.unlisted;
    assert_eq!(facts.total, taken + facts.ignored + wrong);
}

fn refused(format: Format, body: &Json) -> Refusal {
    read(format, &body.to_string(), &context()).unwrap_err()
}

/// Where faults are, as `list[index].field`.
fn faults(facts: &Facts) -> Vec<String> {
    let errors = facts.errors.iter();
    errors.map(|error| format!("{}[{}].{}", error.list, error.index, error.field)).collect()
}

fn activities(facts: &Facts) -> Vec<&Activity> {
    let found = facts.facts.iter().filter_map(|fact| match &fact.what {
        What::Activity(activity) => Some(&**activity),
        _ => None,
    });
    found.collect()
}

fn nights(facts: &Facts) -> Vec<&Night> {
    let found = facts.facts.iter().filter_map(|fact| match &fact.what {
        What::Night(night) => Some(&**night),
        _ => None,
    });
    found.collect()
}

fn values(facts: &Facts) -> Vec<&DayValues> {
    let found = facts.facts.iter().filter_map(|fact| match &fact.what {
        What::Values(values) => Some(values),
        _ => None,
    });
    found.collect()
}

/// Each value as `date field value`.
fn told(facts: &Facts) -> Vec<String> {
    let mut told = Vec::new();
    for DayValues { date, values, .. } in values(facts) {
        for (field, value) in values {
            let value = value.as_ref().map_or(Json::Null, Value::json);
            told.push(format!("{date} {field} {value}"));
        }
    }
    told
}

/// Each sum as `date field origin [key=thousandths, …]`.
fn summed(facts: &Facts) -> Vec<String> {
    let mut summed = Vec::new();
    for fact in &facts.facts {
        if let What::Samples(DaySamples { date, field, origin, points, .. }) = &fact.what {
            let points: Vec<_> = points.iter().map(|(key, part)| format!("{key}={part}")).collect();
            let origin = if origin.is_empty() { String::new() } else { format!("{origin} ") };
            summed.push(format!("{date} {field} {origin}[{}]", points.join(", ")));
        }
    }
    summed
}

fn ms(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
}
