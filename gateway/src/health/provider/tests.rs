//! What providers really answer, what their documentation says that they do, and
//! what nobody should.

mod any;
mod fitbit;
mod google_health;
mod oura;
mod strava;

use serde_json::value::RawValue;
use tidegate_protocol::time::Timestamp;

use crate::health::activity::Activity;
use crate::health::date::Sent;
use crate::health::fact::{Context, DaySamples, DayValues, Facts, Night, What};

/// A page of one kind of items.
type Read = fn(&[Box<RawValue>], &Context) -> Facts;

/// The time in these tests.
const NOW: &str = "2026-11-20T12:00:00Z";

fn context() -> Context {
    Context { now: at(NOW), zone: None, items_max: None, may_name_all: false }
}

fn context_in(zone: chrono_tz::Tz) -> Context {
    Context { zone: Some(zone), ..context() }
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_millis(ms(text))
}

fn ms(text: &str) -> i64 {
    Sent::parse(text).unwrap().at_ms
}

/// A list of items.
fn list(text: &str) -> Vec<Box<RawValue>> {
    serde_json::from_str(text).unwrap()
}

/// An item with some fields put in place of those of the same name. A field that
/// comes last counts.
fn with(item: &str, fields: &str) -> String {
    let open = item.trim_end().strip_suffix('}').unwrap();
    format!("{open}, {fields}}}")
}

fn whats(facts: Facts) -> Vec<What> {
    assert_eq!(facts.errors, [], "{:?}", facts.facts);
    facts.facts.into_iter().map(|fact| fact.what).collect()
}

/// What a page of one item says.
fn only(read: Read, item: &str, context: &Context) -> What {
    let facts = read(&list(&format!("[{item}]")), context);
    assert_eq!((facts.total, facts.ignored), (1, 0));
    let [what] = whats(facts).try_into().unwrap();
    what
}

fn activity(read: Read, item: &str, context: &Context) -> Activity {
    let What::Activity(activity) = only(read, item, context) else { panic!("no activity") };
    assert_eq!(activity.raw, item);
    *activity
}

fn night(read: Read, item: &str, context: &Context) -> Night {
    let What::Night(night) = only(read, item, context) else { panic!("no night") };
    *night
}

fn values(read: Read, item: &str, context: &Context) -> DayValues {
    let What::Values(values) = only(read, item, context) else { panic!("no values") };
    values
}

fn samples(what: &What) -> &DaySamples {
    let What::Samples(samples) = what else { panic!("no samples") };
    samples
}

/// The field at fault of the only item of a page.
fn fault(read: Read, item: &str, context: &Context) -> String {
    let facts = read(&list(&format!("[{item}]")), context);
    assert_eq!(facts.facts, [], "{item}");
    assert_eq!((facts.total, facts.ignored, facts.errors.len()), (1, 0, 1), "{item}");
    let [error] = facts.errors.try_into().unwrap();
    assert_eq!(error.index, 0);
    assert!(!error.reason.is_empty());
    error.field
}
