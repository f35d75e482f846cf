//! When recurring work of many keys is due, and running it: a few keys at once,
//! each key once at a time.
//!
//! In memory and in monotonic time. What must outlast a restart (a checkpoint,
//! when a key was done last) is the work's own, written under its leader's term;
//! who begins to lead puts the keys in from there. Knows nothing of the work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub mod window;

/// Keys and when each is due.
#[derive(Debug)]
pub struct Schedule<K> {
    keys: Mutex<Keys<K>>,
    /// A key may be due sooner than it was.
    sooner: Notify,
}

#[derive(Debug)]
struct Keys<K> {
    /// Those that nobody works on, the one due first at the front.
    waiting: BTreeSet<(Instant, K)>,
    /// When these are due: the same keys.
    due: BTreeMap<K, Instant>,
    /// Those worked on, and when to begin again at the latest, if somebody asked
    /// for that meanwhile.
    running: BTreeMap<K, Option<Instant>>,
}

impl<K> Default for Schedule<K> {
    fn default() -> Self {
        let keys =
            Keys { waiting: BTreeSet::new(), due: BTreeMap::new(), running: BTreeMap::new() };
        Self { keys: Mutex::new(keys), sooner: Notify::new() }
    }
}

impl<K: Clone + Ord> Schedule<K> {
    /// Has a key done at `at`, or sooner where it was due sooner. One that is
    /// worked on is done again after that.
    pub fn hasten(&self, key: K, at: Instant) {
        let mut keys = self.keys();
        if let Some(again) = keys.running.get_mut(&key) {
            *again = Some(again.map_or(at, |known| known.min(at)));
        } else if keys.due.get(&key).is_some_and(|due| *due <= at) {
            return;
        } else {
            keys.put(key, at);
        }
        drop(keys);
        self.sooner.notify_one();
    }

    /// Forgets a key. One that is worked on is not done again.
    pub fn forget(&self, key: &K) {
        let mut keys = self.keys();
        if let Some(due) = keys.due.remove(key) {
            keys.waiting.remove(&(due, key.clone()));
        }
        keys.running.remove(key);
    }

    /// Whether a key is worked on just now.
    pub fn is_running(&self, key: &K) -> bool {
        self.keys().running.contains_key(key)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        let keys = self.keys();
        keys.due.len() + keys.running.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Does what is due, at most `at_once` keys at a time, until `over`; then waits
    /// for what is under way, which ends with it. `work` says when its key is due
    /// next; `None`: not by itself.
    pub async fn run<F>(&self, at_once: usize, over: &CancellationToken, work: impl Fn(K) -> F)
    where
        F: Future<Output = Option<Instant>>,
    {
        let mut under_way = FuturesUnordered::new();
        while !over.is_cancelled() {
            let now = Instant::now();
            while under_way.len() < at_once
                && let Some(key) = self.begin(now)
            {
                let done = work(key.clone());
                under_way.push(async move { (key, done.await) });
            }
            let has_room = under_way.len() < at_once;
            let next = self.next_due().filter(|_| has_room);
            tokio::select! {
                biased;
                () = over.cancelled() => {}
                Some((key, next)) = under_way.next() => self.end(key, next),
                () = self.sooner.notified() => {}
                () = tokio::time::sleep_until(next.unwrap_or(now)), if next.is_some() => {}
            }
        }
        while let Some((key, next)) = under_way.next().await {
            self.end(key, next);
        }
    }

    /// The key that is due for longest, to be worked on.
    fn begin(&self, now: Instant) -> Option<K> {
        let mut keys = self.keys();
        let is_due = keys.waiting.first().is_some_and(|(due, _)| *due <= now);
        let (_, key) = if is_due { keys.waiting.pop_first()? } else { return None };
        keys.due.remove(&key);
        keys.running.insert(key.clone(), None);
        Some(key)
    }

    /// A key is not worked on any more.
    fn end(&self, key: K, next: Option<Instant>) {
        let mut keys = self.keys();
        let Some(again) = keys.running.remove(&key) else { return };
        let next = [next, again].into_iter().flatten().min();
        if let Some(at) = next {
            keys.put(key, at);
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.keys().waiting.first().map(|(due, _)| *due)
    }

    fn keys(&self) -> MutexGuard<'_, Keys<K>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Ord> Keys<K> {
    fn put(&mut self, key: K, at: Instant) {
        if let Some(before) = self.due.insert(key.clone(), at) {
            self.waiting.remove(&(before, key.clone()));
        }
        self.waiting.insert((at, key));
    }
}

#[cfg(test)]
mod tests;
