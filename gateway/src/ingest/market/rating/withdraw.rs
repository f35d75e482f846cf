//! A user takes a rating back.

use tidegate_entity::{conflict, skill_rating};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::entry::ConflictStatus;

use crate::error::{ApiError, ApiResult};
use crate::ingest::IngestOptions;
use crate::ingest::market::WithdrawnRating;
use crate::ingest::market::rating::{about, end};
use crate::ingest::unit::{ReadSet, UnitOfWork, user_stream};
use crate::ingest::write::Write;
use crate::store::conflict::Wanted;
use crate::store::rating::RatingKey;

impl Write for WithdrawnRating {
    type Draft = skill_rating::Model;
    type Answer = skill_rating::Model;

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        reads.streams.insert(user_stream(&self.user_id));
        let subject = format!("rating:{}:{}", self.skill_id, self.user_id);
        reads.rows.want::<conflict::Entity>(Wanted::StandingOf(subject));
        reads.rows.want::<skill_rating::Entity>(key(self));
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<skill_rating::Model> {
        withdraw(unit, self)
    }

    fn answer(&self, _: &mut UnitOfWork, row: skill_rating::Model) -> ApiResult<Self::Answer> {
        Ok(row)
    }
}

fn key(rating: &WithdrawnRating) -> RatingKey {
    (rating.skill_id.clone(), rating.user_id.clone())
}

/// Forgets the rating, and ends what waits for a decision about it; the rating
/// as it was.
fn withdraw(unit: &mut UnitOfWork, rating: &WithdrawnRating) -> ApiResult<skill_rating::Model> {
    let key = key(rating);
    if unit.rows.get::<skill_rating::Entity>(&key).is_some() {
        for (conflict, found) in about(unit, &key) {
            if conflict.status == ConflictStatus::Open {
                end(unit, conflict, found, &rating.user_id);
            }
        }
    }
    let row = unit.rows.remove::<skill_rating::Entity>(&key);
    row.ok_or_else(|| ApiError::new(ErrorCode::NotFound, "you have not rated this skill"))
}
