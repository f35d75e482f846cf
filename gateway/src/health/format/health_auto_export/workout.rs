//! Workouts as Health Auto Export tells of them, versions 1 and 2. Names are in
//! the language of the phone.

use serde_json::value::RawValue;

use super::SOURCE;
use crate::health::activity::{self, Activity};
use crate::health::fact::Context;
use crate::health::format::external;
use crate::health::format::lists;
use crate::health::format::sent::{self, Period};
use crate::health::format::units::Quantity;
use crate::health::item::{Item, Wrong};

const NAMES: [&str; 12] = [
    "id",
    "name",
    "start",
    "end",
    "duration",
    "activeEnergyBurned",
    "activeEnergy",
    "totalEnergy",
    "distance",
    "heartRate",
    "avgHeartRate",
    "maxHeartRate",
];

pub(super) fn read(raw: &RawValue, context: &Context) -> Result<Activity, Wrong> {
    let item =
        Item::pick(raw.get(), |name| NAMES.contains(&name) || external::NAMES.contains(&name))?;
    let sport = sent::there(sent::id(&item, "name", sent::WORD)?, "name")?;
    let period = Period::new(
        (sent::time_loosely(&item, "start")?, "start"),
        (sent::time_loosely(&item, "end")?, "end"),
        context,
    )?;
    let duration = item.number("duration")?.filter(|seconds| *seconds != 0.0);
    let duration = duration.map(|_| sent::duration_s(&item, "duration")).transpose()?.flatten();
    let mut calories = None;
    for name in ["activeEnergyBurned", "activeEnergy", "totalEnergy"] {
        if calories.is_none() {
            calories = measured(&item, name, Quantity::Energy)?;
        }
    }
    let (avg, max) = heart_rates(&item)?;
    Ok(Activity {
        source: SOURCE,
        source_id: sent::id(&item, "id", sent::ID)?.map(Into::into),
        external_id: external::id(&item)?,
        activity_type: activity::type_of(SOURCE, &sport),
        sport: sport.into_owned(),
        date: period.date,
        start_ms: period.start.at_ms,
        end_ms: period.end.at_ms,
        duration_s: duration.unwrap_or(period.elapsed_s()),
        elapsed_s: period.elapsed_s(),
        distance_m: measured(&item, "distance", Quantity::Length)?,
        calories_kcal: calories,
        avg_heart_rate: avg,
        max_heart_rate: max,
        device: None,
        utc_offset_s: period.start.offset_s(),
        raw: raw.get().to_owned(),
    })
}

fn measured(item: &Item<'_>, name: &str, quantity: Quantity) -> Result<Option<i64>, Wrong> {
    let number = amount(item, name, quantity)?;
    number.map(|number| sent::measured(number, name)).transpose()
}

/// `{qty, units}`. A list under the same name holds its course, which is not read.
fn amount(item: &Item<'_>, name: &str, quantity: Quantity) -> Result<Option<f64>, Wrong> {
    let Some(raw) = item.get(name).filter(|raw| raw.get().starts_with('{')) else {
        return Ok(None);
    };
    let wrong = |reason| move |_| Wrong::new(name, reason);
    let amount = lists::item(raw, &["qty", "units"])?;
    let Some(number) = amount.number("qty").map_err(wrong("a number is required"))? else {
        return Ok(None);
    };
    let units = amount.text("units").map_err(wrong("a unit is required"))?;
    let units = units.as_deref().unwrap_or_default();
    let factor = match quantity {
        Quantity::Rate if units.is_empty() => Some(1.0),
        _ => quantity.factor(units),
    };
    Ok(Some(number * factor.ok_or_else(|| Wrong::new(name, "a known unit is required"))?))
}

/// `heartRate: {avg, max}` or `avgHeartRate`, `maxHeartRate`; a 0 says nothing.
fn heart_rates(item: &Item<'_>) -> Result<(Option<i64>, Option<i64>), Wrong> {
    let both = item.get("heartRate").filter(|raw| raw.get().starts_with('{'));
    let both = both.map(|raw| lists::item(raw, &["avg", "max"])).transpose()?;
    let both = both.unwrap_or_default();
    let one = |name, flat| {
        let nested = heart_rate(&both, name, "heartRate")?;
        if nested.is_some() { Ok(nested) } else { heart_rate(item, flat, flat) }
    };
    Ok((one("avg", "avgHeartRate")?, one("max", "maxHeartRate")?))
}

fn heart_rate(item: &Item<'_>, name: &str, shown: &str) -> Result<Option<i64>, Wrong> {
    let is_object = item.get(name).is_some_and(|raw| raw.get().starts_with('{'));
    let number = if is_object { amount(item, name, Quantity::Rate) } else { item.number(name) };
    let number = number.map_err(|wrong| Wrong::new(shown, wrong.reason))?;
    number.filter(|number| *number != 0.0).map(|number| sent::beats(number, shown)).transpose()
}
