//! Real time: a load generator measures it, so nothing here can be moved by
//! tests.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Now, on a clock that never jumps.
#[expect(clippy::disallowed_methods, reason = "figures are of real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since the epoch.
pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
