//! How long upstream asks to be left alone: `Retry-After` of any of its answers
//! holds for everything that is asked of it, over runs, sockets, restarts and
//! operators, until it is over.
//!
//! The time stands in the sync state, and in memory on the node that leads,
//! which alone asks anything.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tidegate_protocol::time::Timestamp;
use tidegate_services::atom::error::Retry;

use crate::config::marketplace::Marketplace;
use crate::error::ApiError;
use crate::marketplace::lead::{LOOK, Leader};
use crate::marketplace::listing::Failure;
use crate::marketplace::status::change;

/// Longest time that a run waits for; beyond it the run fails, and the next one
/// begins when the time is over.
const WAIT_MAX: Duration = Duration::from_mins(5);

/// Until when upstream asked for patience, milliseconds.
#[derive(Debug, Default)]
pub(super) struct Patience(AtomicI64);

impl Patience {
    pub(super) fn new(asked_until: Option<i64>) -> Self {
        Self(AtomicI64::new(asked_until.unwrap_or_default()))
    }
}

/// What is left of the time that upstream asked for. A time beyond what it can
/// ask for counts as over: the clock was ahead when it was noted, and must not
/// hold anybody up until it is there again.
pub(super) fn left(settings: &Marketplace, asked_until: i64, now: Timestamp) -> Duration {
    let left_ms = u64::try_from(asked_until.saturating_sub(now.millis())).unwrap_or_default();
    let left = Duration::from_millis(left_ms);
    if left > longest(settings) { Duration::ZERO } else { left }
}

/// Refuses what an operator wants done at once while upstream wants patience.
pub(super) fn refuse(
    settings: &Marketplace,
    asked_until: Option<i64>,
    now: Timestamp,
) -> Result<(), ApiError> {
    let left = left(settings, asked_until.unwrap_or_default(), now);
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
        let until = self.patience.0.load(Ordering::Relaxed);
        left(self.settings(), until, self.state.clock.now())
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
        let asked_ms = i64::try_from(asked.as_millis()).unwrap_or(i64::MAX);
        let until = self.state.clock.now().plus_millis(asked_ms).millis();
        // What a clock that was ahead had noted is over, and must not outlast
        // this answer.
        let longest_ms = i64::try_from(longest(self.settings()).as_millis()).unwrap_or(i64::MAX);
        let latest = self.state.clock.now().plus_millis(longest_ms).millis();
        let later = |known: i64| if known > latest { until } else { known.max(until) };
        let _ = self
            .patience
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |known| Some(later(known)));
        tracing::info!(seconds = asked.as_secs(), "the marketplace asks to be left alone");
        let noted = change(&self.state, &self.fence, |row| {
            row.asked_until = Some(row.asked_until.map_or(until, later));
        });
        if noted.await.is_err() {
            tracing::warn!("how long the marketplace wants patience is known to this node only");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_whatever_the_clock_did() {
        let mut settings = crate::config::load::load(None, []).unwrap().marketplace;
        settings.retry_after_max_s = 60;
        let left_ms =
            |until: i64, now: i64| left(&settings, until, Timestamp::from_millis(now)).as_millis();
        assert_eq!(left_ms(0, 1_000), 0, "never asked");
        assert_eq!(left_ms(31_000, 1_000), 30_000);
        assert_eq!(left_ms(61_000, 1_000), 60_000);
        assert_eq!(left_ms(31_000, 31_000), 0);
        // Noted by a clock that was a year ahead.
        assert_eq!(left_ms(31_536_000_000, 1_000), 0);
        assert_eq!(left_ms(i64::MAX, -1), 0);
    }

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
