//! What a person does to a user's data: correcting a day, deleting an activity,
//! saying where the user lives.

use chrono::NaiveDate;
use sea_orm::DbErr;
use tidegate_entity::activity::{self, State};
use tidegate_entity::{daily_entry, health_profile};
use tidegate_protocol::code::ErrorCode;

use crate::error::{ApiError, ApiResult};
use crate::health::fact::DayValues;
use crate::health::field::{Field, Value};
use crate::health::source::Source;
use crate::ingest::health::activities::Activities;
use crate::ingest::health::days::Days;
use crate::ingest::health::take_in::note;
use crate::ingest::health::{Touched, audit, audit_days};
use crate::ingest::unit::{ReadSet, UnitOfWork, user_stream};
use crate::ingest::write::Write;
use crate::ingest::{Ingest, IngestOptions};
use crate::store;
use crate::store::health::activity::Wanted;
use crate::store::write::Transaction;

/// A day to be corrected by hand.
#[derive(Clone, Debug)]
pub struct Correction {
    /// The user.
    pub user_id: String,
    /// The day.
    pub date: NaiveDate,
    /// `None` withdraws what a person said.
    pub values: Vec<(Field, Option<Value>)>,
    /// The version that the caller saw.
    pub expected: Option<i64>,
    /// Who does it, where that is not the user.
    pub by: Option<String>,
}

impl Ingest {
    /// Corrects a day; its row then.
    ///
    /// # Errors
    /// 404 where values are only withdrawn from a day that is not there, 409 where
    /// it is at another version than expected.
    pub async fn correct_day(&self, correction: Correction) -> ApiResult<String> {
        self.submit(correction).await
    }

    /// Deletes an activity: it does not return when it is sent again.
    ///
    /// # Errors
    /// 404 where it is not there.
    pub async fn delete_activity(
        &self,
        user_id: &str,
        id: &str,
        by: Option<&str>,
    ) -> ApiResult<()> {
        let (user_id, id, by) = (user_id.to_owned(), id.to_owned(), by.map(str::to_owned));
        self.submit(DeleteActivity { user_id, id, by }).await
    }

    /// Says where the user lives: an IANA name, or unknown.
    pub async fn set_time_zone(
        &self,
        user_id: &str,
        time_zone: Option<&str>,
        by: Option<&str>,
    ) -> ApiResult<()> {
        let (user_id, by) = (user_id.to_owned(), by.map(str::to_owned));
        self.submit(SetTimeZone { user_id, time_zone: time_zone.map(str::to_owned), by }).await
    }
}

impl Write for Correction {
    type Draft = ();
    type Answer = String;

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        reads.streams.insert(user_stream(&self.user_id));
        reads.rows.want::<daily_entry::Entity>((self.user_id.clone(), self.date.to_string()));
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<()> {
        let mut days = Days::of(&self.user_id);
        let version = days.version(unit, self.date)?;
        if self.expected.is_some_and(|expected| expected != version) {
            let message = "the day is not at the version that you saw";
            let error = ApiError::new(ErrorCode::VersionConflict, message);
            return Err(error.with_current_version("If-Match", version));
        }
        if version == 0 && self.values.iter().all(|(_, value)| value.is_none()) {
            return Err(ApiError::new(ErrorCode::NotFound, "there is nothing on this day"));
        }
        let values = DayValues {
            date: self.date,
            source: Source::Manual,
            at: None,
            follows: false,
            values: self.values.clone(),
        };
        let fate = days.values(unit, &values)?;
        days.end(unit);
        if fate != crate::ingest::health::Fate::Unchanged {
            let mut by_hand = Touched::new();
            note(&mut by_hand, &values);
            audit_days(unit, &self.user_id, self.by.as_deref(), &by_hand);
        }
        Ok(())
    }

    fn answer(&self, unit: &mut UnitOfWork, (): ()) -> ApiResult<String> {
        let key = (self.user_id.clone(), self.date.to_string());
        let row = unit.rows.get::<daily_entry::Entity>(&key);
        row.map(|row| row.body.clone()).ok_or_else(|| ApiError::internal(&"a day is gone"))
    }
}

struct DeleteActivity {
    user_id: String,
    id: String,
    by: Option<String>,
}

impl Write for DeleteActivity {
    type Draft = ();
    type Answer = ();

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        reads.streams.insert(user_stream(&self.user_id));
        let wanted = Wanted::Id((self.user_id.clone(), self.id.clone()));
        reads.rows.want::<activity::Entity>(wanted);
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<()> {
        let mut activities = Activities::of(&self.user_id);
        if !activities.remove(unit, &self.id, State::Deleted) {
            return Err(ApiError::new(ErrorCode::NotFound, "there is no such activity"));
        }
        activities.end(unit);
        if let Some(by) = &self.by {
            let subject = format!("user:{}/activity:{}", self.user_id, self.id);
            audit(unit, by, "activity.delete", subject, &[]);
        }
        Ok(())
    }

    fn answer(&self, _: &mut UnitOfWork, (): ()) -> ApiResult<()> {
        Ok(())
    }
}

/// Activities of a source that are taken away by one transaction.
const FORGOTTEN_AT_ONCE: u64 = 200;

/// Some of a source's activities, until there are none.
pub(super) struct ForgetActivities {
    pub(super) user_id: String,
    pub(super) source: Source,
}

impl Write for ForgetActivities {
    type Draft = u64;
    /// How many there were.
    type Answer = u64;

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        reads.streams.insert(user_stream(&self.user_id));
    }

    /// One that comes meanwhile stays for the next turn.
    async fn locate(&self, tx: &Transaction, reads: &mut ReadSet) -> Result<(), DbErr> {
        let source = self.source.as_str();
        let ids = store::health::activity::of_source(tx, &self.user_id, source, FORGOTTEN_AT_ONCE);
        for id in ids.await? {
            reads.rows.want::<activity::Entity>(Wanted::Id((self.user_id.clone(), id)));
        }
        Ok(())
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<u64> {
        let first = (self.user_id.clone(), String::new());
        let rows = unit.rows.range::<activity::Entity>(first..);
        let of_user = rows.take_while(|row| row.user_id == self.user_id);
        let of_source =
            of_user.filter(|row| row.source == self.source.as_str() && row.state == State::Live);
        let ids: Vec<String> = of_source.map(|row| row.id.clone()).collect();
        let mut activities = Activities::of(&self.user_id);
        let mut forgotten = 0;
        for id in ids {
            forgotten += u64::from(activities.remove(unit, &id, State::Gone));
        }
        activities.end(unit);
        Ok(forgotten)
    }

    fn answer(&self, _: &mut UnitOfWork, forgotten: u64) -> ApiResult<u64> {
        Ok(forgotten)
    }
}

struct SetTimeZone {
    user_id: String,
    time_zone: Option<String>,
    by: Option<String>,
}

impl Write for SetTimeZone {
    type Draft = ();
    type Answer = ();

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        reads.streams.insert(user_stream(&self.user_id));
        reads.rows.want::<health_profile::Entity>(self.user_id.clone());
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<()> {
        let known = unit.rows.get::<health_profile::Entity>(&self.user_id);
        if known.and_then(|known| known.time_zone.clone()) == self.time_zone {
            return Ok(());
        }
        unit.rows.put::<health_profile::Entity>(health_profile::Model {
            user_id: self.user_id.clone(),
            time_zone: self.time_zone.clone(),
            updated_at: unit.now.millis(),
        });
        if let Some(by) = &self.by {
            let subject = format!("user:{}/profile", self.user_id);
            audit(unit, by, "profile.change", subject, &["time_zone"]);
        }
        Ok(())
    }

    fn answer(&self, _: &mut UnitOfWork, (): ()) -> ApiResult<()> {
        Ok(())
    }
}
