//! The one writer: every change of state and its journal entries go through
//! here and commit together.
//!
//! Owns what a write means: callers hand in jobs, the writer drains
//! whatever waits into one transaction, decides each job against the rows
//! loaded for all of them, allocates positions once, and answers after the
//! commit. Never talks to sockets; after a commit it hands the entries to the
//! hub and forgets them.

use std::sync::{Arc, Mutex};

use tidegate_protocol::code::ErrorCode;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::error::{ApiError, ApiResult};
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::resolve::rules::Rules;
use crate::store::Store;

mod announce;
pub mod behind;
mod decide;
pub mod history;
pub mod job;
mod locked;
pub mod market;
pub mod prepare;
mod working;
pub mod writer;

use behind::Behind;
pub(crate) use decide::{NO_UPDATES, status_at};
use history::History;
use job::{Answer, Job};
use locked::Locked;
pub(crate) use working::{is_eligible, new_epoch};

/// Bounds and times the writer works by.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// Jobs that may wait.
    pub queue: usize,
    /// Items committed together at most.
    pub batch: usize,
    /// How long a result may take after an ack before another attempt is made
    /// is twice this, milliseconds.
    pub ack_timeout_ms: u64,
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

/// Hands jobs to the writer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingest {
    queue: mpsc::Sender<Pending>,
    behind: Arc<Behind>,
    wakes: Arc<Notify>,
    clock: Clock,
    history: Arc<History>,
}

/// A job and who waits for its answer.
#[derive(Debug)]
pub(crate) struct Pending {
    job: Job,
    reply: oneshot::Sender<ApiResult<Answer>>,
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
        let (queue, jobs) = mpsc::channel(options.queue);
        let behind = Arc::new(Behind::new(metrics.clone()));
        let wakes = Arc::new(Notify::new());
        let history = Arc::new(History::new(!store.is_embedded()));
        let ingest = Self {
            queue,
            behind: Arc::clone(&behind),
            wakes: Arc::clone(&wakes),
            clock: clock.clone(),
            history: Arc::clone(&history),
        };
        let writer = writer::Writer {
            store,
            hub,
            clock,
            metrics,
            options,
            jobs,
            behind,
            wakes,
            history,
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

    /// Submits a job and waits for its commit. A full queue is refused at
    /// once: waiting would only move the queue into memory nobody bounds.
    async fn submit(&self, job: Job) -> ApiResult<Answer> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Pending { job, reply }).map_err(|error| match error {
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
