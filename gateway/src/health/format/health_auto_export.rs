//! Exports of Health Auto Export: `{data: {metrics: [{name, units, data: […]}],
//! workouts: […]}}`. Windows overlap: what was sent before comes again.

use chrono::NaiveDate;
use serde_json::value::RawValue;

use crate::health::date::{self, Sent};
use crate::health::fact::{Context, Facts, Refusal, What};
use crate::health::field::Field;
use crate::health::format::days::{Days, Reading};
use crate::health::format::lists::{self, refusal};
use crate::health::format::sent;
use crate::health::format::stages::Nights;
use crate::health::format::taken::Taken;
use crate::health::format::units::Quantity;
use crate::health::item::{Item, Wrong};
use crate::health::source::Source;

mod sleep;
mod workout;

const SOURCE: Source = Source::AppleHealth;

/// What adds up over a day.
const SUMS: [(&str, Field); 4] = [
    ("step_count", Field::Steps),
    ("active_energy", Field::ActiveCalories),
    ("walking_running_distance", Field::DistanceM),
    ("flights_climbed", Field::FlightsClimbed),
];

/// What holds until it is measured again.
const LATEST: [(&str, Field); 18] = [
    ("resting_heart_rate", Field::RestingHeartRate),
    ("heart_rate", Field::HeartRateAvg),
    ("heart_rate_variability", Field::HrvSdnnMs),
    ("vo2max", Field::Vo2Max),
    ("vo2_max", Field::Vo2Max),
    ("respiratory_rate", Field::RespiratoryRate),
    ("blood_oxygen_saturation", Field::OxygenSaturation),
    ("oxygen_saturation", Field::OxygenSaturation),
    ("weight_body_mass", Field::WeightKg),
    ("body_mass", Field::WeightKg),
    ("body_fat_percentage", Field::BodyFatPercentage),
    ("height", Field::HeightM),
    ("lean_body_mass", Field::LeanBodyMassKg),
    ("dietary_energy", Field::Calories),
    ("protein", Field::ProteinG),
    ("carbohydrates", Field::CarbsG),
    ("total_fat", Field::FatG),
    ("fiber", Field::FiberG),
];

const METRICS: &str = "metrics";
const WORKOUTS: &str = "workouts";
const SLEEP: &str = "sleep_analysis";

/// Most characters of the names of devices, joined.
const DEVICES: usize = 500;

pub(super) fn read(body: &str, context: &Context) -> Result<Facts, Refusal> {
    let data = lists::body(body, &["data"])?;
    let data = data.get("data").ok_or_else(|| refusal("data", "required"))?;
    let mut export = Export::new(context);
    let mut elements = 0;
    lists::fields(data.get(), |name, raw| {
        let Some(count) = lists::count(raw) else {
            return match name {
                METRICS | WORKOUTS if raw.get() != "null" => {
                    Err(refusal(&format!("data.{name}"), "a list is required"))
                }
                _ => Ok(()),
            };
        };
        elements += count;
        match name {
            METRICS => lists::each(raw, |index, raw| export.metric(index, raw)),
            WORKOUTS => lists::each(raw, |index, raw| export.workout(index, raw)),
            _ => export.taken.ignore(count),
        }
        Ok(())
    })
    .map_err(|Refusal { field, reason }| match field.as_str() {
        "" => refusal("data", reason),
        _ => Refusal { field, reason },
    })?;
    if elements == 0 {
        return Err(refusal("data.metrics", "a list of items is required"));
    }
    Ok(export.finish())
}

/// What was read of an export so far.
struct Export<'c> {
    context: &'c Context,
    taken: Taken,
    days: Days,
    nights: Nights,
}

impl<'c> Export<'c> {
    fn new(context: &'c Context) -> Self {
        let days = Days::new(SOURCE, "health_auto_export");
        Self { context, taken: Taken::default(), days, nights: Nights::new(SOURCE) }
    }

    fn finish(mut self) -> Facts {
        self.days.finish(&mut self.taken);
        self.nights.finish(self.context, &mut self.taken);
        self.taken.finish()
    }

    fn workout(&mut self, index: usize, raw: &RawValue) {
        match workout::read(raw, self.context) {
            Ok(activity) => self.taken.fact(1, What::Activity(Box::new(activity))),
            Err(wrong) => self.taken.wrong(WORKOUTS, index, wrong),
        }
    }

    fn metric(&mut self, index: usize, raw: &RawValue) {
        if let Err(wrong) = self.try_metric(raw) {
            self.taken.wrong(METRICS, index, wrong);
        }
    }

    fn try_metric(&mut self, raw: &RawValue) -> Result<(), Wrong> {
        let item = lists::item(raw, &["name", "units", "data"])?;
        let name = sent::there(item.text("name")?, "name")?;
        let points = sent::there(item.get("data"), "data")?;
        let is_list = points.get().starts_with('[');
        let is_list = is_list.then_some(()).ok_or("a list is required");
        is_list.map_err(|reason| Wrong::new("data", reason))?;
        let units = item.text("units").ok().flatten().unwrap_or_default();
        let known = |table: &[(&str, Field)]| {
            table.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
        };
        let sum = known(&SUMS);
        if name == SLEEP {
            self.sleep(points, &units);
        } else if let Some(field) = sum.or_else(|| known(&LATEST)) {
            let factor = Quantity::of(field).and_then(|quantity| quantity.factor(&units));
            let metric = Metric { field, is_sum: sum.is_some(), factor };
            lists::each(points, |index, raw| {
                if let Err(wrong) = self.point(&metric, raw) {
                    self.taken.wrong(&name, index, wrong);
                }
            });
        } else {
            self.taken.ignore(lists::count(points).unwrap_or_default());
        }
        Ok(())
    }

    fn point(&mut self, metric: &Metric, raw: &RawValue) -> Result<(), Wrong> {
        let item = lists::item(raw, &["date", "qty", "Avg", "source"])?;
        let factor =
            metric.factor.ok_or_else(|| Wrong::new("units", "a known unit is required"))?;
        let name = if item.get("Avg").is_some() { "Avg" } else { "qty" };
        let number = sent::there(item.number(name)?, name)? * factor;
        let reading = Reading { field: metric.field, name, number };
        let (date, at) = when(&item, self.context)?;
        if !metric.is_sum {
            return self.days.tell(reading, date, at.at_most(self.context.now));
        }
        sent::started(at, "date", self.context)?;
        let source = item.text("source")?.unwrap_or_default();
        if source.len() > DEVICES {
            return Err(Wrong::new("source", format!("at most {DEVICES} bytes")));
        }
        self.days.add(reading, (date, ""), key(at, &source), 1)
    }
}

struct Metric {
    field: Field,
    is_sum: bool,
    /// `None`: the unit is unknown.
    factor: Option<f64>,
}

/// The local day of a point and its time; a bare date is its first moment.
fn when(item: &Item<'_>, context: &Context) -> Result<(NaiveDate, Sent), Wrong> {
    let text = sent::there(item.text("date")?, "date")?;
    if let Some(date) = date::parse(&text) {
        let at_ms = date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
        let date = sent::day(item, "date", context)?.unwrap_or(date);
        return Ok((date, Sent { at_ms, offset: None }));
    }
    let at = Sent::parse_loosely(&text).ok_or_else(|| Wrong::new("date", sent::TIME))?;
    Ok((sent::day_of(at, "date", context)?, at))
}

/// What names a point in its day: its local time and who measured. Whole days are
/// told at midnight; a day that is told again from another time zone is the same.
/// Else the offset belongs to it, for the hour that comes twice when clocks are
/// set back.
fn key(at: Sent, source: &str) -> String {
    const DAY_MS: i64 = 86_400_000;
    let offset_s = at.offset_s().unwrap_or_default();
    let of_day_ms = (at.at_ms + i64::from(offset_s) * 1000).rem_euclid(DAY_MS);
    if of_day_ms == 0 {
        return format!("0 {source}");
    }
    format!("{of_day_ms}{:+} {source}", offset_s / 60)
}
