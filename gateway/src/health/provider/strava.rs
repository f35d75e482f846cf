//! Strava's activities, summaries and details alike.
//!
//! `start_date_local` is local time with a `Z` that is not true, `upload_id` may be
//! too large for any integer, and kilojoules are work done, not energy spent:
//! none of them is taken for what it looks like.

use chrono::{DateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use serde_json::value::RawValue;

use crate::health::activity::{Activity, ActivityType, strava};
use crate::health::date::Sent;
use crate::health::fact::{Context, Facts, What};
use crate::health::item::{Item, Wrong};
use crate::health::provider::{
    Span, activity, amount, each, heart_rate, id, offset, seconds, time, word,
};
use crate::health::source::Source;

/// Reads the items of `/athlete/activities`, or answers of `/activities/{id}`.
pub fn activities(items: &[Box<RawValue>], context: &Context) -> Facts {
    each("activities", items, |item, raw| {
        one(item, raw, context).map(|activity| Some(What::Activity(Box::new(activity))))
    })
}

fn one(item: &Item<'_>, raw: &RawValue, context: &Context) -> Result<Activity, Wrong> {
    let source_id = id(item, "id")?;
    let start = time(item, "start_date")?;
    let start = start.with_offset(offset_s(item, start));
    let span = Span::lasting(("start_date", start), elapsed(item)?, context)?;
    let date = span.first_day("start_date", context)?;
    let plain = activity(Source::Strava, source_id, date, &span, raw);
    let (sport, activity_type) = sport(item);
    Ok(Activity {
        activity_type,
        sport,
        duration_s: seconds(item, "moving_time", 1.0).unwrap_or(plain.elapsed_s),
        distance_m: amount(item, "distance", 1.0),
        calories_kcal: amount(item, "calories", 1.0),
        avg_heart_rate: heart_rate(item, "average_heartrate"),
        max_heart_rate: heart_rate(item, "max_heartrate"),
        device: word(item, "device_name"),
        ..plain
    })
}

/// How long it took; where only the moving time is said, that.
fn elapsed(item: &Item<'_>) -> Result<(&'static str, f64), Wrong> {
    for name in ["elapsed_time", "moving_time"] {
        if let Some(seconds) = item.number_or_text(name)? {
            return Ok((name, seconds));
        }
    }
    Err(Wrong::new("elapsed_time", "a number is required"))
}

/// The word and what it stands for: records of 2013 have no `sport_type`, and one
/// that is newer than our table may have a `type` that is not.
fn sport(item: &Item<'_>) -> (String, ActivityType) {
    let words = [word(item, "sport_type"), word(item, "type")];
    let mut types = words.iter().flatten().map(|word| strava::of(word));
    let known = types.find(|found| *found != ActivityType::Unknown);
    let sport = words.into_iter().flatten().next().unwrap_or_default();
    (sport, known.unwrap_or(ActivityType::Unknown))
}

fn offset_s(item: &Item<'_>, start: Sent) -> Option<i32> {
    let said = item.number("utc_offset").ok().flatten().and_then(offset);
    let zone = || offset_of_zone(&item.text("timezone").ok().flatten()?, start);
    said.or_else(zone).or_else(|| offset_of_local_time(item, start))
}

/// Of `(GMT-08:00) America/Los_Angeles`, where the offset is that of winter.
fn offset_of_zone(text: &str, start: Sent) -> Option<i32> {
    let (winter, name) = text.strip_prefix("(GMT")?.split_once(')')?;
    let at = DateTime::<Utc>::from_timestamp_millis(start.at_ms)?;
    if let Ok(zone) = name.trim().parse::<Tz>() {
        let there = zone.offset_from_utc_datetime(&at.naive_utc());
        return Some(there.fix().local_minus_utc());
    }
    let sign = if winter.starts_with('-') { -1.0 } else { 1.0 };
    let (hours, minutes) = winter.strip_prefix(['-', '+'])?.split_once(':')?;
    let ahead_s = 3_600.0 * f64::from(hours.parse::<u8>().ok()?)
        + 60.0 * f64::from(minutes.parse::<u8>().ok()?);
    offset(sign * ahead_s)
}

/// How far the local time is from the instant.
fn offset_of_local_time(item: &Item<'_>, start: Sent) -> Option<i32> {
    let local = time(item, "start_date_local").ok()?;
    let ahead_ms = i32::try_from(local.at_ms.checked_sub(start.at_ms)?).ok()?;
    offset(f64::from(ahead_ms) / 1_000.0)
}
