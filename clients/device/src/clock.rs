//! Time: the gateway's as far as this device knows it, and the system's.
//!
//! Never waits: waiting goes through `tokio::time`.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_protocol::time::Timestamp;

use crate::clock::steady::Steady;

mod steady;

/// A `Date` header has whole seconds and was on its way: a smaller difference
/// to what is known says nothing.
const DATE_TOLERANCE_MS: i64 = 2_000;

/// Tells the time in whole milliseconds. Clones share what the gateway said.
///
/// `expires_at` of a command is judged by the gateway's clock. A phone's own
/// may be wrong by years and is set at any moment, also between two starts of
/// the app. So the gateway's time is what it said last plus what has passed
/// since then on a clock that nobody sets; before it has said anything to this
/// process, its time is not known.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    heard: Arc<Mutex<Option<Heard>>>,
    /// Milliseconds added to the system's time; moved by tests only.
    moved_ms: Arc<AtomicI64>,
}

/// What the gateway said, and when.
#[derive(Clone, Copy, Debug)]
struct Heard {
    gateway: Timestamp,
    at: Steady,
    /// It said nothing yet: this is what the device's own clock makes of it.
    is_guess: bool,
}

impl Heard {
    fn now(self) -> Timestamp {
        let since_ms = i64::try_from(self.at.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.gateway.plus_millis(since_ms)
    }
}

impl Clock {
    /// The system's clock; the gateway has said nothing yet.
    pub fn system() -> Self {
        Self::default()
    }

    /// The system's clock plus an offset that the owner of the handle moves.
    pub fn movable() -> (Self, Arc<AtomicI64>) {
        let clock = Self::default();
        let handle = Arc::clone(&clock.moved_ms);
        (clock, handle)
    }

    /// Now, by this device's own clock, which may be wrong and may jump.
    pub fn local_now(&self) -> Timestamp {
        let now = Timestamp::from_millis(system_millis());
        now.plus_millis(self.moved_ms.load(Ordering::Relaxed))
    }

    /// Now, by the gateway's clock; `None` before it has said its time to this
    /// process. No jump of this device's own clock moves it.
    pub fn gateway_now(&self) -> Option<Timestamp> {
        self.last_heard().filter(|heard| !heard.is_guess).map(Heard::now)
    }

    /// The same, or a guess where the gateway's answers lack their time. By a
    /// guess a command may begin, and none ends: nothing is told, reported or
    /// forgotten that a wrong clock could not take back.
    pub(crate) fn gateway_now_or_guess(&self) -> Option<Timestamp> {
        self.last_heard().map(Heard::now)
    }

    fn last_heard(&self) -> Option<Heard> {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long until this moment by the gateway's clock; zero when it is
    /// past or not known.
    pub(crate) fn until(&self, moment: Timestamp) -> Duration {
        let Some(now) = self.gateway_now() else { return Duration::ZERO };
        let left_ms = moment.millis().saturating_sub(now.millis());
        Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))
    }

    /// The gateway said its time just now.
    pub(crate) fn hear(&self, gateway: Timestamp) {
        let heard = Heard { gateway, at: Steady::now(), is_guess: false };
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(heard);
    }

    /// An answer of the gateway bore this date. It counts where nothing better
    /// is known, and where it is ahead of what is known. One behind that may be
    /// from something on the way that kept the answer; by a clock that was set
    /// back commands would run past their end.
    pub(crate) fn hear_date(&self, date: Timestamp) {
        let is_news = |known: Timestamp| date > known.plus_millis(DATE_TOLERANCE_MS);
        if self.gateway_now().is_none_or(is_news) {
            self.hear(date);
        }
    }

    /// An answer bore no date. Where nothing at all is known, this device's own
    /// clock has to do: else no command would ever run.
    pub(crate) fn guess(&self) {
        let guess = Heard { gateway: self.local_now(), at: Steady::now(), is_guess: true };
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(guess);
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
fn system_millis() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gateway's time goes on whatever happens to this device's clock.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_does_not_move_the_gateways_time() {
        let (clock, moved_ms) = Clock::movable();
        assert_eq!(clock.gateway_now(), None);
        clock.hear(Timestamp::from_millis(1_000_000));
        for jump_ms in [i64::from(i32::MAX), -i64::from(i32::MAX)] {
            moved_ms.store(jump_ms, Ordering::Relaxed);
            let now_ms = clock.gateway_now().unwrap().millis();
            assert!((1_000_000..1_060_000).contains(&now_ms), "{now_ms}");
        }
        tokio::time::advance(Duration::from_hours(1)).await;
        let now_ms = clock.gateway_now().unwrap().millis();
        assert!((4_600_000..4_660_000).contains(&now_ms), "{now_ms}");
        assert!(clock.until(Timestamp::from_millis(9_600_000)) > Duration::from_secs(4_900));
        assert_eq!(clock.until(Timestamp::from_millis(4_600_000)), Duration::ZERO);
    }

    /// Whole seconds do not replace what is known better.
    #[tokio::test(start_paused = true)]
    async fn a_date_counts_where_it_says_something() {
        let clock = Clock::system();
        clock.hear_date(Timestamp::from_millis(50_000_000));
        assert!(clock.gateway_now().unwrap().millis() >= 50_000_000);
        clock.hear(Timestamp::from_millis(80_000_900));
        clock.hear_date(Timestamp::from_millis(80_000_000));
        assert!(clock.gateway_now().unwrap().millis() >= 80_000_900);
        clock.hear_date(Timestamp::from_millis(90_000_000));
        assert!(clock.gateway_now().unwrap().millis() >= 90_000_000);
        clock.hear_date(Timestamp::from_millis(50_000_000));
        assert!(clock.gateway_now().unwrap().millis() >= 90_000_000, "from a cache");
        clock.hear(Timestamp::from_millis(60_000_000));
        assert!(clock.gateway_now().unwrap().millis() < 61_000_000, "a session says what is");
    }

    /// A guess is never taken for what the gateway said.
    #[tokio::test(start_paused = true)]
    async fn a_guess_lasts_until_something_is_heard() {
        let (clock, moved_ms) = Clock::movable();
        moved_ms.store(i64::MAX / 2, Ordering::Relaxed);
        clock.guess();
        assert_eq!(clock.gateway_now(), None);
        assert!(clock.gateway_now_or_guess().unwrap().millis() >= i64::MAX / 2);
        clock.hear_date(Timestamp::from_millis(50_000_000));
        clock.guess();
        for told in [clock.gateway_now(), clock.gateway_now_or_guess()] {
            assert!((50_000_000..50_060_000).contains(&told.unwrap().millis()), "{told:?}");
        }
    }
}
