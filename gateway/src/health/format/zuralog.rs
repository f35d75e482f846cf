//! `{source?, workouts: […], sleep: […], nutrition: […], weight: […],
//! daily_metrics: […]}`, as Zuralog's apps send them.

use serde_json::value::RawValue;

use crate::health::activity::{self, Activity};
use crate::health::fact::{Context, Facts, Night, Refusal, What};
use crate::health::field::Field;
use crate::health::format::lists::{self, refusal, refused};
use crate::health::format::names;
use crate::health::format::sent::{self, Period};
use crate::health::format::taken::Taken;
use crate::health::item::Wrong;
use crate::health::source::Source;

const LISTS: [&str; 5] = ["workouts", "sleep", "nutrition", "weight", "daily_metrics"];

const WORKOUT: [&str; 9] = [
    "original_id",
    "activity_type",
    "duration_seconds",
    "distance_meters",
    "calories",
    "start_time",
    "avg_heart_rate",
    "max_heart_rate",
    "external_id",
];

const EATEN: [Field; 5] =
    [Field::Calories, Field::ProteinG, Field::CarbsG, Field::FatG, Field::FiberG];

pub(super) fn read(body: &str, context: &Context) -> Result<Facts, Refusal> {
    let body = lists::body(body, &[&["source"], LISTS.as_slice()].concat())?;
    let source = sent::source(&body, Source::AppleHealth, context).map_err(refused)?;
    let mut found = Vec::new();
    let mut total = 0;
    for name in LISTS {
        let list = lists::counted(&body, name)?;
        total += list.map_or(0, |(_, count)| count);
        found.push((name, list));
    }
    let first = found.iter().find(|(_, list)| list.is_some()).map_or("workouts", |(name, _)| name);
    if total == 0 {
        return Err(refusal(first, "a list of items is required"));
    }
    lists::bounded(first, total, context)?;
    let mut taken = Taken::default();
    let mut counts = Vec::new();
    for (name, list) in found {
        let item = |raw| item(name, raw, source, context);
        counts.push((name, list.map_or(0, |(list, _)| taken.each(name, list, item))));
    }
    Ok(taken.finish_with(counts))
}

fn item(list: &str, raw: &RawValue, source: Source, context: &Context) -> Result<What, Wrong> {
    let may: fn(Field) -> bool = match list {
        "workouts" => return workout(raw, source, context),
        "sleep" => return night(raw, source, context),
        "nutrition" => |field| EATEN.contains(&field),
        "weight" => |field| field == Field::WeightKg,
        _ => |_| true,
    };
    let item = names::entry(raw.get())?;
    names::day_values(&item, source, may, context).map(What::Values)
}

/// It ends when its duration is over: the format knows no other end.
fn workout(raw: &RawValue, source: Source, context: &Context) -> Result<What, Wrong> {
    let item = lists::item(raw, &WORKOUT)?;
    let id = sent::there(sent::id(&item, "original_id", sent::ID)?, "original_id")?;
    let sport = sent::there(sent::id(&item, "activity_type", sent::WORD)?, "activity_type")?;
    let duration_s = sent::duration_s(&item, "duration_seconds")?;
    let duration_s = sent::there(duration_s, "duration_seconds")?;
    let start = sent::time(&item, "start_time")?;
    let end = start.map(|start| start.plus_s(duration_s));
    let period = Period::new((start, "start_time"), (end, "duration_seconds"), context)?;
    Ok(What::Activity(Box::new(Activity {
        source,
        source_id: Some(id.into_owned()),
        external_id: sent::id(&item, "external_id", sent::ID)?.map(Into::into),
        activity_type: activity::type_of(source, &sport),
        sport: sport.into_owned(),
        date: period.date,
        start_ms: period.start.at_ms,
        end_ms: period.end.at_ms,
        duration_s,
        elapsed_s: period.elapsed_s(),
        distance_m: sent::measure(&item, "distance_meters")?,
        calories_kcal: sent::measure(&item, "calories")?,
        avg_heart_rate: sent::heart_rate(&item, "avg_heart_rate")?,
        max_heart_rate: sent::heart_rate(&item, "max_heart_rate")?,
        device: None,
        utc_offset_s: period.start.offset_s(),
        raw: raw.get().to_owned(),
    })))
}

/// Hours of sleep. How good it was said to be is not what a person says of it,
/// and is dropped.
fn night(raw: &RawValue, source: Source, context: &Context) -> Result<What, Wrong> {
    let item = lists::item(raw, &["date", "hours", "measured_at"])?;
    let date = sent::there(sent::day(&item, "date", context)?, "date")?;
    let minutes = sent::there(sent::minutes_of(&item, "hours", 60.0)?, "hours")?;
    Ok(What::Night(Box::new(Night {
        at: sent::measured_at(&item, context)?,
        total_sleep_minutes: Some(minutes),
        ..Night::of(source, date)
    })))
}
