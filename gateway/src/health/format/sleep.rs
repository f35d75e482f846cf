//! `{source?, sleep_records: [{date?, total_sleep_minutes, …, measured_at?}]}`

use serde_json::value::RawValue;

use crate::health::fact::{Context, Facts, Night, Refusal, What};
use crate::health::format::lists::{self, refused};
use crate::health::format::sent;
use crate::health::format::taken::Taken;
use crate::health::item::Wrong;
use crate::health::source::Source;

const LIST: &str = "sleep_records";

const NAMES: [&str; 11] = [
    "date",
    "total_sleep_minutes",
    "in_bed_minutes",
    "awake_minutes",
    "asleep_core_minutes",
    "asleep_deep_minutes",
    "asleep_rem_minutes",
    "sleep_start",
    "sleep_end",
    "source_devices",
    "measured_at",
];

pub(super) fn read(body: &str, context: &Context) -> Result<Facts, Refusal> {
    let body = lists::body(body, &["source", LIST])?;
    let source = sent::source(&body, Source::AppleHealth, context).map_err(refused)?;
    let list = lists::required(&body, LIST, context)?;
    let mut taken = Taken::default();
    taken.each(LIST, list, |raw| night(raw, source, context));
    Ok(taken.finish())
}

fn night(raw: &RawValue, source: Source, context: &Context) -> Result<What, Wrong> {
    let item = lists::item(raw, &NAMES)?;
    let named = sent::day(&item, "date", context)?;
    let total = sent::minutes(&item, "total_sleep_minutes")?;
    let total = sent::there(total, "total_sleep_minutes")?;
    let start = sent::time(&item, "sleep_start")?;
    let start = start.map(|start| sent::started(start, "sleep_start", context)).transpose()?;
    let end = sent::time(&item, "sleep_end")?.map(|end| end.at_most(context.now));
    if let (Some(start), Some(end)) = (start, end)
        && end.at_ms < start.at_ms
    {
        return Err(Wrong::new("sleep_end", "not before sleep_start"));
    }
    let of_end = || end.map(|end| sent::day_of(end, "sleep_end", context)).transpose();
    let date = if named.is_some() { named } else { of_end()? };
    Ok(What::Night(Box::new(Night {
        source,
        date: sent::there(date, "date")?,
        source_id: None,
        total_sleep_minutes: Some(total),
        in_bed_minutes: sent::minutes(&item, "in_bed_minutes")?,
        awake_minutes: sent::minutes(&item, "awake_minutes")?,
        asleep_core_minutes: sent::minutes(&item, "asleep_core_minutes")?,
        asleep_deep_minutes: sent::minutes(&item, "asleep_deep_minutes")?,
        asleep_rem_minutes: sent::minutes(&item, "asleep_rem_minutes")?,
        sleep_start_ms: start.map(|start| start.at_ms),
        sleep_end_ms: end.map(|end| end.at_ms),
        source_devices: sent::devices(&item, "source_devices")?,
        at: sent::measured_at(&item, context)?,
    })))
}
