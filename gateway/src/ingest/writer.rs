//! The loop that commits: drains what waits into one transaction, answers
//! after the commit, and hands the new entries to the hub.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rand::Rng as _;
use sea_orm::{ConnectionTrait, DbErr};
use tidegate_durable::{Fault, WriteTransaction};
use tidegate_protocol::code::{CloseReason, ErrorCode};
use tidegate_protocol::id::Seq;
use tidegate_protocol::time::Timestamp;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::error::{ApiError, ApiResult};
use crate::hub::{Hub, lock};
use crate::ingest::behind::{Behind, BehindBatch};
use crate::ingest::decide::{self};
use crate::ingest::history::History;
use crate::ingest::job::{Answer, Job};
use crate::ingest::locked::{self, Locked};
use crate::ingest::working::{Late, Needs, Working, new_epoch};
use crate::ingest::{IngestOptions, Pending, behind};
use crate::limits::WRITE_ATTEMPTS;
use crate::metrics::Metrics;
use crate::metrics::label::CommitResult;
use crate::store::{self, Store};

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
    /// What was announced lately.
    pub(crate) history: Arc<History>,
    /// Streams of commits with unknown outcome: what memory holds of them is
    /// read again before anything else is announced.
    pub(crate) doubtful: Mutex<BTreeSet<String>>,
    pub(crate) locked: Locked,
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
        let (batch, aside) = self.set_aside(batch);
        self.refuse(aside, &locked::refusal());
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let jobs: Vec<&Job> = part.iter().map(|pending| &pending.job).collect();
            match self.attempt(&jobs).await {
                Ok(answers) => {
                    for (pending, answer) in part.into_iter().zip(answers) {
                        self.answer(pending, answer);
                    }
                }
                Err(Failure::RolledBack(error)) if Fault::of(&error) == Fault::Locked => {
                    self.go_on_without_locked(part, &mut parts).await;
                }
                Err(Failure::RolledBack(_)) if part.len() > 1 => {
                    let rest = part.split_off(part.len() / 2);
                    parts.push(rest);
                    parts.push(part);
                }
                // Another node kept taking the key that it needs: not a fault.
                Err(Failure::RolledBack(error))
                    if Fault::of(&error) == Fault::Taken && !self.store.is_embedded() =>
                {
                    self.refuse(part, &ApiError::unavailable("another node was faster; try again"));
                }
                Err(Failure::RolledBack(error) | Failure::Unreachable(error)) => {
                    self.refuse(part, &ApiError::internal(&error));
                }
                Err(Failure::Unknown(error)) => {
                    // What is wrong with the database is told where it changes.
                    tracing::debug!(%error, jobs = part.len(), "commit with unknown outcome");
                    let message = "the outcome of the write is not known; try again";
                    self.refuse(part, &ApiError::unavailable(message));
                }
            }
        }
    }

    /// A batch ran into a lock: what needs it is refused, and the others are
    /// tried again. If it is no head that is locked, in halves.
    async fn go_on_without_locked(&self, part: Vec<Pending>, parts: &mut Vec<Vec<Pending>>) {
        // A failure here refuses them all, and each caller tries again.
        let jobs = part.len();
        let (mut others, waiting) = match self.part_locked(part).await {
            Ok(parted) => parted,
            Err((error, part)) => return self.refuse(part, &ApiError::internal(&error)),
        };
        self.refuse(waiting, &locked::refusal());
        if others.len() < jobs {
            parts.push(others);
        } else if jobs > 1 {
            parts.push(others.split_off(jobs / 2));
            parts.push(others);
        } else {
            self.leave_alone(&others).await;
            self.refuse(others, &locked::refusal());
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
                    if is_broken_by_others(&error) && attempt < WRITE_ATTEMPTS =>
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
                tx.rollback().await;
                return Err(if Fault::of(&error).is_of_database() {
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
        if let Err(error) = tx.commit().await {
            let streams = working.changes.appends.iter().map(|append| append.stream.clone());
            lock(&self.doubtful).extend(streams.chain(working.changes.ensured.iter().cloned()));
            return Err(Failure::Unknown(error));
        }
        self.resolve_doubts(&working);
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
        tx: &WriteTransaction,
        jobs: &[&Job],
        now: Timestamp,
    ) -> Result<(Working, Vec<ApiResult<Answer>>), DbErr> {
        let is_alone = self.store.is_embedded();
        let late = (!is_alone).then(Late::default);
        let mut needs = Needs { late, ..Needs::default() };
        for job in jobs {
            decide::needs(job, &self.options, &mut needs);
        }
        let options = self.options.clone();
        let named = if is_alone { BTreeSet::new() } else { needs.streams.clone() };
        let mut working = Working::load(tx, needs, now, options, &self.hub, &self.behind).await?;
        self.restart_what_went_back(tx, &mut working, named).await?;
        working.changes.settled = self.settle_doubts(tx).await?;
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

    /// Streams of which more was announced than the database knows get a new
    /// epoch before a position is given out again.
    async fn restart_what_went_back(
        &self,
        tx: &WriteTransaction,
        working: &mut Working,
        named: BTreeSet<String>,
    ) -> Result<(), DbErr> {
        // Of an embedded database this process knows all there is.
        if self.store.is_embedded() {
            return Ok(());
        }
        let announced = |stream: &str| self.history.head(stream).max(self.hub.head(stream));
        for (stream, head) in &mut working.heads {
            if announced(stream).is_some_and(|known| known > head.seq) {
                head.epoch = new_epoch();
                store::head::renew_epoch(tx, stream, &head.epoch).await?;
                working.changes.restarted.push(stream.clone());
            }
        }
        // Their row went too; the one made now has an epoch of its own.
        let gone = named.into_iter().filter(|stream| {
            !working.heads.contains_key(stream) && announced(stream).is_some_and(|known| known > 0)
        });
        working.changes.restarted.extend(gone);
        Ok(())
    }

    /// The heads of streams with a doubtful commit, as they are now; 0 where
    /// there is none. One whose commit may still be under way stays in doubt:
    /// nobody waits for it but who writes to it.
    async fn settle_doubts(&self, tx: &WriteTransaction) -> Result<Vec<(String, Seq)>, DbErr> {
        let doubtful: Vec<String> = lock(&self.doubtful).iter().cloned().collect();
        if doubtful.is_empty() {
            return Ok(Vec::new());
        }
        let exist = store::head::load(tx, &doubtful).await?;
        let free = store::head::lock_free(tx, &doubtful).await?;
        let settled = doubtful.into_iter().filter_map(|stream| match free.get(&stream) {
            Some(head) => Some((stream, Seq::new(head.seq))),
            None if exist.contains_key(&stream) => None,
            None => Some((stream, Seq::ZERO)),
        });
        Ok(settled.collect())
    }

    /// What memory holds of streams with a doubtful commit is what the database
    /// says now: their heads were locked in the transaction that committed.
    fn resolve_doubts(&self, working: &Working) {
        for (stream, head) in &working.changes.settled {
            lock(&self.doubtful).remove(stream);
            self.hub.reread(stream, *head);
        }
        for stream in &working.changes.restarted {
            tracing::warn!(
                shared = !stream.starts_with("user:"),
                "a stream's history went back in the database: it begins anew"
            );
            self.history.forget(stream);
            self.hub.restart(stream);
        }
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
}

/// Longest pause before a transaction that another node's locks broke is run
/// again; of random length, so that the two do not meet again.
const RETRY_PAUSE_MS_MAX: u64 = 20;

/// Turns that callers get to hand in before a commit.
const GATHER_TURNS: u32 = 8;

/// Whether locks of another node broke the transaction, so that the same one
/// may go through at once: a unique key that its twin just took counts too.
fn is_broken_by_others(error: &DbErr) -> bool {
    matches!(Fault::of(error), Fault::Contended | Fault::Taken)
}
