//! The fakes' wall time. Tests pass the one their gateway uses, so that
//! tokens and messages age together.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// Tells milliseconds since the Unix epoch. Cheap to clone.
#[derive(Clone)]
pub struct FakeClock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl FakeClock {
    /// A clock that asks `now_ms`.
    pub fn new(now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    /// The system's clock.
    pub fn system() -> Self {
        Self::new(|| {
            let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            i64::try_from(since_epoch.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
        })
    }

    /// A clock that stands at `start_ms` until its hands are moved.
    pub fn standing(start_ms: i64) -> (Self, Hands) {
        let hands = Arc::new(AtomicI64::new(start_ms));
        let read = Arc::clone(&hands);
        (Self::new(move || read.load(Ordering::Relaxed)), Hands(hands))
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        (self.0)()
    }

    /// Whole seconds since the Unix epoch.
    pub fn now_s(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }

    /// Now, for dates in headers.
    pub(crate) fn system_time(&self) -> SystemTime {
        let since_epoch = u64::try_from(self.now_ms()).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::from_millis(since_epoch)
    }
}

impl fmt::Debug for FakeClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FakeClock").field(&self.now_ms()).finish()
    }
}

/// Moves a standing clock.
#[derive(Clone, Debug)]
pub struct Hands(Arc<AtomicI64>);

impl Hands {
    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.fetch_add(by_ms, Ordering::Relaxed);
    }
}
