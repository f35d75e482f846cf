//! Who is connected to this node, and whom to wake.
//!
//! Owns presence and wake-ups. Everything here is a hint in memory: losing it
//! delays a delivery until the next heartbeat and never loses one. Never
//! reads the database and never holds a payload queue.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use tidegate_protocol::code::CloseReason;
use tidegate_protocol::id::{DeviceId, Seq, StreamName, UserId};
use tokio::runtime::Handle;

use crate::journal::Ready;

pub mod peer;
pub mod presence;
pub mod signal;
pub mod silent;
pub mod topic;

use signal::Signal;
use topic::Topic;

/// The streams that somebody here follows.
#[derive(Debug)]
pub struct Hub {
    topics: DashMap<StreamName, Arc<Topic>>,
    sessions: DashMap<UserId, presence::UserSessions>,
    next_session: AtomicU64,
    /// Where sessions run, and so among whose turns they are woken: the writer
    /// may have a runtime of its own.
    runtime: Handle,
}

/// Follows a stream until dropped.
#[derive(Debug)]
pub struct Watch {
    hub: Arc<Hub>,
    topic: Arc<Topic>,
    key: usize,
}

impl Hub {
    /// An empty hub, for sessions of this runtime.
    pub fn new(runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            topics: DashMap::new(),
            sessions: DashMap::new(),
            next_session: AtomicU64::new(0),
            runtime,
        })
    }

    /// Gives way to the sessions, polls and calls that are ready: waits for a
    /// task that was queued behind most of them. A hint, not a barrier: an idle
    /// worker may take it at once.
    pub async fn turn(&self) {
        // It only fails when the runtime ends.
        let _ = self.runtime.spawn(std::future::ready(())).await;
    }

    /// Follows a stream: from now on `signal` is woken when it grows. Read the
    /// journal only after this returned, or a commit may be missed.
    pub fn watch(self: &Arc<Self>, stream: &StreamName, signal: &Arc<Signal>) -> Watch {
        // Under the map's guard, so that the last watcher's clean-up cannot
        // drop the topic between finding and joining it.
        let entry = self
            .topics
            .entry(stream.clone())
            .or_insert_with(|| Arc::new(Topic::new(stream.clone())));
        let topic = Arc::clone(entry.value());
        let key = topic.join(Arc::clone(signal));
        drop(entry);
        Watch { hub: Arc::clone(self), topic, key }
    }

    /// Hands over entries just committed and wakes who follows the stream.
    pub(crate) fn publish(&self, topic: &Arc<Topic>, entries: Vec<Arc<Ready>>, head: Seq) {
        topic.publish(entries, head, &self.runtime);
    }

    /// Says that a stream reached `head`, as found in the database.
    pub fn advance(&self, stream: &str, head: Seq) {
        if let Some(topic) = self.topic(stream) {
            topic.advance(head, &self.runtime);
        }
    }

    /// The highest position of a stream that followers here were told of; `None`
    /// where nobody follows it.
    pub fn head(&self, stream: &str) -> Option<i64> {
        self.topic(stream).map(|topic| topic.head().get())
    }

    /// A stream's head as read from the database. In another epoch than the one
    /// followed here, it began anew on another node: so it does here.
    pub fn observe(&self, stream: &str, epoch: &str, head: Seq) {
        let Some(topic) = self.topic(stream) else { return };
        if topic.is_in(epoch) {
            topic.advance(head, &self.runtime);
        } else {
            topic.restart(CloseReason::Overtaken);
        }
    }

    /// A commit ended unclear: forgets the newest entries, and says that the
    /// stream reached `head`, as found in the database.
    pub fn reread(&self, stream: &str, head: Seq) {
        if let Some(topic) = self.topic(stream) {
            topic.ring().clear();
            topic.advance(head, &self.runtime);
        }
    }

    /// The stream begins anew in another epoch: whoever follows it is told to
    /// come back, and to ask where it stands.
    pub fn restart(&self, stream: &str) {
        if let Some(topic) = self.topic(stream) {
            topic.restart(CloseReason::Overtaken);
        }
    }

    /// The stream, if anybody here follows it.
    pub fn topic(&self, stream: &str) -> Option<Arc<Topic>> {
        self.topics.get(stream).map(|topic| Arc::clone(topic.value()))
    }

    /// Names of all streams followed here.
    pub fn watched_streams(&self) -> Vec<String> {
        self.topics.iter().map(|topic| topic.key().as_str().to_owned()).collect()
    }
}

impl Watch {
    /// The stream followed.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Begins to follow in this epoch, unless others do so in another one: then
    /// the next look at the head finds it.
    pub fn begin(&self, epoch: &str, head: Seq) {
        self.topic.is_in(epoch);
        self.advance(head);
    }

    /// Says that the stream reached `head`, as read from the database. Wakes
    /// the others: they may have missed it too.
    pub fn advance(&self, head: Seq) {
        self.topic.advance(head, &self.hub.runtime);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.topic.leave(self.key);
        self.hub.topics.remove_if(self.topic.name(), |_, topic| topic.is_empty());
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
