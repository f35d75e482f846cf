//! Who is connected to this node, and whom to wake.
//!
//! Owns presence and wake-ups. Everything here is a hint in memory: losing it
//! delays a delivery until the next heartbeat and never loses one. Never
//! reads the database and never holds a payload queue.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use slab::Slab;
use tidegate_protocol::id::{DeviceId, Seq, StreamName, UserId};

use crate::journal::Ready;
use crate::journal::ring::Ring;

pub mod presence;
pub mod signal;

use signal::Signal;

/// The streams that somebody here follows.
#[derive(Debug, Default)]
pub struct Hub {
    topics: DashMap<StreamName, Arc<Topic>>,
    sessions: DashMap<UserId, presence::UserSessions>,
    next_session: AtomicU64,
}

/// A stream that somebody here follows.
#[derive(Debug)]
pub struct Topic {
    name: StreamName,
    /// The highest position known to be committed.
    head: AtomicI64,
    ring: Mutex<Ring>,
    watchers: Mutex<Slab<Arc<Signal>>>,
}

/// Follows a stream until dropped.
#[derive(Debug)]
pub struct Watch {
    hub: Arc<Hub>,
    topic: Arc<Topic>,
    key: usize,
}

impl Hub {
    /// An empty hub.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Follows a stream: from now on `signal` is woken when it grows. Read the
    /// journal only after this returned, or a commit may be missed.
    pub fn watch(self: &Arc<Self>, stream: &StreamName, signal: &Arc<Signal>) -> Watch {
        // Under the map's guard, so that the last watcher's clean-up cannot
        // drop the topic between finding and joining it.
        let entry = self.topics.entry(stream.clone()).or_insert_with(|| {
            Arc::new(Topic {
                name: stream.clone(),
                head: AtomicI64::new(0),
                ring: Mutex::new(Ring::new(stream.owner().is_none())),
                watchers: Mutex::new(Slab::new()),
            })
        });
        let topic = Arc::clone(entry.value());
        let key = lock(&topic.watchers).insert(Arc::clone(signal));
        drop(entry);
        Watch { hub: Arc::clone(self), topic, key }
    }

    /// Whether anybody here follows the stream.
    pub fn is_watched(&self, stream: &str) -> bool {
        self.topics.contains_key(stream)
    }

    /// Hands over entries just committed and wakes who follows the stream.
    pub fn publish(&self, stream: &str, entries: Vec<Arc<Ready>>, head: Seq) {
        let Some(topic) = self.topic(stream) else { return };
        {
            let mut ring = lock(&topic.ring);
            for entry in entries {
                ring.push(entry);
            }
        }
        topic.advance(head);
    }

    /// Says that a stream reached `head`, as found in the database.
    pub fn advance(&self, stream: &str, head: Seq) {
        if let Some(topic) = self.topic(stream) {
            topic.advance(head);
        }
    }

    fn topic(&self, stream: &str) -> Option<Arc<Topic>> {
        self.topics.get(stream).map(|topic| Arc::clone(topic.value()))
    }

    /// Names of all streams followed here.
    pub fn watched_streams(&self) -> Vec<String> {
        self.topics.iter().map(|topic| topic.key().as_str().to_owned()).collect()
    }
}

impl Topic {
    fn advance(&self, head: Seq) {
        if self.head.fetch_max(head.get(), Ordering::AcqRel) < head.get() {
            for (_, signal) in lock(&self.watchers).iter() {
                signal.wake();
            }
        }
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
}

impl Watch {
    /// The stream followed.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Says that the stream reached `head`, as read from the database. Wakes
    /// the others: they may have missed it too.
    pub fn advance(&self, head: Seq) {
        self.topic.advance(head);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.topic.watchers).remove(self.key);
        self.hub.topics.remove_if(&self.topic.name, |_, topic| lock(&topic.watchers).is_empty());
    }
}

/// Locks a mutex whose holders never panic half-way through a change.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A device of a user, as sessions are known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// Whose.
    pub user_id: UserId,
    /// Which.
    pub device_id: DeviceId,
}
