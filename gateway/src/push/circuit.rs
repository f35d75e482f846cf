//! Pauses after errors that only an operator can mend: repeating them would
//! cost quota and fill logs.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::hub::lock;

/// What is paused: devices choose Web Push endpoints, so one bad origin must
/// not silence the others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Circuit {
    /// All of FCM.
    Fcm,
    /// One Web Push service, by its origin.
    WebPush(String),
}

/// Which services are paused, and until when.
#[derive(Debug)]
pub struct Circuits {
    open: Mutex<HashMap<Circuit, i64>>,
    pause_ms: i64,
}

/// Origins remembered at most; devices could name any number.
const CIRCUITS_MAX: usize = 10_000;

impl Circuits {
    /// All closed; a pause lasts `pause_ms`.
    pub fn new(pause_ms: u64) -> Self {
        let pause_ms = i64::try_from(pause_ms).unwrap_or(i64::MAX);
        Self { open: Mutex::default(), pause_ms }
    }

    /// Pauses a service; until when, milliseconds since the epoch.
    pub fn open(&self, circuit: Circuit, now_ms: i64) -> i64 {
        let until_ms = now_ms.saturating_add(self.pause_ms);
        let mut open = lock(&self.open);
        if open.len() >= CIRCUITS_MAX {
            open.retain(|_, until_ms| *until_ms > now_ms);
        }
        if open.len() < CIRCUITS_MAX {
            open.insert(circuit, until_ms);
        }
        until_ms
    }

    /// Until when the service is paused; `None` when it is not.
    pub fn paused_until(&self, circuit: &Circuit, now_ms: i64) -> Option<i64> {
        lock(&self.open).get(circuit).copied().filter(|until_ms| *until_ms > now_ms)
    }

    /// Whether FCM, or any Web Push service, is paused.
    pub fn is_any_open(&self, now_ms: i64) -> bool {
        lock(&self.open).values().any(|until_ms| *until_ms > now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_origin_does_not_silence_another() {
        let circuits = Circuits::new(100);
        let bad = Circuit::WebPush("https://bad.example".to_owned());
        let good = Circuit::WebPush("https://good.example".to_owned());
        assert_eq!(circuits.open(bad.clone(), 1_000), 1_100);
        assert_eq!(circuits.paused_until(&bad, 1_050), Some(1_100));
        assert_eq!(circuits.paused_until(&good, 1_050), None);
        assert_eq!(circuits.paused_until(&bad, 1_100), None, "the pause ends by itself");
    }
}
