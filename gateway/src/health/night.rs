//! The nights that end on one day: one of each source, and the one that is shown.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use tidegate_protocol::time::Timestamp;

use crate::health::fact::Night;
use crate::health::source::Source;

/// A night of a source, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Raised whenever it changes, or begins or ceases to be shown.
    pub version: i64,
    /// When it was measured, or arrived; milliseconds since the epoch.
    at_ms: i64,
    #[serde(flatten)]
    period: Period,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Period {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    total_sleep_minutes: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_bed_minutes: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    awake_minutes: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asleep_core_minutes: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asleep_deep_minutes: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asleep_rem_minutes: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sleep_start_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sleep_end_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    source_devices: Vec<String>,
    /// What the source said of when it measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    measured_at_ms: Option<i64>,
}

impl Period {
    fn of(night: &Night) -> Self {
        let night = night.clone();
        Self {
            source_id: night.source_id,
            total_sleep_minutes: night.total_sleep_minutes,
            in_bed_minutes: night.in_bed_minutes,
            awake_minutes: night.awake_minutes,
            asleep_core_minutes: night.asleep_core_minutes,
            asleep_deep_minutes: night.asleep_deep_minutes,
            asleep_rem_minutes: night.asleep_rem_minutes,
            sleep_start_ms: night.sleep_start_ms,
            sleep_end_ms: night.sleep_end_ms,
            source_devices: night.source_devices,
            measured_at_ms: night.at.map(Timestamp::millis),
        }
    }

    fn length_ms(&self) -> i64 {
        let minutes = || self.in_bed_minutes.or(self.total_sleep_minutes).unwrap_or_default();
        match (self.sleep_start_ms, self.sleep_end_ms) {
            (Some(start), Some(end)) => end.saturating_sub(start),
            _ => minutes().saturating_mul(60_000),
        }
    }

    /// Whether the other says something of the same period of sleep.
    fn is_same_as(&self, other: &Self) -> bool {
        match (&self.source_id, &other.source_id) {
            (Some(own), Some(others)) => own == others,
            _ => match (self.sleep_start_ms, other.sleep_start_ms) {
                (Some(own), Some(others)) => own == others,
                _ => true,
            },
        }
    }
}

/// The nights that end on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nights(BTreeMap<Source, Kept>);

impl Nights {
    /// Takes a night in; whether anything is different now. The longest period of
    /// a source is kept, of those that say how long somebody slept; of one period
    /// the newest word.
    pub fn merge(&mut self, night: &Night, now: Timestamp) -> bool {
        let period = Period::of(night);
        let at_ms = night.at.unwrap_or(now).millis();
        if let Some(known) = self.0.get(&night.source) {
            let [says_known, says_new] =
                [&known.period, &period].map(|one| one.total_sleep_minutes.is_some());
            // Time in bed alone says less than sleep.
            let is_kept = if says_known != says_new {
                says_known
            } else if known.period.is_same_as(&period) {
                known.period == period || night.at.is_some_and(|at| at.millis() < known.at_ms)
            } else {
                period.length_ms() <= known.period.length_ms()
            };
            if is_kept {
                return false;
            }
        }
        self.0.insert(night.source, Kept { version: 0, at_ms, period });
        true
    }

    /// Forgets a night that its source deleted; whether there was one.
    pub fn remove(&mut self, source: Source, source_id: &str) -> bool {
        let is_it = self.holds(source, source_id);
        if is_it {
            self.0.remove(&source);
        }
        is_it
    }

    /// Whether the period of sleep that a night tells of is here: it has the same
    /// beginning, and the same id where both have one.
    pub fn knows(&self, night: &Night) -> bool {
        let period = Period::of(night);
        let known = self.0.get(&night.source).map(|known| &known.period);
        known.is_some_and(|known| {
            period.sleep_start_ms.is_some()
                && known.sleep_start_ms == period.sleep_start_ms
                && known.is_same_as(&period)
        })
    }

    /// Whether a night of this id is here.
    pub fn holds(&self, source: Source, source_id: &str) -> bool {
        let known = self.0.get(&source);
        known.is_some_and(|known| known.period.source_id.as_deref() == Some(source_id))
    }

    /// Whose night is shown: by rank, newest, priority.
    pub fn shown(&self) -> Option<Source> {
        let worth = |(source, kept): &(&Source, &Kept)| {
            (source.rank(), kept.at_ms, source.priority(), source.as_str())
        };
        self.0.iter().max_by_key(worth).map(|(source, _)| *source)
    }

    /// Sets the version of nights that are different from what they were.
    pub fn stamp(&mut self, before: &Self, version: i64) {
        let (was_shown, is_shown) = (before.shown(), self.shown());
        for (source, kept) in &mut self.0 {
            let known = before.0.get(source);
            let is_same =
                known.is_some_and(|known| known.period == kept.period && known.at_ms == kept.at_ms);
            let was_it = was_shown == Some(*source);
            if !is_same || was_it != (is_shown == Some(*source)) {
                kept.version = version;
            }
        }
    }

    /// One night as everybody sees it.
    pub fn row(&self, date: NaiveDate, source: Source) -> Option<Map<String, Json>> {
        let kept = self.0.get(&source)?;
        let period = &kept.period;
        let mut row = Map::new();
        row.insert("date".to_owned(), json!(date.to_string()));
        row.insert("version".to_owned(), json!(kept.version));
        row.insert("source".to_owned(), json!(source));
        row.insert("canonical".to_owned(), json!(self.shown() == Some(source)));
        let mut put = |name: &str, value: Option<Json>| {
            if let Some(value) = value {
                row.insert(name.to_owned(), value);
            }
        };
        let number = |number: Option<i64>| number.map(Json::from);
        let time = |millis: Option<i64>| millis.map(|at| json!(Timestamp::from_millis(at)));
        put("source_id", period.source_id.as_deref().map(Json::from));
        put("total_sleep_minutes", number(period.total_sleep_minutes));
        put("in_bed_minutes", number(period.in_bed_minutes));
        put("awake_minutes", number(period.awake_minutes));
        put("asleep_core_minutes", number(period.asleep_core_minutes));
        put("asleep_deep_minutes", number(period.asleep_deep_minutes));
        put("asleep_rem_minutes", number(period.asleep_rem_minutes));
        put("sleep_start", time(period.sleep_start_ms));
        put("sleep_end", time(period.sleep_end_ms));
        let has_devices = !period.source_devices.is_empty();
        put("source_devices", has_devices.then(|| json!(period.source_devices)));
        put("measured_at", time(period.measured_at_ms));
        Some(row)
    }

    /// All sources that tell of the day, whoever is shown first.
    pub fn sources(&self) -> Vec<Source> {
        let shown = self.shown();
        let others = self.0.keys().copied().filter(|source| Some(*source) != shown);
        shown.into_iter().chain(others).collect()
    }
}

#[cfg(test)]
mod tests;
