//! When a remote may be asked: its `Retry-After` closes a window for everything
//! that is asked of it, until the time is over.
//!
//! By the wall clock, so that it can be noted and holds over restarts. A time
//! beyond what the remote can ask for counts as over: the clock was ahead when
//! it was noted, and must not hold anybody up until it is there again.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tidegate_protocol::time::Timestamp;

use tidegate_clock::Clock;

/// A remote's window.
#[derive(Debug)]
pub struct Window {
    clock: Clock,
    /// The longest that the remote is heeded.
    longest: Duration,
    /// Milliseconds since the epoch.
    closed_until: AtomicI64,
}

impl Window {
    /// Closed until then, as it was noted.
    pub fn new(clock: Clock, longest: Duration, closed_until: Option<i64>) -> Self {
        let closed_until = AtomicI64::new(closed_until.unwrap_or_default());
        Self { clock, longest, closed_until }
    }

    /// How much longer it is closed.
    pub fn left(&self) -> Duration {
        left(self.closed_until.load(Ordering::Relaxed), self.longest, self.clock.now())
    }

    /// Closes it for as long as the remote asks, within bounds; what to note.
    pub fn close(&self, asked: Duration) -> Closing {
        let now = self.clock.now();
        let closing = Closing {
            until: later(now, asked.min(self.longest)),
            latest: later(now, self.longest),
        };
        let known = &self.closed_until;
        let _ = known.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |known| {
            Some(closing.after(Some(known)))
        });
        closing
    }
}

/// A closing of a window, to be noted where it outlasts a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    until: i64,
    latest: i64,
}

impl Closing {
    /// Until when it is closed that was closed until `known` before. What a clock
    /// that was ahead had noted is over, and must not outlast this.
    pub fn after(self, known: Option<i64>) -> i64 {
        match known {
            Some(known) if known <= self.latest => known.max(self.until),
            _ => self.until,
        }
    }
}

/// What is left of a time that a remote asked for.
pub fn left(closed_until: i64, longest: Duration, now: Timestamp) -> Duration {
    let left_ms = u64::try_from(closed_until.saturating_sub(now.millis())).unwrap_or_default();
    let left = Duration::from_millis(left_ms);
    if left > longest { Duration::ZERO } else { left }
}

fn later(now: Timestamp, wait: Duration) -> i64 {
    now.plus_millis(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)).millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_window_opens_whatever_the_clock_did() {
        let left_ms =
            |until: i64, now: i64| left(until, MINUTE, Timestamp::from_millis(now)).as_millis();
        assert_eq!(left_ms(0, 1_000), 0, "never asked");
        assert_eq!(left_ms(31_000, 1_000), 30_000);
        assert_eq!(left_ms(61_000, 1_000), 60_000);
        assert_eq!(left_ms(31_000, 31_000), 0);
        // Noted by a clock that was a year ahead.
        assert_eq!(left_ms(31_536_000_000, 1_000), 0);
        assert_eq!(left_ms(i64::MAX, -1), 0);
    }

    #[test]
    fn the_longer_word_holds_and_a_wrong_clocks_does_not() {
        let closing = Closing { until: 5_000, latest: 60_000 };
        assert_eq!(closing.after(None), 5_000);
        assert_eq!(closing.after(Some(4_000)), 5_000);
        assert_eq!(closing.after(Some(50_000)), 50_000);
        assert_eq!(closing.after(Some(60_001)), 5_000);
    }

    #[test]
    fn it_is_closed_for_no_longer_than_is_heeded() {
        let (clock, hands) = Clock::movable();
        let window = Window::new(clock, MINUTE, None);
        assert_eq!(window.left(), Duration::ZERO);
        window.close(Duration::from_hours(1));
        assert!(window.left() > Duration::ZERO && window.left() <= MINUTE);
        hands.move_ms(60_000);
        assert_eq!(window.left(), Duration::ZERO);
    }
}
