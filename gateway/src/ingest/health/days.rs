//! Days that a unit of work changes.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use tidegate_entity::{body_metric, daily_entry, day_sample};
use tidegate_protocol::entry::kind;

use crate::error::{ApiError, ApiResult};
use crate::health::date::neighbours;
use crate::health::day::{self, Candidate, Day};
use crate::health::fact::{DaySamples, DayValues, LOCAL_CHANNEL};
use crate::health::field::{Field, SCALE, Value, half_up};
use crate::ingest::health::Fate;
use crate::ingest::unit::{NewEntry, UnitOfWork, user_stream};

/// Parts of one value of one day at most: one for each two seconds. Beyond, a
/// sender that invents parts would have the gateway read them all each time.
const POINTS_MAX: usize = 43_200;

/// Fields that make a body metric.
pub(super) const METRICS: [Field; 4] =
    [Field::WeightKg, Field::HeightM, Field::BodyFatPercentage, Field::LeanBodyMassKg];

/// A day that is being changed.
struct Changing {
    row: Option<daily_entry::Model>,
    before: Day,
    day: Day,
}

/// The days of a user that a write changes.
pub(super) struct Days<'a> {
    user_id: &'a str,
    changing: BTreeMap<NaiveDate, Changing>,
}

impl<'a> Days<'a> {
    pub(super) const fn of(user_id: &'a str) -> Self {
        Self { user_id, changing: BTreeMap::new() }
    }

    fn day(&mut self, unit: &UnitOfWork, date: NaiveDate) -> ApiResult<&mut Changing> {
        if !self.changing.contains_key(&date) {
            let key = (self.user_id.to_owned(), date.to_string());
            let row = unit.rows.get::<daily_entry::Entity>(&key).cloned();
            let said = row.as_ref().map(|row| Day::restore(&row.said));
            let before = said.unwrap_or_else(|| Some(Day::default()));
            let before = before.ok_or_else(|| ApiError::internal(&"a day cannot be read"))?;
            let changing = Changing { row, day: before.clone(), before };
            self.changing.insert(date, changing);
        }
        self.changing.get_mut(&date).ok_or_else(|| ApiError::internal(&"a day is gone"))
    }

    /// The version of a day's row; 0 where there is none.
    pub(super) fn version(&mut self, unit: &UnitOfWork, date: NaiveDate) -> ApiResult<i64> {
        Ok(self.day(unit, date)?.row.as_ref().map_or(0, |row| row.version))
    }

    /// Merges values. What follows from a time, and is known of a neighbouring day, is
    /// not said of this one: days are fixed when something arrives.
    pub(super) fn values(&mut self, unit: &UnitOfWork, values: &DayValues) -> ApiResult<Fate> {
        let Some(at) = values.at.filter(|_| values.follows) else {
            return self.merge(unit, values);
        };
        let mut left = values.clone();
        for date in neighbours(values.date) {
            let near = &self.day(unit, date)?.day;
            left.values.retain(|(field, value)| {
                let Some(value) = value.clone() else { return true };
                let said = Candidate { source: values.source, value, at_ms: at.millis() };
                !near.holds(*field, &said)
            });
        }
        if left.values.is_empty() { Ok(Fate::Unchanged) } else { self.merge(unit, &left) }
    }

    fn merge(&mut self, unit: &UnitOfWork, values: &DayValues) -> ApiResult<Fate> {
        let now = unit.now;
        let changing = self.day(unit, values.date)?;
        let is_changed = changing.day.merge(values, now);
        Ok(fate(is_changed, changing.row.is_some()))
    }

    /// Adds parts to those known, and merges what they come to. A part that is known
    /// of a neighbouring day stays there.
    pub(super) fn samples(
        &mut self,
        unit: &mut UnitOfWork,
        samples: &DaySamples,
    ) -> ApiResult<Fate> {
        let mut own = samples.clone();
        let mut is_known_elsewhere = false;
        if samples.channel != LOCAL_CHANNEL {
            for date in neighbours(samples.date) {
                let (_, near) = self.points(unit, &DaySamples { date, ..own.clone() })?;
                let (there, here) = std::mem::take(&mut own.points)
                    .into_iter()
                    .partition(|(name, _)| near.has(&samples.origin, name));
                own.points = here;
                let there = DaySamples { date, points: there, ..own.clone() };
                if !there.points.is_empty() {
                    is_known_elsewhere |= self.add(unit, &there)? == Fate::Updated;
                }
            }
        }
        let fate = if own.points.is_empty() { Fate::Unchanged } else { self.add(unit, &own)? };
        Ok(if fate == Fate::Unchanged && is_known_elsewhere { Fate::Updated } else { fate })
    }

    /// The row of a sum, and the parts that are known.
    fn points(
        &self,
        unit: &UnitOfWork,
        samples: &DaySamples,
    ) -> ApiResult<(day_sample::Model, Points)> {
        let row = day_sample::Model {
            user_id: self.user_id.to_owned(),
            date: samples.date.to_string(),
            source: samples.source.to_string(),
            field: samples.field.to_string(),
            channel: samples.channel.to_owned(),
            points: String::new(),
            updated_at: unit.now.millis(),
        };
        let key = <day_sample::Entity as crate::store::table::Table>::key(&row);
        let known = unit.rows.get::<day_sample::Entity>(&key);
        let points = known.map(|known| serde_json::from_str(&known.points));
        let points = points.transpose().map_err(|e| ApiError::internal(&e))?;
        Ok((row, points.unwrap_or_default()))
    }

    fn add(&mut self, unit: &mut UnitOfWork, samples: &DaySamples) -> ApiResult<Fate> {
        let (row, mut points) = self.points(unit, samples)?;
        let is_new = points.add(samples);
        if points.0.values().map(BTreeMap::len).sum::<usize>() > POINTS_MAX {
            return Ok(Fate::Refused("a day has too many parts of this"));
        }
        let total = points.total();
        let Ok(value) = value_of(samples.field, total) else {
            return Ok(Fate::Refused("the parts of this day come to more than is allowed"));
        };
        if is_new {
            let points = serde_json::to_string(&points).map_err(|e| ApiError::internal(&e))?;
            unit.rows.put::<day_sample::Entity>(day_sample::Model { points, ..row });
        }
        let values = DayValues {
            date: samples.date,
            source: samples.source,
            at: None,
            follows: false,
            values: vec![(samples.field, Some(value))],
        };
        match self.values(unit, &values)? {
            Fate::Unchanged if is_new => Ok(Fate::Updated),
            fate => Ok(fate),
        }
    }

    /// Writes what changed, and says so. The row that `date` has then.
    pub(super) fn end(self, unit: &mut UnitOfWork) {
        let now = unit.now;
        for (date, Changing { row, before, day }) in self.changing {
            if day == before {
                continue;
            }
            let is_shown_anew = row.is_none() || day.shown() != before.shown();
            let version = row.as_ref().map_or(0, |row| row.version) + i64::from(is_shown_anew);
            let body = match row.filter(|_| !is_shown_anew) {
                Some(row) => row.body,
                None => day::row(date, version, &day, now),
            };
            metrics(unit, self.user_id, date, &before, &day);
            if is_shown_anew {
                let stream = user_stream(self.user_id);
                unit.append(NewEntry::for_all(stream, kind::DAILY_ENTRY, body.clone()));
            }
            unit.rows.put::<daily_entry::Entity>(daily_entry::Model {
                user_id: self.user_id.to_owned(),
                date: date.to_string(),
                version,
                said: day.stored(),
                body,
                updated_at: now.millis(),
            });
        }
    }
}

pub(super) const fn fate(is_changed: bool, is_known: bool) -> Fate {
    match (is_changed, is_known) {
        (false, _) => Fate::Unchanged,
        (true, true) => Fate::Updated,
        (true, false) => Fate::Created,
    }
}

/// Body metrics follow the day.
fn metrics(unit: &mut UnitOfWork, user_id: &str, date: NaiveDate, before: &Day, day: &Day) {
    for field in METRICS {
        let (was, is) = (before.owner(field), day.owner(field));
        if was == is {
            continue;
        }
        let (metric, date) = (field.to_string(), date.to_string());
        match is.map(|owner| (owner, &owner.value)) {
            Some((owner, Value::Real(value))) => {
                unit.rows.put::<body_metric::Entity>(body_metric::Model {
                    user_id: user_id.to_owned(),
                    metric,
                    date,
                    value: *value,
                    at: owner.at_ms,
                    source: owner.source.to_string(),
                });
            }
            _ => unit.rows.forget::<body_metric::Entity>((user_id.to_owned(), metric, date)),
        }
    }
}

/// The parts of a value: by origin, each once, in thousandths.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Points(BTreeMap<String, BTreeMap<String, i64>>);

impl Points {
    fn has(&self, origin: &str, name: &str) -> bool {
        self.0.get(origin).is_some_and(|known| known.contains_key(name))
    }

    /// Whether any is new, or other than it was.
    fn add(&mut self, samples: &DaySamples) -> bool {
        let known = self.0.entry(samples.origin.clone()).or_default();
        let mut is_new = false;
        for (name, value) in &samples.points {
            is_new |= known.insert(name.clone(), *value) != Some(*value);
        }
        is_new
    }

    /// The greatest sum of an origin.
    fn total(&self) -> i64 {
        let sum = |points: &BTreeMap<String, i64>| {
            points.values().fold(0_i64, |sum, value| sum.saturating_add(*value))
        };
        self.0.values().map(sum).max().unwrap_or_default()
    }
}

/// A sum of thousandths as a value of a field.
fn value_of(field: Field, thousandths: i64) -> Result<Value, String> {
    #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 it is out of bounds anyway")]
    let number = thousandths as f64 / SCALE as f64;
    // Halves of whole numbers are rounded once, of the sum.
    field.number(match field.shape() {
        #[expect(clippy::cast_precision_loss, reason = "as above")]
        crate::health::field::Shape::Whole { .. } => half_up(number) as f64,
        _ => number,
    })
}
