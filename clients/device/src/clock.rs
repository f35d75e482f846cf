//! Wall time: the system's, and the gateway's as far as this device knows it.
//!
//! Never waits: waiting goes through `tokio::time`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tidegate_protocol::time::Timestamp;

/// Tells the time in whole milliseconds. Clones share one offset.
///
/// `expires_at` of a command is judged by the gateway's clock, because a
/// phone's own may be wrong by hours. `welcome.server_time` sets the offset.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// What to add to the system's time to get the gateway's.
    gateway_offset_ms: Arc<AtomicI64>,
    /// Milliseconds added to the system's time; moved by tests only.
    moved_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The system's clock, with no offset known yet.
    pub fn system() -> Self {
        Self::default()
    }

    /// The system's clock plus an offset that the owner of the handle moves.
    pub fn movable() -> (Self, Arc<AtomicI64>) {
        let clock = Self::default();
        let handle = Arc::clone(&clock.moved_ms);
        (clock, handle)
    }

    /// Now, by this device's own clock.
    pub fn local_now(&self) -> Timestamp {
        let now = Timestamp::from_millis(system_millis());
        now.plus_millis(self.moved_ms.load(Ordering::Relaxed))
    }

    /// Now, by the gateway's clock as last heard.
    pub fn gateway_now(&self) -> Timestamp {
        self.local_now().plus_millis(self.gateway_offset_ms())
    }

    /// What is added to the device's time to get the gateway's.
    pub fn gateway_offset_ms(&self) -> i64 {
        self.gateway_offset_ms.load(Ordering::Relaxed)
    }

    /// Sets the offset.
    pub(crate) fn set_gateway_offset_ms(&self, offset_ms: i64) {
        self.gateway_offset_ms.store(offset_ms, Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
fn system_millis() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
