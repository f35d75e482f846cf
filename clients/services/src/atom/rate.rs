//! A limit on how many things happen within any stretch of time.
//!
//! Owns the count. Reads no clock: the caller says when something happens.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::{ATOM_WINDOW, ATOM_WINDOW_MESSAGES};

/// Accepts at most `limit` of what comes within any stretch of `window`.
///
/// The default is that of the `Atom SaaS` marketplace requirements v1.0.0: 100
/// messages per second. There every message counts, so the caller asks for
/// each event of the socket, pings and invalid messages too. Only what was
/// accepted fills the window: a flood does not shut out all that follows.
#[derive(Clone, Debug)]
pub struct SlidingWindow {
    limit: usize,
    window_ms: u64,
    /// When the accepted ones came, oldest first; at most `limit`.
    accepted_ms: VecDeque<u64>,
}

impl Default for SlidingWindow {
    fn default() -> Self {
        Self::new(ATOM_WINDOW_MESSAGES, ATOM_WINDOW)
    }
}

impl SlidingWindow {
    /// An empty window. A limit of zero accepts nothing.
    pub fn new(limit: usize, window: Duration) -> Self {
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        Self { limit, window_ms, accepted_ms: VecDeque::new() }
    }

    /// Whether one more may come at `now_ms`, in milliseconds of any clock. A
    /// time before the last one counts as that.
    pub fn accept(&mut self, now_ms: u64) -> bool {
        let now_ms = now_ms.max(self.accepted_ms.back().copied().unwrap_or_default());
        while self.accepted_ms.front().is_some_and(|at_ms| now_ms - at_ms >= self.window_ms) {
            self.accepted_ms.pop_front();
        }
        if self.accepted_ms.len() >= self.limit {
            return false;
        }
        self.accepted_ms.push_back(now_ms);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the accepted of `many` at one moment.
    fn accepted(window: &mut SlidingWindow, many: usize, now_ms: u64) -> usize {
        (0..many).filter(|_| window.accept(now_ms)).count()
    }

    #[test]
    fn no_second_has_more_than_a_hundred() {
        let mut window = SlidingWindow::default();
        assert_eq!(accepted(&mut window, 60, 500), 60);
        assert_eq!(accepted(&mut window, 60, 1499), 40, "a new calendar second changes nothing");
        assert_eq!(accepted(&mut window, 100, 1500), 60, "the first 60 have left");
        assert_eq!(accepted(&mut window, 100, 2498), 0);
        assert_eq!(accepted(&mut window, 100, 2499), 40);
        assert_eq!(accepted(&mut window, 200, 60_000), 100);
    }

    #[test]
    fn what_is_refused_does_not_fill_the_window() {
        let mut window = SlidingWindow::default();
        assert_eq!(accepted(&mut window, 10_000, 0), 100);
        assert_eq!(window.accepted_ms.len(), 100, "memory is bounded");
        assert_eq!(accepted(&mut window, 10_000, 1000), 100);
    }

    #[test]
    fn a_clock_that_jumps_back_opens_nothing() {
        let mut window = SlidingWindow::new(2, Duration::from_secs(1));
        assert!(window.accept(5000));
        assert!(window.accept(10));
        assert!(!window.accept(4000));
        assert!(window.accept(6000));
        assert!(!SlidingWindow::new(0, Duration::from_secs(1)).accept(0));
    }
}
