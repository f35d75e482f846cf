//! How often an instance may call; off until a test wants it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Requests of one instance in a minute.
pub(crate) const REQUESTS: usize = 100;

/// Attempts to open a socket with one token in a minute.
pub(crate) const SOCKET_ATTEMPTS: usize = 10;

/// Requests at the same time.
const AT_ONCE: usize = 10;

const WINDOW_MS: i64 = 60_000;

/// Sliding windows by who calls.
#[derive(Debug, Default)]
pub(crate) struct Limit {
    is_on: AtomicBool,
    taken: Mutex<HashMap<String, VecDeque<i64>>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Underway<'a>(&'a Limit);

impl Limit {
    pub(crate) fn switch(&self, is_on: bool) {
        self.is_on.store(is_on, Ordering::SeqCst);
    }

    /// Whether `who` may call now, as one of at most `most` in a minute.
    pub(crate) fn allows(&self, who: &str, most: usize, now_ms: i64) -> bool {
        if !self.is_on.load(Ordering::SeqCst) {
            return true;
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let window = taken.entry(who.to_owned()).or_default();
        while window.front().is_some_and(|at_ms| at_ms + WINDOW_MS <= now_ms) {
            window.pop_front();
        }
        let is_allowed = window.len() < most && self.at_once.load(Ordering::SeqCst) <= AT_ONCE;
        if is_allowed {
            window.push_back(now_ms);
        }
        is_allowed
    }

    pub(crate) fn enter(&self) -> Underway<'_> {
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        Underway(self)
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_slides() {
        let limit = Limit::default();
        assert!(limit.allows("a", 0, 0), "it is off");
        limit.switch(true);
        assert!(limit.allows("a", 2, 0));
        assert!(limit.allows("a", 2, 30_000));
        assert!(!limit.allows("a", 2, 59_999));
        assert!(limit.allows("b", 2, 59_999), "others have their own");
        assert!(limit.allows("a", 2, 60_000));
        assert!(!limit.allows("a", 2, 60_001));
    }
}
