//! Nights that a unit of work changes.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde_json::{Value as Json, json};
use tidegate_entity::sleep_record;
use tidegate_protocol::entry::kind;

use crate::error::{ApiError, ApiResult};
use crate::health::date::{self, neighbours};
use crate::health::fact::Night;
use crate::health::night::Nights as OfDay;
use crate::health::source::Source;
use crate::ingest::health::Fate;
use crate::ingest::health::days::fate;
use crate::ingest::unit::{NewEntry, UnitOfWork, user_stream};
use crate::journal::health::with_op;

struct Changing {
    row: Option<sleep_record::Model>,
    before: OfDay,
    nights: OfDay,
}

/// The nights of a user that a write changes, by the day on which they end.
pub(super) struct Nights<'a> {
    user_id: &'a str,
    changing: BTreeMap<NaiveDate, Changing>,
}

impl<'a> Nights<'a> {
    pub(super) const fn of(user_id: &'a str) -> Self {
        Self { user_id, changing: BTreeMap::new() }
    }

    fn day(&mut self, unit: &UnitOfWork, date: NaiveDate) -> ApiResult<&mut Changing> {
        if !self.changing.contains_key(&date) {
            let key = (self.user_id.to_owned(), date.to_string());
            let row = unit.rows.get::<sleep_record::Entity>(&key).cloned();
            let before = row.as_ref().map(read).transpose()?.unwrap_or_default();
            self.changing.insert(date, Changing { row, nights: before.clone(), before });
        }
        self.changing.get_mut(&date).ok_or_else(|| ApiError::internal(&"a night is gone"))
    }

    /// Takes a night in. One that is known of a neighbouring day stays there: days
    /// are fixed when something arrives.
    pub(super) fn night(&mut self, unit: &UnitOfWork, night: &Night) -> ApiResult<Fate> {
        for date in neighbours(night.date) {
            if self.day(unit, date)?.nights.knows(night) {
                return self.merge(unit, &Night { date, ..night.clone() });
            }
        }
        self.merge(unit, night)
    }

    fn merge(&mut self, unit: &UnitOfWork, night: &Night) -> ApiResult<Fate> {
        let now = unit.now;
        let changing = self.day(unit, night.date)?;
        let is_changed = changing.nights.merge(night, now);
        Ok(fate(is_changed, changing.row.is_some()))
    }

    /// Forgets a night that its source deleted.
    pub(super) fn gone(
        &mut self,
        unit: &UnitOfWork,
        source: Source,
        source_id: &str,
    ) -> ApiResult<Fate> {
        let first = (self.user_id.to_owned(), String::new());
        let rows = unit.rows.range::<sleep_record::Entity>(first..);
        let of_user = rows.take_while(|row| row.user_id == self.user_id);
        let dates: Vec<NaiveDate> = of_user
            .filter(|row| row.nights.contains(source.as_str()))
            .filter_map(|row| date::parse(&row.date))
            .collect();
        for date in dates {
            if self.day(unit, date)?.nights.remove(source, source_id) {
                return Ok(Fate::Updated);
            }
        }
        Ok(Fate::Unchanged)
    }

    /// Writes what changed, and says so.
    pub(super) fn end(self, unit: &mut UnitOfWork) -> ApiResult<()> {
        let now = unit.now;
        for (date, Changing { row, before, mut nights }) in self.changing {
            if nights == before {
                continue;
            }
            let version = row.as_ref().map_or(0, |row| row.version) + 1;
            nights.stamp(&before, version);
            let body = nights.shown().and_then(|shown| nights.row(date, shown));
            let body = body.map(|body| Json::Object(body).to_string());
            if row.as_ref().and_then(|row| row.body.as_ref()) != body.as_ref() {
                let told = told(date, version, body.as_deref());
                unit.append(NewEntry::for_all(user_stream(self.user_id), kind::SLEEP, told));
            }
            let nights = serde_json::to_string(&nights).map_err(|e| ApiError::internal(&e))?;
            unit.rows.put::<sleep_record::Entity>(sleep_record::Model {
                user_id: self.user_id.to_owned(),
                date: date.to_string(),
                version,
                nights,
                body,
                updated_at: now.millis(),
            });
        }
        Ok(())
    }
}

fn read(row: &sleep_record::Model) -> ApiResult<OfDay> {
    serde_json::from_str(&row.nights).map_err(|e| ApiError::internal(&e))
}

/// What devices are told: the night with what becomes of it.
fn told(date: NaiveDate, version: i64, body: Option<&str>) -> String {
    match body {
        Some(body) => with_op(body),
        None => json!({"date": date.to_string(), "version": version, "op": "delete"}).to_string(),
    }
}
