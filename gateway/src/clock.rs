//! Wall time as a value that is passed in, so that tests own it.
//!
//! Waiting never goes through here: that is `tokio::time`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_protocol::time::Timestamp;

/// Tells the time in whole milliseconds. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Milliseconds added to the system's time; moved by tests only.
    offset_ms: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The system's clock.
    pub const fn system() -> Self {
        Self { offset_ms: None }
    }

    /// The system's clock plus an offset that the owner of the handle moves.
    pub fn movable() -> (Self, Arc<AtomicI64>) {
        let offset_ms = Arc::new(AtomicI64::new(0));
        (Self { offset_ms: Some(Arc::clone(&offset_ms)) }, offset_ms)
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        let offset = self.offset_ms.as_ref().map_or(0, |offset| offset.load(Ordering::Relaxed));
        Timestamp::from_millis(system_millis().saturating_add(offset))
    }
}

/// Not through a calendar: sessions ask for every frame.
fn system_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
