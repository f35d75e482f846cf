//! Delays between attempts: exponential, jittered, without an end.
//!
//! Owns the only use of the `backoff` crate, and only as an iterator of
//! delays: it never sleeps and never decides what is worth another attempt.

use std::time::Duration;

use backoff::backoff::Backoff as _;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// Delays from `initial`, growing by half each time, up to `longest`.
#[derive(Debug)]
pub struct Delays {
    backoff: ExponentialBackoff,
    longest: Duration,
}

impl Delays {
    /// A schedule that never gives up.
    pub fn new(initial: Duration, longest: Duration) -> Self {
        let backoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(initial)
            .with_multiplier(1.5)
            .with_randomization_factor(0.5)
            .with_max_interval(longest)
            // The crate gives up after 15 minutes by default; a device that
            // was in a tunnel for longer must still come back.
            .with_max_elapsed_time(None)
            .build();
        Self { backoff, longest }
    }

    /// How long to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        // The crate adds its jitter after the cap; cut it, so that `longest`
        // is the longest.
        self.backoff.next_backoff().unwrap_or(self.longest).min(self.longest)
    }

    /// Begins again at the initial delay: the last attempt went well.
    pub fn reset(&mut self) {
        self.backoff.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_never_end() {
        let (initial, longest) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut delays = Delays::new(initial, longest);
        let first = delays.next_delay();
        assert!(first >= initial / 2 && first <= initial * 3 / 2, "{first:?}");
        let late = (0..1_000).map(|_| delays.next_delay()).last().unwrap();
        assert!(late >= longest / 2 && late <= longest, "{late:?}");
        delays.reset();
        assert!(delays.next_delay() <= initial * 3 / 2);
    }
}
