//! Samples folded into days: those that add up, and those of which the latest
//! counts.

use std::collections::HashMap;

use chrono::NaiveDate;
use tidegate_protocol::time::Timestamp;

use crate::health::date::Sent;
use crate::health::fact::{DaySamples, DayValues, What};
use crate::health::field::{Field, Value, thousandths};
use crate::health::format::names;
use crate::health::format::taken::Taken;
use crate::health::item::Wrong;
use crate::health::source::Source;

/// A number of a field, with the name under which it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    pub(super) field: Field,
    pub(super) name: &'a str,
    pub(super) number: f64,
}

/// The days that samples of one body belong to.
#[derive(Debug)]
pub(super) struct Days {
    source: Source,
    channel: &'static str,
    origins: HashMap<String, usize>,
    sums: HashMap<(Field, NaiveDate, usize), Sum>,
    latest: HashMap<(Field, NaiveDate), Latest>,
}

#[derive(Debug, Default)]
struct Sum {
    items: u32,
    points: Vec<(String, i64)>,
}

#[derive(Clone, Debug)]
struct Latest {
    items: u32,
    at_ms: i64,
    value: Value,
}

impl Days {
    pub(super) fn new(source: Source, channel: &'static str) -> Self {
        let (origins, sums, latest) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { source, channel, origins, sums, latest }
    }

    /// A part of a day's sum, by what names it in that day and origin; it stands
    /// for so many items.
    pub(super) fn add(
        &mut self,
        reading: Reading<'_>,
        (date, origin): (NaiveDate, &str),
        key: String,
        items: u32,
    ) -> Result<(), Wrong> {
        self.value(reading)?;
        let origin = self.origin(origin);
        let sum = self.sums.entry((reading.field, date, origin)).or_default();
        sum.items += items;
        sum.points.push((key, thousandths(reading.number)));
        Ok(())
    }

    /// A value of a day that holds until a later one is known.
    pub(super) fn tell(
        &mut self,
        reading: Reading<'_>,
        date: NaiveDate,
        at: Sent,
    ) -> Result<(), Wrong> {
        let value = self.value(reading)?;
        let told = Latest { items: 0, at_ms: at.at_ms, value };
        let known = self.latest.entry((reading.field, date)).or_insert_with(|| told.clone());
        let items = known.items + 1;
        if at.at_ms >= known.at_ms {
            *known = told;
        }
        known.items = items;
        Ok(())
    }

    /// Whether a field takes a number.
    pub(super) fn check(&self, reading: Reading<'_>) -> Result<(), Wrong> {
        self.value(reading).map(drop)
    }

    fn value(&self, Reading { field, name, number }: Reading<'_>) -> Result<Value, Wrong> {
        let value = names::value(field, number, self.source);
        value.map_err(|reason| Wrong::new(name, reason))
    }

    fn origin(&mut self, name: &str) -> usize {
        if let Some(known) = self.origins.get(name) {
            return *known;
        }
        let next = self.origins.len();
        self.origins.insert(name.to_owned(), next);
        next
    }

    /// A fact for each day, field and origin.
    pub(super) fn finish(self, taken: &mut Taken) {
        let Self { source, channel, origins, sums, latest } = self;
        let mut names: Vec<_> = origins.into_iter().map(|(name, at)| (at, name)).collect();
        names.sort_unstable();
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_unstable_by_key(|(key, _)| *key);
        for ((field, date, origin), Sum { items, points }) in sums {
            let origin = names.get(origin).map(|(_, name)| name.clone()).unwrap_or_default();
            let points = once(points);
            let samples = DaySamples { date, source, field, channel, origin, points };
            taken.fact(items, What::Samples(samples));
        }
        let mut latest: Vec<_> = latest.into_iter().collect();
        latest.sort_unstable_by_key(|(key, _)| *key);
        for ((field, date), Latest { items, at_ms, value }) in latest {
            let at = Some(Timestamp::from_millis(at_ms));
            let values = vec![(field, Some(value))];
            taken.fact(items, What::Values(DayValues { date, source, at, follows: true, values }));
        }
    }
}

/// Each point once: of two with one key the later counts.
fn once(mut points: Vec<(String, i64)>) -> Vec<(String, i64)> {
    points.sort_by(|one, other| one.0.cmp(&other.0));
    points.dedup_by(|next, kept| {
        let is_same = next.0 == kept.0;
        if is_same {
            kept.1 = next.1;
        }
        is_same
    });
    points.shrink_to_fit();
    points
}
