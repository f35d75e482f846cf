//! How long upstream asks to be left alone: `Retry-After` of any of its answers
//! holds for everything that is asked of it, over runs, sockets, restarts and
//! operators, until it is over.
//!
//! The time stands in the sync state, and in memory on the node that leads,
//! which alone asks anything.

use std::time::Duration;

use tidegate_protocol::time::Timestamp;
use tidegate_services::atom::error::Retry;

use crate::config::marketplace::Marketplace;
use crate::error::ApiError;
use crate::marketplace::lead::{LOOK, Leader};
use crate::marketplace::listing::Failure;
use crate::marketplace::status::change;
use crate::schedule::window::left;

/// Longest time that a run waits for; beyond it the run fails, and the next one
/// begins when the time is over.
const WAIT_MAX: Duration = Duration::from_mins(5);

/// Refuses what an operator wants done at once while upstream wants patience.
pub(super) fn refuse(
    settings: &Marketplace,
    asked_until: Option<i64>,
    now: Timestamp,
) -> Result<(), ApiError> {
    let left = left(asked_until.unwrap_or_default(), longest(settings), now);
    if left.is_zero() {
        return Ok(());
    }
    let seconds = u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
    let message = format!("the marketplace asks to be left alone for {seconds} s");
    Err(ApiError::unavailable(message).with_retry_after(seconds))
}

fn longest(settings: &Marketplace) -> Duration {
    Duration::from_secs(u64::from(settings.retry_after_max_s))
}

impl Leader {
    /// How much longer upstream is to be left alone.
    pub(super) fn patience_left(&self) -> Duration {
        self.window.left()
    }

    /// Waits until upstream may be asked. Fails where that is longer than a run
    /// waits.
    pub(super) async fn be_patient(&self) -> Result<(), Failure> {
        loop {
            let left = self.patience_left();
            if left.is_zero() {
                return Ok(());
            }
            if left > WAIT_MAX {
                return Err(Failure::Patience(left.as_secs()));
            }
            // In short steps: the time is a wall clock's, which may be set.
            if !self.wait(left.min(LOOK)).await {
                return Err(Failure::Over);
            }
        }
    }

    /// Notes that upstream asked for patience, if it did.
    pub(super) async fn heed(&self, retry: Retry) {
        let Retry::After(asked) = retry else { return };
        let asked = asked.min(longest(self.settings()));
        let closing = self.window.close(asked);
        tracing::info!(seconds = asked.as_secs(), "the marketplace asks to be left alone");
        let noted = change(self, |row| row.asked_until = Some(closing.after(row.asked_until)));
        if noted.await.is_err() {
            tracing::warn!("how long the marketplace wants patience is known to this node only");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_told_whole_seconds() {
        let settings = crate::config::load::load(None, []).unwrap().marketplace;
        let refused = |until| refuse(&settings, until, Timestamp::from_millis(1_000));
        assert_eq!(refused(None), Ok(()));
        assert_eq!(refused(Some(1_000)), Ok(()));
        assert_eq!(refused(Some(1_001)).unwrap_err().retry_after_s, Some(1));
        assert_eq!(refused(Some(3_500)).unwrap_err().retry_after_s, Some(3));
    }
}
