//! The loop that commits: drains what waits into one transaction, answers
//! after the commit, and hands the new entries to the hub.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng as _;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, RuntimeErr};
use tidegate_protocol::code::{CloseReason, ErrorCode};
use tidegate_protocol::command::{Channel, CommandStatus};
use tidegate_protocol::id::Seq;
use tidegate_protocol::time::Timestamp;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::error::{ApiError, ApiResult};
use crate::hub::Hub;
use crate::ingest::behind::{Behind, BehindBatch};
use crate::ingest::decide::{self};
use crate::ingest::job::{Answer, Job};
use crate::ingest::working::{Needs, Working};
use crate::ingest::{IngestOptions, Pending, behind};
use crate::journal::Ready;
use crate::limits::WRITE_ATTEMPTS;
use crate::metrics::Metrics;
use crate::metrics::label::{CommitResult, EntryKind, FinalStatus};
use crate::store::Store;

/// The one writer of this node. Ends when it is told to and everything that
/// waited is committed.
#[derive(Debug)]
pub struct Writer {
    pub(crate) store: Store,
    pub(crate) hub: Arc<Hub>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) options: IngestOptions,
    pub(crate) jobs: mpsc::Receiver<Pending>,
    /// Gets back what may be late and could not be written.
    pub(crate) behind: Arc<Behind>,
    /// Notified when a commit wants devices to be woken by push.
    pub(crate) wakes: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

/// Why a batch did not commit.
#[derive(Debug)]
enum Failure {
    /// A statement failed; nothing was written.
    RolledBack(DbErr),
    /// The database could not be reached; nothing was written.
    Unreachable(DbErr),
    /// The COMMIT failed: it may have happened.
    Unknown(DbErr),
}

impl Writer {
    /// Commits until it is told to stop; then takes nothing new, and ends when
    /// what waited is committed.
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        loop {
            let first = tokio::select! {
                biased;
                first = self.jobs.recv() => first,
                () = stop.cancelled(), if !self.jobs.is_closed() => {
                    self.jobs.close();
                    continue;
                }
            };
            let Some(first) = first else { return };
            let mut batch = vec![first];
            self.gather(&mut batch).await;
            let waiting = i64::try_from(self.jobs.len()).unwrap_or(i64::MAX);
            self.metrics.write_queue_length.set(waiting);
            self.commit(batch).await;
        }
    }

    /// Adds what else waits. No timer: whatever came while the last batch was
    /// committed is here already. Then callers that are ready get a turn to
    /// hand in, and another as long as it brings more: on an idle node a turn
    /// is nothing, on a busy one it saves transactions.
    async fn gather(&mut self, batch: &mut Vec<Pending>) {
        let mut weight: usize = batch.iter().map(|pending| pending.job.weight()).sum();
        for turn in 0..GATHER_TURNS {
            let before = batch.len();
            while weight < self.options.batch
                && let Ok(next) = self.jobs.try_recv()
            {
                weight += next.job.weight();
                batch.push(next);
            }
            let is_full = weight >= self.options.batch;
            if is_full || (turn > 0 && batch.len() == before) {
                break;
            }
            self.hub.turn().await;
        }
    }

    /// Commits a batch; on a failed statement halves it, so that a poisoned
    /// job fails alone.
    async fn commit(&self, batch: Vec<Pending>) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            let jobs: Vec<&Job> = part.iter().map(|pending| &pending.job).collect();
            match self.attempt(&jobs).await {
                Ok(answers) => {
                    for (pending, answer) in part.into_iter().zip(answers) {
                        self.answer(pending, answer);
                    }
                }
                Err(Failure::RolledBack(_)) if part.len() > 1 => {
                    let rest = part.split_off(part.len() / 2);
                    parts.push(rest);
                    parts.push(part);
                }
                Err(Failure::RolledBack(error)) => {
                    self.refuse(part, &ApiError::internal(&error));
                }
                Err(Failure::Unreachable(error)) => {
                    tracing::error!(%error, jobs = part.len(), "the database cannot be reached");
                    let message = "the database cannot be reached; try again";
                    self.refuse(part, &ApiError::unavailable(message));
                }
                Err(Failure::Unknown(error)) => {
                    tracing::error!(%error, jobs = part.len(), "commit with unknown outcome");
                    let message = "the outcome of the write is not known; try again";
                    self.refuse(part, &ApiError::unavailable(message));
                }
            }
        }
    }

    fn refuse(&self, part: Vec<Pending>, error: &ApiError) {
        for pending in part {
            if let Job::Behind(batch) = &pending.job
                && error.code == ErrorCode::Unavailable
            {
                self.behind.put_back(BehindBatch::clone(batch));
            }
            self.answer(pending, Err(error.clone()));
        }
    }

    /// Whether somebody waits any more or not: what was written stands.
    fn answer(&self, pending: Pending, answer: ApiResult<Answer>) {
        if matches!(pending.job, Job::Behind(_)) {
            self.behind.settle();
        }
        let _ = pending.reply.send(answer);
    }

    /// One transaction, run again while other nodes' locks break it.
    async fn attempt(&self, jobs: &[&Job]) -> Result<Vec<ApiResult<Answer>>, Failure> {
        let mut attempt = 1;
        loop {
            let result = self.transaction(jobs).await;
            let counted = match &result {
                Ok(_) => CommitResult::Committed,
                Err(Failure::RolledBack(_) | Failure::Unreachable(_)) => CommitResult::RolledBack,
                Err(Failure::Unknown(_)) => CommitResult::Unknown,
            };
            self.metrics.commits.of(counted).inc();
            match result {
                Err(Failure::RolledBack(error))
                    if is_transient(&error) && attempt < WRITE_ATTEMPTS =>
                {
                    attempt += 1;
                    let pause_ms = rand::rng().random_range(1..=RETRY_PAUSE_MS_MAX);
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                result => return result,
            }
        }
    }

    async fn transaction(&self, jobs: &[&Job]) -> Result<Vec<ApiResult<Answer>>, Failure> {
        let started = Instant::now();
        let now = self.clock.now();
        let tx = self.store.begin_write().await.map_err(Failure::Unreachable)?;
        let written = self.write(&tx, jobs, now).await;
        let (mut working, answers) = match written {
            Ok(written) => written,
            Err(error) => {
                let _ = tx.rollback().await;
                return Err(if is_unreachable(&error) {
                    Failure::Unreachable(error)
                } else {
                    Failure::RolledBack(error)
                });
            }
        };
        // Before the commit: a session that judges by capabilities its device
        // no longer has must not pass over an entry of this batch. It begins
        // again, also if nothing is committed.
        for device in &working.changes.outdated {
            self.hub.close_device(device, CloseReason::Overtaken);
        }
        tx.commit().await.map_err(Failure::Unknown)?;
        let weight: usize = jobs.iter().map(|job| job.weight()).sum();
        #[expect(clippy::cast_precision_loss, reason = "batches are small")]
        self.metrics.commit_batch_size.observe(weight as f64);
        self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
        self.count(&working, jobs);
        self.announce(&mut working);
        if !working.changes.wakes.is_empty() {
            self.wakes.notify_one();
        }
        Ok(answers)
    }

    async fn write(
        &self,
        tx: &DatabaseTransaction,
        jobs: &[&Job],
        now: Timestamp,
    ) -> Result<(Working, Vec<ApiResult<Answer>>), DbErr> {
        let mut needs = Needs::default();
        for job in jobs {
            decide::needs(job, &self.options, &mut needs);
        }
        let mut working = Working::load(tx, needs, now, self.options.clone(), &self.hub).await?;
        let drafts = jobs
            .iter()
            .enumerate()
            .map(|(index, job)| decide::decide(&mut working, index, job))
            .collect();
        working.allocate(tx).await?;
        let answers = decide::finish(&mut working, drafts);
        working.write(tx).await?;
        for job in jobs {
            self.write_behind(tx, job, now).await?;
        }
        Ok((working, answers))
    }

    async fn write_behind(
        &self,
        tx: &impl ConnectionTrait,
        job: &Job,
        now: Timestamp,
    ) -> Result<(), DbErr> {
        let Job::Behind(batch) = job else { return Ok(()) };
        behind::write(tx, batch, now, self.options.ack_timeout_ms).await
    }

    fn count(&self, working: &Working, jobs: &[&Job]) {
        let metrics = &self.metrics;
        for append in &working.changes.appends {
            metrics.entries_appended.of(EntryKind::of(append.kind)).inc();
        }
        metrics.commands_accepted.inc_by(working.changes.new_commands.len() as u64);
        for job in jobs {
            if let Job::Report(report) = job {
                report.results.iter().for_each(|r| metrics.results.of(r.status).inc());
            }
        }
        for found in &working.changes.verdicts {
            metrics.conflicts_detected.of(found.conflict_type).inc();
            if !found.is_open() {
                metrics.conflicts_resolved.of(found.strategy).inc();
            }
        }
        for strategy in &working.changes.decided {
            metrics.conflicts_resolved.of(*strategy).inc();
        }
        for closed in &working.changes.closed {
            let Some(state) = working.commands.get(&closed.command_id) else { continue };
            let status = CommandStatus::from_word(&state.row.status).and_then(FinalStatus::of);
            if let Some(status) = status {
                metrics.commands_closed.of(status).inc();
            }
            if let Some(tier) = closed.tier {
                observe_latency(metrics, tier, working.now.millis() - state.row.created_at);
            }
        }
    }

    /// Hands the new entries to those who follow their streams here. Only
    /// after the commit: an entry must never be seen that a crash could undo.
    fn announce(&self, working: &mut Working) {
        let committed = Instant::now();
        let mut streams: BTreeMap<String, Vec<Arc<Ready>>> = BTreeMap::new();
        for append in std::mem::take(&mut working.changes.appends) {
            if !self.hub.is_watched(&append.stream) {
                continue;
            }
            let row = append.into_row(working.now);
            let command = row.command_id.as_ref().and_then(|id| working.commands.get(id));
            let (attempt, expires_at) =
                command.map_or((0, 0), |state| (state.row.attempt, state.row.expires_at));
            let expires_at = Timestamp::from_millis(expires_at);
            let ready = Ready::committed(&row, attempt, expires_at, committed);
            streams.entry(row.stream).or_default().push(ready);
        }
        for (stream, entries) in streams {
            let head = entries.last().map_or(Seq::ZERO, |entry| entry.seq);
            self.hub.publish(&stream, entries, head);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "ages of commands in milliseconds")]
fn observe_latency(metrics: &Metrics, channel: Channel, millis: i64) {
    metrics.command_latency_seconds.of(channel).observe(millis as f64 / 1000.0);
}

/// Longest pause before a transaction that another node's locks broke is run
/// again; of random length, so that the two do not meet again.
const RETRY_PAUSE_MS_MAX: u64 = 20;

/// Turns that callers get to hand in before a commit.
const GATHER_TURNS: u32 = 8;

/// Whether the connection is at fault, not the statement: halving the batch
/// would only wait for the same connection again and again.
fn is_unreachable(error: &DbErr) -> bool {
    match error {
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause)) => {
            use sqlx::Error;
            matches!(
                **cause,
                Error::Io(_)
                    | Error::Tls(_)
                    | Error::Protocol(_)
                    | Error::PoolTimedOut
                    | Error::PoolClosed
                    | Error::WorkerCrashed
            )
        }
        _ => false,
    }
}

/// Whether another node's locks broke the transaction: serialisation failure,
/// deadlock, a unique key that its twin just took, SQLite's busy.
fn is_transient(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) =
        error
    else {
        return false;
    };
    let code = cause.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(&*code, "40001" | "40P01" | "23505" | "5" | "517"))
}
