//! Oura's documents: workouts, periods of sleep, days of activity.
//!
//! Days are Oura's own, `day`: they are what its users see.

use chrono::NaiveDate;
use serde_json::value::RawValue;

use crate::health::activity::{Activity, oura};
use crate::health::fact::{Context, DayValues, Facts, Night, What};
use crate::health::field::{Field, half_up};
use crate::health::item::{Item, Wrong};
use crate::health::provider::{self, Span, activity, amount, day, each, id, minutes, time, word};
use crate::health::source::Source;

/// Reads documents of `workout`.
pub fn workout(items: &[Box<RawValue>], context: &Context) -> Facts {
    each("workout", items, |item, raw| {
        one(item, raw, context).map(|activity| Some(What::Activity(Box::new(activity))))
    })
}

/// Reads documents of `sleep`. Rest that was taken for sleep says nothing.
pub fn sleep(items: &[Box<RawValue>], context: &Context) -> Facts {
    each("sleep", items, |item, _| match word(item, "type").as_deref() {
        Some("deleted") => {
            let source_id = id(item, "id")?;
            Ok(Some(What::NightGone { source: Source::Oura, source_id }))
        }
        Some("rest") => Ok(None),
        _ => night(item, context).map(|night| Some(What::Night(Box::new(night)))),
    })
}

/// Reads documents of `daily_activity`.
pub fn daily_activity(items: &[Box<RawValue>], context: &Context) -> Facts {
    each("daily_activity", items, |item, _| {
        let date = day(item, "day", context)?;
        let mut values = Vec::new();
        for (name, field) in [
            ("steps", Field::Steps),
            ("active_calories", Field::ActiveCalories),
            ("equivalent_walking_distance", Field::DistanceM),
        ] {
            let said = item.number_or_text(name).ok().flatten();
            let value = said.and_then(|number| field.number(number).ok());
            values.extend(value.map(|value| (field, Some(value))));
        }
        let says_something = !values.is_empty();
        // The day goes on: what is said now is newer than what was.
        let said = DayValues { date, source: Source::Oura, at: None, follows: false, values };
        Ok(says_something.then_some(What::Values(said)))
    })
}

fn one(item: &Item<'_>, raw: &RawValue, context: &Context) -> Result<Activity, Wrong> {
    let source_id = id(item, "id")?;
    let start = ("start_datetime", time(item, "start_datetime")?);
    let span = Span::new(start, ("end_datetime", time(item, "end_datetime")?), context)?;
    let date = day_or(item, context, || span.first_day("start_datetime", context))?;
    let sport = word(item, "activity").unwrap_or_default();
    Ok(Activity {
        activity_type: oura::of(&sport),
        sport,
        distance_m: amount(item, "distance", 1.0),
        calories_kcal: amount(item, "calories", 1.0),
        ..activity(Source::Oura, source_id, date, &span, raw)
    })
}

/// The day that is said, else another.
fn day_or(
    item: &Item<'_>,
    context: &Context,
    other: impl FnOnce() -> Result<NaiveDate, Wrong>,
) -> Result<NaiveDate, Wrong> {
    if item.get("day").is_some() { day(item, "day", context) } else { other() }
}

fn night(item: &Item<'_>, context: &Context) -> Result<Night, Wrong> {
    let source_id = id(item, "id")?;
    let start = ("bedtime_start", time(item, "bedtime_start")?);
    let span = Span::new(start, ("bedtime_end", time(item, "bedtime_end")?), context)?;
    let date = day_or(item, context, || span.last_day("bedtime_end", context))?;
    let of = |name| minutes(item, name, 60.0);
    Ok(Night {
        total_sleep_minutes: of("total_sleep_duration").or_else(|| asleep(item)),
        in_bed_minutes: of("time_in_bed"),
        awake_minutes: of("awake_time"),
        asleep_core_minutes: of("light_sleep_duration"),
        asleep_deep_minutes: of("deep_sleep_duration"),
        asleep_rem_minutes: of("rem_sleep_duration"),
        ..provider::night(Source::Oura, source_id, date, Some(&span))
    })
}

/// The sum of the stages, where all of them are said.
fn asleep(item: &Item<'_>) -> Option<i64> {
    let stages = ["light_sleep_duration", "deep_sleep_duration", "rem_sleep_duration"];
    let minutes = stages.map(|name| provider::number(item, name, 60.0));
    let sum: f64 = minutes.into_iter().sum::<Option<f64>>()?;
    (sum <= provider::MINUTES_MAX).then(|| half_up(sum))
}
