//! A stream that somebody here follows: its head, its newest entries, and whom
//! to wake.
//!
//! Where many follow a stream they are woken in rounds: a slice of them, then
//! everybody else's turn, then the next slice. A round goes on where the last
//! one is: whoever's turn comes gets all that was committed since its last
//! turn in one frame, and nobody is woken twice for what one turn could bring.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use slab::Slab;
use tidegate_protocol::code::CloseReason;
use tidegate_protocol::id::{Seq, StreamName};
use tokio::runtime::Handle;

use crate::hub::lock;
use crate::hub::signal::Signal;
use crate::journal::Ready;
use crate::journal::ring::Ring;
use crate::limits::WAKE_SLICE;

/// A stream that somebody here follows.
#[derive(Debug)]
pub struct Topic {
    name: StreamName,
    /// The highest position known to be committed.
    head: AtomicI64,
    /// The epoch in which it is followed here: its eight characters, or 0 before
    /// anybody knows it.
    epoch: AtomicU64,
    ring: Mutex<Ring>,
    watchers: Mutex<Watchers>,
}

#[derive(Debug, Default)]
struct Watchers {
    signals: Slab<Arc<Signal>>,
    /// The place whose turn it is.
    at: usize,
    /// Places whose turn has to come before everybody was woken for the head;
    /// while there are any, a task goes round.
    left: usize,
}

impl Topic {
    pub(super) fn new(name: StreamName) -> Self {
        let ring = Mutex::new(Ring::new(name.owner().is_none()));
        // Most topics are a user's with one device.
        let watchers = Watchers { signals: Slab::with_capacity(1), ..Watchers::default() };
        let (head, epoch) = (AtomicI64::new(0), AtomicU64::new(0));
        Self { name, head, epoch, ring, watchers: Mutex::new(watchers) }
    }

    /// The stream.
    pub const fn name(&self) -> &StreamName {
        &self.name
    }

    /// The highest position known to be committed.
    pub fn head(&self) -> Seq {
        Seq::new(self.head.load(Ordering::Acquire))
    }

    /// The ring of entries just committed.
    pub fn ring(&self) -> MutexGuard<'_, Ring> {
        lock(&self.ring)
    }

    pub(super) fn join(&self, signal: Arc<Signal>) -> usize {
        lock(&self.watchers).join(signal)
    }

    pub(super) fn leave(&self, key: usize) {
        lock(&self.watchers).signals.remove(key);
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.watchers).signals.is_empty()
    }

    /// Takes entries just committed, and wakes those who follow the stream.
    pub(super) fn publish(self: &Arc<Self>, entries: Vec<Arc<Ready>>, head: Seq, runtime: &Handle) {
        self.ring().extend(entries);
        self.advance(head, runtime);
    }

    /// Says that the stream reached `head`, and wakes those who follow it.
    pub(super) fn advance(self: &Arc<Self>, head: Seq, runtime: &Handle) {
        if self.head.fetch_max(head.get(), Ordering::AcqRel) >= head.get() {
            return;
        }
        let mut watchers = lock(&self.watchers);
        let is_going = watchers.left > 0;
        watchers.left = watchers.signals.capacity();
        if is_going {
            return;
        }
        watchers.wake_slice();
        if watchers.left > 0 {
            runtime.spawn(Arc::clone(self).go_round());
        }
    }

    /// Whether it is followed in this epoch; the first one told is the one.
    pub(super) fn is_in(&self, epoch: &str) -> bool {
        let epoch = epoch.as_bytes().first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight));
        let known = self.epoch.compare_exchange(0, epoch, Ordering::AcqRel, Ordering::Acquire);
        known.map_or_else(|known| known == epoch, |_| true)
    }

    /// Forgets where the stream stood, and tells all who follow it to close.
    pub(super) fn restart(&self, reason: CloseReason) {
        self.epoch.store(0, Ordering::Release);
        self.ring().clear();
        self.head.store(0, Ordering::Release);
        for (_, signal) in &lock(&self.watchers).signals {
            signal.close(reason);
        }
    }

    /// Wakes slice by slice until everybody knows the head.
    async fn go_round(self: Arc<Self>) {
        loop {
            tokio::task::yield_now().await;
            let mut watchers = lock(&self.watchers);
            watchers.wake_slice();
            if watchers.left == 0 {
                return;
            }
        }
    }
}

impl Watchers {
    fn join(&mut self, signal: Arc<Signal>) -> usize {
        let before = self.signals.capacity();
        let key = self.signals.insert(signal);
        if self.left > 0 {
            // New places lie before some whose turn has not come.
            self.left += self.signals.capacity() - before;
        }
        key
    }

    /// Wakes those whose turn it is.
    fn wake_slice(&mut self) {
        let mut woken = 0;
        while self.left > 0 && woken < WAKE_SLICE {
            if let Some(signal) = self.signals.get(self.at) {
                signal.wake();
                woken += 1;
            }
            self.left -= 1;
            self.at = if self.at + 1 < self.signals.capacity() { self.at + 1 } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn followers(count: usize) -> (Arc<Topic>, Vec<Arc<Signal>>) {
        let topic = Arc::new(Topic::new(StreamName::parse("news").unwrap()));
        let signals: Vec<Arc<Signal>> = (0..count).map(|_| Arc::default()).collect();
        for signal in &signals {
            topic.join(Arc::clone(signal));
        }
        (topic, signals)
    }

    #[tokio::test]
    async fn everybody_is_woken_for_each_head() {
        for count in [1, WAKE_SLICE, WAKE_SLICE + 1, 10 * WAKE_SLICE + 7] {
            let (topic, signals) = followers(count);
            for head in 1..=3 {
                topic.advance(Seq::new(head), &Handle::current());
                for signal in &signals {
                    signal.woken().await;
                }
            }
        }
    }

    #[tokio::test]
    async fn nobody_is_missed_when_others_join_during_a_round() {
        let (topic, signals) = followers(4 * WAKE_SLICE);
        for place in 0..2 * WAKE_SLICE {
            topic.leave(place);
        }
        topic.advance(Seq::new(1), &Handle::current());
        let late: Vec<Arc<Signal>> = (0..8 * WAKE_SLICE).map(|_| Arc::default()).collect();
        for signal in &late {
            topic.join(Arc::clone(signal));
        }
        topic.advance(Seq::new(2), &Handle::current());
        for signal in signals[2 * WAKE_SLICE..].iter().chain(&late) {
            signal.woken().await;
        }
    }

    #[tokio::test]
    async fn a_round_lets_others_have_their_turn() {
        let (topic, signals) = followers(3 * WAKE_SLICE);
        topic.advance(Seq::new(1), &Handle::current());
        let woken = || signals.iter().filter_map(|signal| signal.woken().now_or_never()).count();
        assert_eq!(woken(), WAKE_SLICE);
        // What comes meanwhile begins no round of its own.
        topic.advance(Seq::new(2), &Handle::current());
        assert_eq!(woken(), 0);
    }
}
