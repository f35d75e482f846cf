//! The former Fitbit Web API: activities, nights, daily steps.
//!
//! Distances come in the unit that they name, times of nights without an offset,
//! and steps as texts, in which 0 also stands for a day without data.

use std::ops::RangeInclusive;

use chrono::{Datelike, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use serde_json::value::RawValue;

use crate::health::activity::{Activity, fitbit};
use crate::health::date::Sent;
use crate::health::fact::{Context, DayValues, Facts, Night, What};
use crate::health::field::{Field, half_up};
use crate::health::item::{Item, Wrong};
use crate::health::provider::{
    self, Span, activity, amount, day, each, heart_rate, id, minutes, part, seconds, time, word,
};
use crate::health::source::Source;

/// What clocks are set back by at most.
const CLOCK_CHANGE: TimeDelta = TimeDelta::hours(1);

/// Years in which times of nights are read.
const YEARS: RangeInclusive<i32> = 1_970..=9_999;

/// Reads the entries of `activities/list.json`.
pub fn activities(items: &[Box<RawValue>], context: &Context) -> Facts {
    each("activities", items, |item, raw| {
        one(item, raw, context).map(|activity| Some(What::Activity(Box::new(activity))))
    })
}

/// Reads the nights of `1.2/…/sleep`.
pub fn sleep(items: &[Box<RawValue>], context: &Context) -> Facts {
    each("sleep", items, |item, _| {
        night(item, context).map(|night| Some(What::Night(Box::new(night))))
    })
}

/// Reads the days of `activities-steps`.
pub fn steps(items: &[Box<RawValue>], context: &Context) -> Facts {
    each("steps", items, |item, _| {
        let date = day(item, "dateTime", context)?;
        let number = item.number_or_text("value")?.unwrap_or(f64::NAN);
        let value = Field::Steps.number(number).map_err(|reason| Wrong::new("value", reason))?;
        let values = vec![(Field::Steps, Some(value))];
        let said = DayValues { date, source: Source::Fitbit, at: None, follows: false, values };
        Ok((number > 0.0).then_some(What::Values(said)))
    })
}

fn one(item: &Item<'_>, raw: &RawValue, context: &Context) -> Result<Activity, Wrong> {
    let source_id = id(item, "logId")?;
    let start = ("startTime", time(item, "startTime")?);
    let span = Span::lasting(start, ("duration", lasted_s(item)?), context)?;
    let date = span.first_day("startTime", context)?;
    let plain = activity(Source::Fitbit, source_id, date, &span, raw);
    let sport = word(item, "activityName").unwrap_or_default();
    Ok(Activity {
        activity_type: fitbit::of(&sport),
        sport,
        duration_s: seconds(item, "activeDuration", 1_000.0).unwrap_or(plain.elapsed_s),
        distance_m: distance_m(item),
        calories_kcal: amount(item, "calories", 1.0),
        avg_heart_rate: heart_rate(item, "averageHeartRate"),
        device: word(&part(item, "source"), "name"),
        ..plain
    })
}

fn lasted_s(item: &Item<'_>) -> Result<f64, Wrong> {
    let ms = item.number_or_text("duration")?;
    ms.map(|ms| ms / 1_000.0).ok_or_else(|| Wrong::new("duration", "a number is required"))
}

/// In thousandths. A unit that nobody knows makes it unknown.
fn distance_m(item: &Item<'_>) -> Option<i64> {
    let metres = match word(item, "distanceUnit").as_deref() {
        None | Some("Kilometer") => 1_000.0,
        Some("Mile") => 1_609.344,
        Some("Meter") => 1.0,
        Some(_) => return None,
    };
    amount(item, "distance", 1.0 / metres)
}

fn night(item: &Item<'_>, context: &Context) -> Result<Night, Wrong> {
    let source_id = id(item, "logId")?;
    let date = day(item, "dateOfSleep", context)?;
    let span = span(item, context)?;
    let summary = part(&part(item, "levels"), "summary");
    let stage = |name| minutes(&part(&summary, name), "minutes", 1.0);
    let [light, deep, rem] = ["light", "deep", "rem"].map(stage);
    let sum = [light, deep, rem].into_iter().sum::<Option<i64>>();
    Ok(Night {
        total_sleep_minutes: minutes(item, "minutesAsleep", 1.0).or(sum),
        in_bed_minutes: minutes(item, "timeInBed", 1.0),
        awake_minutes: minutes(item, "minutesAwake", 1.0),
        asleep_core_minutes: light,
        asleep_deep_minutes: deep,
        asleep_rem_minutes: rem,
        ..provider::night(Source::Fitbit, source_id, date, span.as_ref())
    })
}

/// When the user slept. Where that was is not said: it is known only of users
/// whose time zone is known. The duration is true also in nights in which clocks
/// are changed.
fn span(item: &Item<'_>, context: &Context) -> Result<Option<Span>, Wrong> {
    let [start, end] = ["startTime", "endTime"].map(|name| local_time(item, name));
    if let (Some(start), Some(end)) = (start, end)
        && end.checked_add_signed(CLOCK_CHANGE).is_some_and(|end| end < start)
    {
        return Err(Wrong::new("endTime", "must not be before the start"));
    }
    let (Some(start), Some(zone)) = (start, context.zone) else { return Ok(None) };
    let Some(start) = instant(start, zone) else { return Ok(None) };
    let end = match provider::number(item, "duration", 1.0) {
        Some(ms) => Some(Sent { at_ms: start.at_ms.saturating_add(half_up(ms)), ..start }),
        None => end.and_then(|end| instant(end, zone)),
    };
    let Some(end) = end else { return Ok(None) };
    Span::new(("startTime", start), ("endTime", end), context).map(Some)
}

/// `2020-02-20T23:21:30.000`: local, without an offset.
fn local_time(item: &Item<'_>, name: &str) -> Option<NaiveDateTime> {
    let text = item.text(name).ok().flatten()?;
    let time = NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    YEARS.contains(&time.year()).then_some(time)
}

/// The first of two instants, where clocks show the time twice; `None` where they
/// leave it out.
fn instant(local: NaiveDateTime, zone: Tz) -> Option<Sent> {
    let there = zone.from_local_datetime(&local).earliest()?;
    Some(Sent { at_ms: there.timestamp_millis(), offset: Some(there.offset().fix()) })
}
