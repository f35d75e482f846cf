//! Time: the gateway's as far as this device knows it, and the system's.
//!
//! Never waits: waiting goes through `tokio::time`.

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
    local: tidegate_clock::Clock,
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

    /// The same with this clock in place of the system's.
    pub fn on(local: tidegate_clock::Clock) -> Self {
        Self { local, ..Self::default() }
    }

    /// Now, by this device's own clock, which may be wrong and may jump.
    pub fn local_now(&self) -> Timestamp {
        self.local.now()
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

    fn steady(&self) -> Steady {
        if self.local.is_system() { Steady::now() } else { Steady::sleepless() }
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
        let heard = Heard { gateway, at: self.steady(), is_guess: false };
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
        let guess = Heard { gateway: self.local_now(), at: self.steady(), is_guess: true };
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(guess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// The gateway's time goes on whatever happens to this device's clock.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_does_not_move_the_gateways_time() {
        let (local, hands) = tidegate_clock::Clock::movable();
        let clock = Clock::on(local);
        assert_eq!(clock.gateway_now(), None);
        clock.hear(at(1_000_000));
        for jump_ms in [i64::from(i32::MAX), -i64::from(i32::MAX)] {
            hands.go_ahead_ms(jump_ms);
            assert_eq!(clock.gateway_now(), Some(at(1_000_000)));
        }
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(clock.gateway_now(), Some(at(4_600_000)));
        assert_eq!(clock.until(at(9_600_000)), Duration::from_secs(5_000));
        assert_eq!(clock.until(at(4_600_000)), Duration::ZERO);
    }

    /// Whole seconds do not replace what is known better.
    #[tokio::test(start_paused = true)]
    async fn a_date_counts_where_it_says_something() {
        let clock = Clock::on(tidegate_clock::Clock::movable().0);
        let is = |millis: i64| assert_eq!(clock.gateway_now(), Some(at(millis)));
        clock.hear_date(at(50_000_000));
        is(50_000_000);
        clock.hear(at(80_000_900));
        clock.hear_date(at(80_000_000));
        is(80_000_900);
        clock.hear_date(at(90_000_000));
        is(90_000_000);
        // From a cache.
        clock.hear_date(at(50_000_000));
        is(90_000_000);
        // A session says what is.
        clock.hear(at(60_000_000));
        is(60_000_000);
    }

    /// A guess is never taken for what the gateway said.
    #[tokio::test(start_paused = true)]
    async fn a_guess_lasts_until_something_is_heard() {
        let (local, _hands) = tidegate_clock::Clock::standing(at(70_000_000));
        let clock = Clock::on(local);
        clock.guess();
        assert_eq!(clock.gateway_now(), None);
        assert_eq!(clock.gateway_now_or_guess(), Some(at(70_000_000)));
        clock.hear_date(at(50_000_000));
        clock.guess();
        for told in [clock.gateway_now(), clock.gateway_now_or_guess()] {
            assert_eq!(told, Some(at(50_000_000)));
        }
    }

    /// The clock that counts sleep goes on when timers stand still.
    #[tokio::test(start_paused = true)]
    async fn the_systems_clock_counts_what_timers_do_not() {
        let (counted, sleepless) = (Steady::now(), Steady::sleepless());
        // Reading a clock takes time.
        while cfg!(unix) && counted.elapsed().is_zero() {}
        assert_eq!(sleepless.elapsed(), Duration::ZERO);
    }
}
