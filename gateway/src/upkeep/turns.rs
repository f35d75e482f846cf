//! When recurring work has its turn.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Turns of recurring work: the first at once, the others no closer together
/// than the interval, however long a turn took.
pub(super) struct Turns {
    ticks: Interval,
    stop: CancellationToken,
}

impl Turns {
    pub(super) fn every(interval: Duration, stop: CancellationToken) -> Self {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, stop }
    }

    /// Waits for the next turn; false when it is time to end. May be dropped and
    /// called again: no turn is lost.
    pub(super) async fn next(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            _ = self.ticks.tick() => true,
        }
    }
}
