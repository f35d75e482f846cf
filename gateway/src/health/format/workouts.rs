//! `{source?, workouts: [{workout_type, start_time, end_time, …}], deleted?: [id]}`

use serde_json::value::RawValue;

use crate::health::activity::{self, Activity};
use crate::health::fact::{Context, Facts, Refusal, What};
use crate::health::format::external;
use crate::health::format::lists::{self, refusal, refused};
use crate::health::format::sent::{self, Period};
use crate::health::format::taken::Taken;
use crate::health::item::{self, Item, Wrong};
use crate::health::source::Source;

const LIST: &str = "workouts";
const GONE: &str = "deleted";

const NAMES: [&str; 10] = [
    "workout_type",
    "start_time",
    "end_time",
    "duration_seconds",
    "calories_active",
    "distance_meters",
    "avg_heart_rate",
    "max_heart_rate",
    "source_device",
    "source_id",
];

pub(super) fn read(body: &str, context: &Context) -> Result<Facts, Refusal> {
    let body = lists::body(body, &["source", LIST, GONE])?;
    let source = sent::source(&body, Source::AppleHealth, context).map_err(refused)?;
    let mut found = Vec::new();
    for name in [LIST, GONE] {
        if let Some((list, count)) = lists::counted(&body, name)?.filter(|(_, count)| *count > 0) {
            lists::bounded(name, count, context)?;
            found.push((name, list));
        }
    }
    if found.is_empty() {
        return Err(refusal(LIST, "a list of items is required"));
    }
    let mut taken = Taken::default();
    for (name, list) in found {
        taken.each(name, list, |raw| match name {
            GONE => gone(raw, source),
            _ => workout(raw, source, context),
        });
    }
    Ok(taken.finish())
}

fn workout(raw: &RawValue, source: Source, context: &Context) -> Result<What, Wrong> {
    let item =
        Item::pick(raw.get(), |name| NAMES.contains(&name) || external::NAMES.contains(&name))?;
    let sport = sent::there(sent::id(&item, "workout_type", sent::WORD)?, "workout_type")?;
    let period = Period::new(
        (sent::time(&item, "start_time")?, "start_time"),
        (sent::time(&item, "end_time")?, "end_time"),
        context,
    )?;
    let duration = sent::duration_s(&item, "duration_seconds")?;
    if item.get("metadata").is_some_and(|metadata| !metadata.get().starts_with('{')) {
        return Err(Wrong::new("metadata", "an object is required"));
    }
    Ok(What::Activity(Box::new(Activity {
        source,
        source_id: sent::id(&item, "source_id", sent::ID)?.map(Into::into),
        external_id: external::id(&item)?,
        activity_type: activity::type_of(source, &sport),
        sport: sport.into_owned(),
        date: period.date,
        start_ms: period.start.at_ms,
        end_ms: period.end.at_ms,
        duration_s: duration.unwrap_or(period.elapsed_s()),
        elapsed_s: period.elapsed_s(),
        distance_m: sent::measure(&item, "distance_meters")?,
        calories_kcal: sent::measure(&item, "calories_active")?,
        avg_heart_rate: sent::heart_rate(&item, "avg_heart_rate")?,
        max_heart_rate: sent::heart_rate(&item, "max_heart_rate")?,
        device: sent::device(&item, "source_device")?,
        utc_offset_s: period.start.offset_s(),
        raw: raw.get().to_owned(),
    })))
}

fn gone(raw: &RawValue, source: Source) -> Result<What, Wrong> {
    let wrong = || Wrong::new("", format!("an id of 1 to {} characters is required", sent::ID));
    let id = item::id(raw).filter(|id| id.chars().count() <= sent::ID).ok_or_else(wrong)?;
    Ok(What::ActivityGone { source, source_id: id.into_owned() })
}
