//! Until when the gateway, or a proxy before it, asked to be left alone.
//!
//! Never waits; who calls looks here first.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The wait asked for last, whichever answer or frame named it.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    until: Mutex<Option<Instant>>,
}

impl Hold {
    /// Stay away for so long from now on; a longer wait under way stays.
    pub(crate) fn ask(&self, wait: Duration) {
        let asked = Instant::now() + wait;
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = Some(until.map_or(asked, |until| until.max(asked)));
    }

    /// How long still; `None` when nothing keeps anybody away.
    pub(crate) fn left(&self) -> Option<Duration> {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// The gateway took this device in: what it said before is void.
    pub(crate) fn lift(&self) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
