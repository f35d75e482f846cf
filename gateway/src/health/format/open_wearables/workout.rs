//! Workouts of the SDK: what was measured comes as a list of values.

use serde_json::value::RawValue;

use super::{OFFSETS, origin, period};
use crate::health::activity::{self, Activity};
use crate::health::fact::Context;
use crate::health::field::half_up;
use crate::health::format::units::Quantity;
use crate::health::format::{external, lists, sent};
use crate::health::item::{Item, Wrong};
use crate::health::source::Source;

const NAMES: [&str; 6] = ["id", "type", "startDate", "endDate", "source", VALUES];

const VALUES: &str = "values";

pub(super) fn read(raw: &RawValue, source: Source, context: &Context) -> Result<Activity, Wrong> {
    let item = Item::pick(raw.get(), |name| {
        NAMES.contains(&name) || external::NAMES.contains(&name) || OFFSETS.contains(&name)
    })?;
    let sport = sent::id(&item, "type", sent::WORD)?.unwrap_or("unknown".into());
    let period = period(&item, context)?;
    let values = Values::read(&item)?;
    let (_, device) = origin(&item)?;
    Ok(Activity {
        source,
        source_id: sent::id(&item, "id", sent::ID)?.map(Into::into),
        external_id: external::id(&item)?,
        activity_type: activity::type_of(source, &sport),
        sport: sport.into_owned(),
        date: period.date,
        start_ms: period.start.at_ms,
        end_ms: period.end.at_ms,
        duration_s: values.duration_s()?.unwrap_or(period.elapsed_s()),
        elapsed_s: period.elapsed_s(),
        distance_m: values.measured(&["distance", "totalDistance"])?,
        calories_kcal: values.measured(&[
            "activeEnergyBurned",
            "calories",
            "totalEnergyBurned",
            "totalCalories",
        ])?,
        avg_heart_rate: values.beats(&["averageHeartRate", "meanHeartRate"])?,
        max_heart_rate: values.beats(&["maxHeartRate"])?,
        device,
        utc_offset_s: period.start.offset_s(),
        raw: raw.get().to_owned(),
    })
}

/// Numbers by their names, in the unit that activities keep.
struct Values(Vec<(&'static str, f64)>);

/// What is read of them; durations are kept in seconds.
const KINDS: [(&str, Kind); 11] = [
    ("duration", Kind::Duration),
    ("totalDuration", Kind::Duration),
    ("activeEnergyBurned", Kind::Of(Quantity::Energy)),
    ("calories", Kind::Of(Quantity::Energy)),
    ("totalEnergyBurned", Kind::Of(Quantity::Energy)),
    ("totalCalories", Kind::Of(Quantity::Energy)),
    ("distance", Kind::Of(Quantity::Length)),
    ("totalDistance", Kind::Of(Quantity::Length)),
    ("averageHeartRate", Kind::Of(Quantity::Rate)),
    ("meanHeartRate", Kind::Of(Quantity::Rate)),
    ("maxHeartRate", Kind::Of(Quantity::Rate)),
];

#[derive(Clone, Copy)]
enum Kind {
    Duration,
    Of(Quantity),
}

impl Kind {
    fn factor(self, unit: &str) -> Option<f64> {
        match self {
            Self::Of(quantity) => quantity.factor(unit),
            Self::Duration => match unit {
                "ms" => Some(0.001),
                "s" => Some(1.0),
                "min" => Some(60.0),
                _ => None,
            },
        }
    }
}

impl Values {
    fn read(item: &Item<'_>) -> Result<Self, Wrong> {
        let Some(list) = item.get(VALUES) else { return Ok(Self(Vec::new())) };
        lists::count(list).ok_or_else(|| Wrong::new(VALUES, "a list is required"))?;
        let mut values = Self(Vec::new());
        let mut fault = None;
        lists::each(list, |_, raw| {
            if let Err(Wrong { reason, .. }) = values.take(raw) {
                fault = fault.take().or(Some(reason));
            }
        });
        fault.map_or(Ok(values), |reason| Err(Wrong::new(VALUES, reason)))
    }

    fn take(&mut self, raw: &RawValue) -> Result<(), Wrong> {
        let item = lists::item(raw, &["type", "unit", "value"])?;
        let word = item.text("type")?.unwrap_or_default();
        let Some((name, kind)) = KINDS.iter().find(|(known, _)| *known == word) else {
            return Ok(());
        };
        let unit = item.text("unit")?.unwrap_or_default();
        let factor = kind.factor(&unit);
        let factor = factor.ok_or_else(|| Wrong::new("unit", "a known unit is required"))?;
        if let Some(number) = item.number("value")? {
            self.0.retain(|(known, _)| known != name);
            self.0.push((name, number * factor));
        }
        Ok(())
    }

    /// The first of several names that was told; a 0 says nothing where it is
    /// meaningless.
    fn first(&self, names: &[&str]) -> Option<f64> {
        names.iter().find_map(|name| {
            self.0.iter().find(|(known, _)| known == name).map(|(_, number)| *number)
        })
    }

    fn measured(&self, names: &[&str]) -> Result<Option<i64>, Wrong> {
        self.first(names).map(|number| sent::measured(number, VALUES)).transpose()
    }

    fn beats(&self, names: &[&str]) -> Result<Option<i64>, Wrong> {
        let number = self.first(names).filter(|number| *number != 0.0);
        number.map(|number| sent::beats(number, VALUES)).transpose()
    }

    fn duration_s(&self) -> Result<Option<i64>, Wrong> {
        let seconds = self.first(&["duration", "totalDuration"]);
        let seconds = seconds.filter(|seconds| *seconds != 0.0);
        seconds.map(|seconds| sent::lasted(seconds, VALUES).map(half_up)).transpose()
    }
}
