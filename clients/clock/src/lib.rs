//! Wall time as a value that is passed in, so that tests own it: one clock for
//! the gateway, the services it calls, their fakes and devices.
//!
//! Waiting never goes through here: that is `tokio::time`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_protocol::time::Timestamp;

/// Tells the time in whole milliseconds. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Moves it; held by tests only.
    hands: Option<Hands>,
}

impl Clock {
    /// The system's clock.
    pub const fn system() -> Self {
        Self { hands: None }
    }

    /// A clock that goes with the system's, until its hands are moved.
    pub fn movable() -> (Self, Hands) {
        Self::with(Time::Off(0))
    }

    /// A clock that stands at this moment, until its hands are moved.
    pub fn standing(at: Timestamp) -> (Self, Hands) {
        Self::with(Time::Standing(at))
    }

    fn with(time: Time) -> (Self, Hands) {
        let hands = Hands(Arc::new(Mutex::new(time)));
        (Self { hands: Some(hands.clone()) }, hands)
    }

    /// Whether it is the system's, which nobody moves.
    pub const fn is_system(&self) -> bool {
        self.hands.is_none()
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.hands.as_ref().map_or_else(system_now, Hands::now)
    }

    /// Whole seconds since the Unix epoch, as tokens and headers count them.
    pub fn unix_seconds(&self) -> i64 {
        self.now().millis().div_euclid(1000)
    }
}

/// Moves a clock and its clones.
#[derive(Clone, Debug)]
pub struct Hands(Arc<Mutex<Time>>);

#[derive(Clone, Copy, Debug)]
enum Time {
    /// So many milliseconds off the system's.
    Off(i64),
    Standing(Timestamp),
}

impl Time {
    fn now(self) -> Timestamp {
        match self {
            Self::Off(millis) => system_now().plus_millis(millis),
            Self::Standing(at) => at,
        }
    }
}

impl Hands {
    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.move_ms(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    }

    /// Sets the clock back.
    pub fn set_back(&self, by: Duration) {
        self.move_ms(-i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    }

    /// Moves the clock, back where `by_ms` is negative.
    pub fn move_ms(&self, by_ms: i64) {
        self.set(|time| match time {
            Time::Off(millis) => Time::Off(millis.saturating_add(by_ms)),
            Time::Standing(at) => Time::Standing(at.plus_millis(by_ms)),
        });
    }

    /// The clock goes with the system's, so many milliseconds ahead of it.
    pub fn go_ahead_ms(&self, millis: i64) {
        self.set(|_| Time::Off(millis));
    }

    /// The clock stands from here on, at the moment that is returned.
    pub fn stand(&self) -> Timestamp {
        self.set(|time| Time::Standing(time.now()));
        self.now()
    }

    /// The clock stands at this moment.
    pub fn stand_at(&self, at: Timestamp) {
        self.set(|_| Time::Standing(at));
    }

    fn now(&self) -> Timestamp {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).now()
    }

    fn set(&self, next: impl FnOnce(Time) -> Time) {
        let mut time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *time = next(*time);
    }
}

/// Not through a calendar: sessions ask for every frame.
fn system_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_follow_the_hands() {
        let (clock, hands) = Clock::standing(Timestamp::from_millis(5_000));
        let clone = clock.clone();
        assert_eq!((clone.now().millis(), clone.unix_seconds()), (5_000, 5));
        hands.advance(Duration::from_millis(1_500));
        assert_eq!((clone.now().millis(), clone.unix_seconds()), (6_500, 6));
        hands.set_back(Duration::from_secs(7));
        assert_eq!((clone.now().millis(), clone.unix_seconds()), (-500, -1));
        hands.stand_at(Timestamp::from_millis(9));
        assert_eq!((clock.now().millis(), hands.stand().millis()), (9, 9));
    }

    #[test]
    fn a_clock_that_goes_stands_where_it_was() {
        let (clock, hands) = Clock::movable();
        let before = Clock::system().now();
        hands.go_ahead_ms(3_600_000);
        let stands = hands.stand();
        assert!(stands >= before.plus_millis(3_600_000));
        assert_eq!((clock.now(), clock.now()), (stands, stands));
    }
}
