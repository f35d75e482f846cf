//! Until when the gateway, or a proxy before it, asked to be left alone.
//!
//! Never waits. Calls look here first, and so does what plans a connection; only
//! a wake by the app goes past it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What is added to a wait, at most: this part of it.
const SPREAD: f64 = 0.25;

/// The wait asked for last, whichever answer or frame named it.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    until: Mutex<Option<Instant>>,
}

impl Hold {
    /// Stay away for so long from now on; a longer wait under way stays. Never
    /// less than asked, and up to [`SPREAD`] of it more: all devices may have been
    /// told the same at the same time, and must not come back at the same time.
    pub(crate) fn ask(&self, wait: Duration) {
        let asked = Instant::now() + wait + wait.mul_f64(rand::random_range(0.0..SPREAD));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Devices that were told the same come back one after the other.
    #[tokio::test(start_paused = true)]
    async fn waits_are_spread_and_never_shorter_than_asked() {
        let wait = Duration::from_secs(100);
        let lefts: std::collections::BTreeSet<_> = (0..100)
            .map(|_| {
                let hold = Hold::default();
                hold.ask(wait);
                hold.left().unwrap()
            })
            .collect();
        assert!(lefts.len() > 50, "{lefts:?}");
        assert!(lefts.first() >= Some(&wait), "{lefts:?}");
        assert!(lefts.last() <= Some(&wait.mul_f64(1.0 + SPREAD)), "{lefts:?}");
    }
}
