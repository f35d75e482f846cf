//! Google Health's data points: exercise, sleep, steps, weight.
//!
//! 64-bit integers come as texts, durations and offsets as `1303s`.

mod sleep;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde_json::value::RawValue;
use tidegate_protocol::time::Timestamp;

use crate::health::activity::{Activity, google_health};
use crate::health::date::Sent;
use crate::health::fact::{Context, DaySamples, DayValues, Fact, Facts, Night, What};
use crate::health::field::{Field, half_up, thousandths};
use crate::health::item::{Item, Wrong};
use crate::health::provider::{
    MOST, Span, activity, amount, day_of, each, heart_rate, id, inside, offset, part, refused,
    time, word,
};
use crate::health::source::Source;

/// What sums of steps are remembered by.
const CHANNEL: &str = "google_health";

/// Reads data points of `exercise`.
pub fn exercise(items: &[Box<RawValue>], context: &Context) -> Facts {
    each("exercise", items, |point, raw| {
        let (id, device) = (name(point)?, device(point));
        let workout = inside(point, "exercise", |item| workout(item, id, raw, context))?;
        Ok(Some(What::Activity(Box::new(Activity { device, ..workout }))))
    })
}

/// Reads data points of `sleep`: nights and naps.
pub fn sleep(items: &[Box<RawValue>], context: &Context) -> Facts {
    each("sleep", items, |point, _| {
        let (id, device) = (name(point)?, device(point));
        let night = inside(point, "sleep", |item| sleep::night(item, id, context))?;
        let source_devices = device.into_iter().collect();
        Ok(Some(What::Night(Box::new(Night { source_devices, ..night }))))
    })
}

/// Reads data points of `weight`.
pub fn weight(items: &[Box<RawValue>], context: &Context) -> Facts {
    each("weight", items, |point, _| {
        inside(point, "weight", |item| weighed(item, context)).map(|said| Some(What::Values(said)))
    })
}

/// Reads data points of `steps`: those of one day and one source add up, and are
/// one fact. What comes twice counts once.
pub fn steps(items: &[Box<RawValue>], context: &Context) -> Facts {
    let mut facts = Facts::default();
    let mut days = BTreeMap::<(NaiveDate, String), (u32, BTreeMap<String, i64>)>::new();
    for (index, raw) in items.iter().enumerate() {
        facts.total += 1;
        let read = Item::read(raw).and_then(|point| {
            let walked = inside(&point, "steps", |item| walked(item, context))?;
            Ok((origin(&point), walked))
        });
        match read {
            Ok((origin, walked)) => {
                let (items, points) = days.entry((walked.date, origin)).or_default();
                *items += 1;
                points.insert(walked.key, walked.count);
            }
            Err(wrong) => facts.errors.push(refused("steps", index, wrong)),
        }
    }
    for ((date, origin), (items, points)) in days {
        let points = points.into_iter().collect();
        let what = What::Samples(day_of_steps(date, origin, points));
        facts.facts.push(Fact { items, what });
    }
    facts
}

fn day_of_steps(date: NaiveDate, origin: String, points: Vec<(String, i64)>) -> DaySamples {
    let (source, field) = (Source::GoogleHealth, Field::Steps);
    DaySamples { date, source, field, channel: CHANNEL, origin, points }
}

/// The id of a data point: the last part of its name. Lists of what was
/// reconciled call the name otherwise.
fn name(point: &Item<'_>) -> Result<String, Wrong> {
    let field = if point.get("name").is_some() { "name" } else { "dataPointName" };
    let name = id(point, field).map_err(|wrong| Wrong::new("name", wrong.reason))?;
    let last = name.rsplit('/').next().filter(|last| !last.is_empty());
    last.map(str::to_owned).ok_or_else(|| Wrong::new("name", "a text is required"))
}

fn workout(
    item: &Item<'_>,
    source_id: String,
    raw: &RawValue,
    context: &Context,
) -> Result<Activity, Wrong> {
    let (span, date) = inside(item, "interval", |interval| {
        let span = span(interval, context)?;
        let date = span.first_day("startTime", context)?;
        Ok((span, date))
    })?;
    let plain = activity(Source::GoogleHealth, source_id, date, &span, raw);
    let sport = word(item, "exerciseType").unwrap_or_default();
    let metrics = part(item, "metricsSummary");
    Ok(Activity {
        activity_type: google_health::of(&sport),
        sport,
        duration_s: duration(item, "activeDuration").map_or(plain.elapsed_s, half_up),
        distance_m: amount(&metrics, "distanceMillimeters", 1_000.0),
        calories_kcal: amount(&metrics, "caloriesKcal", 1.0),
        avg_heart_rate: heart_rate(&metrics, "averageHeartRateBeatsPerMinute"),
        ..plain
    })
}

fn span(interval: &Item<'_>, context: &Context) -> Result<Span, Wrong> {
    let start = local(interval, "startTime", "startUtcOffset")?;
    let end = local(interval, "endTime", "endUtcOffset")?;
    Span::new(("startTime", start), ("endTime", end), context)
}

fn local(item: &Item<'_>, name: &str, offset_name: &str) -> Result<Sent, Wrong> {
    Ok(time(item, name)?.with_offset(protobuf_s(item, offset_name).and_then(offset)))
}

/// A length of time: `1303s`, `0.5s`.
fn duration(item: &Item<'_>, name: &str) -> Option<f64> {
    protobuf_s(item, name).filter(|seconds| (0.0..=MOST).contains(seconds))
}

fn protobuf_s(item: &Item<'_>, name: &str) -> Option<f64> {
    let text = item.text(name).ok().flatten()?;
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    seconds.is_finite().then_some(seconds)
}

/// What recorded a data point: the device, else the app.
fn device(point: &Item<'_>) -> Option<String> {
    let source = part(point, "dataSource");
    let app = || word(&part(&source, "application"), "packageName");
    word(&part(&source, "device"), "displayName").or_else(app)
}

/// Who measured, in one text.
fn origin(point: &Item<'_>) -> String {
    let source = part(point, "dataSource");
    let platform = word(&source, "platform").unwrap_or_default();
    let device = word(&part(&source, "device"), "displayName").unwrap_or_default();
    let app = word(&part(&source, "application"), "packageName").unwrap_or_default();
    format!("{platform}/{device}/{app}")
}

/// Steps of one interval.
struct Walked {
    date: NaiveDate,
    key: String,
    /// In thousandths.
    count: i64,
}

fn walked(item: &Item<'_>, context: &Context) -> Result<Walked, Wrong> {
    let (date, key) = inside(item, "interval", |interval| {
        let date = span(interval, context)?.first_day("startTime", context)?;
        // Not from the span, whose end moves while the interval lasts.
        let [start, end] = [time(interval, "startTime")?, time(interval, "endTime")?];
        Ok((date, format!("{}/{}", start.at_ms, end.at_ms)))
    })?;
    let count = item.number_or_text("count")?.unwrap_or(f64::NAN);
    Field::Steps.number(count).map_err(|reason| Wrong::new("count", reason))?;
    Ok(Walked { date, key, count: thousandths(count) })
}

fn weighed(item: &Item<'_>, context: &Context) -> Result<DayValues, Wrong> {
    let (at, date) = inside(item, "sampleTime", |sample| {
        let at = local(sample, "physicalTime", "utcOffset")?.at_most(context.now);
        Ok((at, day_of(at, "physicalTime", context)?))
    })?;
    let grams = item.number_or_text("weightGrams")?.unwrap_or(f64::NAN);
    let weight = Field::WeightKg.number(grams / 1_000.0);
    let weight = weight
        .map_err(|kg| Wrong::new("weightGrams", format!("in kilograms: {kg} is required")))?;
    Ok(DayValues {
        date,
        source: Source::GoogleHealth,
        at: Some(Timestamp::from_millis(at.at_ms)),
        follows: true,
        values: vec![(Field::WeightKg, Some(weight))],
    })
}
