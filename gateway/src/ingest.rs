//! The one writer: every change of state and its journal entries go through
//! here and commit together.
//!
//! Owns what a write means, a file an area: callers hand in writes, the writer
//! drains whatever waits into one transaction, decides each write on the rows
//! loaded for all of them, allocates positions once, and answers after the
//! commit. Never talks to sockets; after a commit it hands the entries to the
//! hub and forgets them.

use std::sync::{Arc, Mutex};

use tidegate_clock::Clock;
use tidegate_protocol::code::ErrorCode;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::error::{ApiError, ApiResult};
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::resolve::rules::Rules;
use crate::store::Store;

mod announce;
pub mod behind;
pub mod commands;
pub mod devices;
pub mod health;
pub mod history;
pub mod idempotency;
pub mod integration;
mod locked;
pub mod market;
pub mod records;
mod streams;
mod unit;
mod wakes;
mod write;
pub mod writer;

use behind::Behind;
use history::History;
use locked::Locked;
pub(crate) use unit::heads::new_epoch;
use write::{Pending, Queued, Write};

/// Bounds and times the writer works by.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// Writes that may wait.
    pub queue: usize,
    /// Items committed together at most.
    pub batch: usize,
    /// How long a result may take after an ack before another attempt is made
    /// is twice this, milliseconds.
    pub result_timeout_ms: u64,
    /// Commands of one user without a final status.
    pub pending_per_user: i64,
    /// Devices of one user.
    pub devices_per_user: usize,
    /// Pushes in a new device's bucket, in thousandths; `None` without a push
    /// tier: then no wake-ups are noted.
    pub push_bucket_milli: Option<i64>,
    /// How conflicts are judged.
    pub rules: Arc<Rules>,
}

impl IngestOptions {
    /// The result time-out, milliseconds.
    pub(crate) fn result_timeout_ms(&self) -> i64 {
        i64::try_from(self.result_timeout_ms).unwrap_or(i64::MAX)
    }

    /// How long a result may take after an ack before another attempt is made,
    /// milliseconds.
    pub(crate) fn retry_after_ms(&self) -> i64 {
        self.result_timeout_ms().saturating_mul(2)
    }
}

/// Hands writes to the writer. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    queue: mpsc::Sender<Box<dyn Queued>>,
    behind: Arc<Behind>,
    wakes: Arc<Notify>,
    clock: Clock,
    history: Arc<History>,
    /// Whether nobody else writes to the database.
    is_alone: bool,
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest").finish_non_exhaustive()
    }
}

impl Ingest {
    /// The handle, and the writer that must be run until after `stop`.
    pub fn new(
        store: Store,
        hub: Arc<Hub>,
        clock: Clock,
        metrics: Metrics,
        options: IngestOptions,
        stop: CancellationToken,
    ) -> (Self, writer::Writer) {
        let (queue, waiting) = mpsc::channel(options.queue);
        let ingest = Self {
            queue,
            behind: Arc::new(Behind::new(metrics.clone())),
            wakes: Arc::new(Notify::new()),
            clock,
            history: Arc::new(History::new(!store.is_embedded())),
            is_alone: store.is_embedded(),
        };
        let writer = writer::Writer {
            store,
            hub,
            clock: ingest.clock.clone(),
            metrics,
            options: Arc::new(options),
            waiting,
            behind: Arc::clone(&ingest.behind),
            wakes: Arc::clone(&ingest.wakes),
            history: Arc::clone(&ingest.history),
            doubtful: Mutex::default(),
            locked: Locked::default(),
            stop,
        };
        (ingest, writer)
    }

    /// What may be written late.
    pub fn behind(&self) -> &Behind {
        &self.behind
    }

    /// Notified when a commit wants devices to be woken by push.
    pub const fn wakes(&self) -> &Arc<Notify> {
        &self.wakes
    }

    /// What this node announced lately.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The clock that writes are stamped by.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Submits a write and waits for its commit. A full queue is refused at
    /// once: waiting would only move the queue into memory nobody bounds.
    async fn submit<W: Write>(&self, write: W) -> ApiResult<W::Answer> {
        let (pending, answer) = Pending::new(write);
        self.queue.try_send(Box::new(pending)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                ApiError::unavailable("too many writes are waiting; try again")
            }
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        answer.await.map_err(|_| stopping())?
    }
}

fn stopping() -> ApiError {
    ApiError::new(ErrorCode::Unavailable, "this node is going away; try again").with_retry_after(1)
}
