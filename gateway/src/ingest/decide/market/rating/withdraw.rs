//! A user takes a rating back.

use tidegate_entity::skill_rating;
use tidegate_protocol::code::ErrorCode;

use crate::error::{ApiError, ApiResult};
use crate::ingest::decide::market::rating::{about, end};
use crate::ingest::market::WithdrawnRating;
use crate::ingest::working::{Needs, Working, user_stream};
use crate::store::conflict::OPEN;
use crate::store::rating::RatingKey;

pub(crate) fn needs(rating: &WithdrawnRating, needs: &mut Needs) {
    needs.ratings.insert(key(rating));
    needs.streams.insert(user_stream(&rating.user_id));
    needs.subjects.insert(format!("rating:{}:{}", rating.skill_id, rating.user_id));
}

fn key(rating: &WithdrawnRating) -> RatingKey {
    (rating.skill_id.clone(), rating.user_id.clone())
}

/// Forgets the rating, and ends what waits for a decision about it; the rating
/// as it was.
pub(crate) fn withdraw(
    working: &mut Working,
    rating: &WithdrawnRating,
) -> ApiResult<Box<skill_rating::Model>> {
    let key = key(rating);
    let missing = || ApiError::new(ErrorCode::NotFound, "you have not rated this skill");
    let row = working.ratings.get(&key).cloned().ok_or_else(missing)?;
    for (conflict, found) in about(working, &key) {
        if conflict.status == OPEN {
            end(working, conflict, found, &rating.user_id);
        }
    }
    working.drop_rating(key);
    Ok(Box::new(row))
}
