//! Sleep as Health Auto Export tells of it: whole nights in hours, or stages one
//! by one.

use serde_json::value::RawValue;

use super::{Export, SLEEP, SOURCE};
use crate::health::fact::{Night, What};
use crate::health::format::lists;
use crate::health::format::sent::{self, Period};
use crate::health::format::stages::{Span, Stage};
use crate::health::item::{Item, Wrong};

const NAMES: [&str; 14] = [
    "date",
    "totalSleep",
    "asleep",
    "core",
    "deep",
    "rem",
    "awake",
    "inBed",
    "sleepStart",
    "sleepEnd",
    "source",
    "startDate",
    "endDate",
    "value",
];

impl Export<'_> {
    pub(super) fn sleep(&mut self, points: &RawValue, units: &str) {
        let minutes_each = match units.trim() {
            "" | "hr" | "hrs" | "h" | "hour" | "hours" => Some(60.0),
            "min" | "minutes" => Some(1.0),
            "s" | "sec" => Some(1.0 / 60.0),
            _ => None,
        };
        lists::each(points, |index, raw| {
            if let Err(wrong) = self.slept(raw, minutes_each) {
                self.taken.wrong(SLEEP, index, wrong);
            }
        });
    }

    fn slept(&mut self, raw: &RawValue, minutes_each: Option<f64>) -> Result<(), Wrong> {
        let item = lists::item(raw, &NAMES)?;
        let source = item.text("source")?.unwrap_or_default();
        let devices: Vec<_> = source.split('|').map(str::trim).collect();
        if devices.iter().any(|device| device.chars().count() > sent::WORD) {
            return Err(Wrong::new("source", format!("at most {} characters", sent::WORD)));
        }
        if item.get("startDate").is_none() {
            let unit = || Wrong::new("units", "a known unit is required");
            let night = self.night(&item, &devices, minutes_each.ok_or_else(unit)?)?;
            self.taken.fact(1, What::Night(Box::new(night)));
            return Ok(());
        }
        let period = Period::new(
            (sent::time_loosely(&item, "startDate")?, "startDate"),
            (sent::time_loosely(&item, "endDate")?, "endDate"),
            self.context,
        )?;
        let word = sent::there(item.id("value")?, "value")?;
        match Stage::of(SOURCE, &word) {
            Some(stage) => {
                let span = Span::new(stage, &period, "endDate")?;
                self.nights.add(&source, &devices, span);
            }
            None => self.taken.ignore(1),
        }
        Ok(())
    }

    /// A whole night. Hours of 0 are what the app writes for stages and time in
    /// bed that nobody recorded.
    fn night(&self, item: &Item<'_>, devices: &[&str], each: f64) -> Result<Night, Wrong> {
        let hours = |name| sent::minutes_of(item, name, each);
        let (core, deep, rem) = (hours("core")?, hours("deep")?, hours("rem")?);
        let has_stages = [core, deep, rem].iter().flatten().any(|minutes| *minutes > 0);
        let staged = |minutes: Option<i64>| minutes.filter(|_| has_stages);
        let of_stages = [core, deep, rem].into_iter().flatten().sum();
        let asleep = hours("asleep")?.map(|minutes| minutes.max(of_stages));
        let total = hours("totalSleep")?.filter(|minutes| *minutes > 0).or(asleep);
        let total = total.or_else(|| has_stages.then_some(of_stages));
        let in_bed = hours("inBed")?.filter(|minutes| *minutes > 0);
        if total.is_none() && in_bed.is_none() {
            return Err(Wrong::new("totalSleep", "required"));
        }
        let start = sent::time_loosely(item, "sleepStart")?;
        let start = start.map(|start| sent::started(start, "sleepStart", self.context));
        let end = sent::time_loosely(item, "sleepEnd")?.map(|end| end.at_most(self.context.now));
        let named = sent::day(item, "date", self.context)?;
        let of_end = || end.map(|end| sent::day_of(end, "sleepEnd", self.context)).transpose();
        let date = if named.is_some() { named } else { of_end()? };
        let devices = devices.iter().filter(|device| !device.is_empty());
        Ok(Night {
            total_sleep_minutes: total,
            in_bed_minutes: in_bed,
            awake_minutes: hours("awake")?,
            asleep_core_minutes: staged(core),
            asleep_deep_minutes: staged(deep),
            asleep_rem_minutes: staged(rem),
            sleep_start_ms: start.transpose()?.map(|start| start.at_ms),
            sleep_end_ms: end.map(|end| end.at_ms),
            source_devices: devices.map(|device| (*device).to_owned()).collect(),
            at: end.map(sent::at),
            ..Night::of(SOURCE, sent::there(date, "date")?)
        })
    }
}
