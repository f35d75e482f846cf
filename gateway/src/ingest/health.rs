//! Facts of a user's health: merged into days, nights and activities, each with
//! its entry, in one transaction.

use crate::error::{ApiError, ApiResult};
use crate::health::fact::Fact;
use crate::health::source::Source;
use crate::ingest::Ingest;

/// What became of the items that facts stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Of rows that did not exist.
    pub created: u64,
    /// Of rows that changed.
    pub updated: u64,
    /// That said nothing new.
    pub unchanged: u64,
}

impl Ingest {
    /// Merges facts about a user, in order. `by`: who says so, where that is not
    /// the user. In several transactions where they are many; each fact is merged
    /// whole or not at all, and merging it again changes nothing.
    pub async fn take_in(
        &self,
        _user_id: &str,
        _facts: Vec<Fact>,
        _by: Option<&str>,
    ) -> ApiResult<Tally> {
        Err(ApiError::unavailable("not built yet"))
    }

    /// Deletes all activities that a source told of, as if it had deleted them.
    pub async fn forget_activities(&self, _user_id: &str, _source: Source) -> ApiResult<u64> {
        Err(ApiError::unavailable("not built yet"))
    }
}
