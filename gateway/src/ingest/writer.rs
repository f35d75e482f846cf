//! The loop that commits: drains what waits into one transaction, answers
//! after the commit, and hands the new entries to the hub.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use sea_orm::DbErr;
use tidegate_clock::Clock;
use tidegate_durable::Fault;
use tidegate_entity::push_wake;
use tidegate_protocol::code::CloseReason;
use tidegate_protocol::id::Seq;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::ApiError;
use crate::hub::{Hub, lock};
use crate::ingest::IngestOptions;
use crate::ingest::behind::Behind;
use crate::ingest::history::History;
use crate::ingest::locked::{self, Locked};
use crate::ingest::unit::heads::{self, new_epoch};
use crate::ingest::unit::{ReadSet, Surroundings, UnitOfWork};
use crate::ingest::write::Queued;
use crate::metrics::Metrics;
use crate::metrics::label::CommitResult;
use crate::store::order::Place;
use crate::store::write::{Attempts, Transaction};
use crate::store::{self, Store};

/// Writes that share a transaction.
pub(super) type Batch = Vec<Box<dyn Queued>>;

/// The one writer of this node. Ends when it is told to and everything that
/// waited is committed.
pub struct Writer {
    pub(crate) store: Store,
    pub(crate) hub: Arc<Hub>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) options: Arc<IngestOptions>,
    pub(crate) waiting: mpsc::Receiver<Box<dyn Queued>>,
    /// Only asked who was seen lately.
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
                first = self.waiting.recv() => first,
                () = stop.cancelled(), if !self.waiting.is_closed() => {
                    self.waiting.close();
                    continue;
                }
            };
            let Some(first) = first else { return };
            let mut batch = vec![first];
            self.gather(&mut batch).await;
            let waiting = i64::try_from(self.waiting.len()).unwrap_or(i64::MAX);
            self.metrics.write_queue_length.set(waiting);
            self.commit(batch).await;
        }
    }

    /// Adds what else waits. No timer: whatever came while the last batch was
    /// committed is here already. Then callers that are ready get a turn to
    /// hand in, and another as long as it brings more: on an idle node a turn
    /// is nothing, on a busy one it saves transactions.
    async fn gather(&mut self, batch: &mut Batch) {
        let mut weight: usize = batch.iter().map(|write| write.weight()).sum();
        for turn in 0..GATHER_TURNS {
            let before = batch.len();
            while weight < self.options.batch
                && let Ok(next) = self.waiting.try_recv()
            {
                weight += next.weight();
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
    /// write fails alone.
    async fn commit(&self, batch: Batch) {
        let (batch, aside) = self.set_aside(batch);
        refuse(aside, &locked::refusal());
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.attempt(&mut part).await {
                Ok(written) => self.tell(written, part),
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
                    refuse(part, &ApiError::unavailable("another node was faster; try again"));
                }
                Err(Failure::RolledBack(error) | Failure::Unreachable(error)) => {
                    refuse(part, &ApiError::internal(&error));
                }
                Err(Failure::Unknown(error)) => {
                    // What is wrong with the database is told where it changes.
                    tracing::debug!(%error, writes = part.len(), "commit with unknown outcome");
                    let message = "the outcome of the write is not known; try again";
                    refuse(part, &ApiError::unavailable(message));
                }
            }
        }
    }

    /// Tells of a commit. Who asked for it hears the answer before the entries
    /// that follow from it; all others are answered when those are on their way.
    fn tell(&self, mut written: Written, batch: Batch) {
        let (first, others): (Batch, Batch) =
            batch.into_iter().partition(|write| write.hears_first());
        first.into_iter().for_each(Queued::committed);
        self.announce(&mut written.unit);
        others.into_iter().for_each(Queued::committed);
    }

    /// A batch ran into a lock: what needs it is refused, and the others are
    /// tried again. If it is no head that is locked, in halves.
    async fn go_on_without_locked(&self, part: Batch, parts: &mut Vec<Batch>) {
        // A failure here refuses them all, and each caller tries again.
        let count = part.len();
        let (mut others, waiting) = match self.part_locked(part).await {
            Ok(parted) => parted,
            Err((error, part)) => return refuse(part, &ApiError::internal(&error)),
        };
        refuse(waiting, &locked::refusal());
        if others.len() < count {
            parts.push(others);
        } else if count > 1 {
            parts.push(others.split_off(count / 2));
            parts.push(others);
        } else {
            self.leave_alone(&others).await;
            refuse(others, &locked::refusal());
        }
    }

    /// One transaction, run again while other nodes' locks break it.
    async fn attempt(&self, batch: &mut Batch) -> Result<Written, Failure> {
        let mut attempts = Attempts::default();
        loop {
            let result = self.transaction(batch).await;
            let counted = match &result {
                Ok(_) => CommitResult::Committed,
                Err(Failure::RolledBack(_) | Failure::Unreachable(_)) => CommitResult::RolledBack,
                Err(Failure::Unknown(_)) => CommitResult::Unknown,
            };
            self.metrics.commits.of(counted).inc();
            match result {
                Err(Failure::RolledBack(error)) if attempts.again(&error).await => {}
                result => return result,
            }
        }
    }

    async fn transaction(&self, batch: &mut Batch) -> Result<Written, Failure> {
        let started = Instant::now();
        let tx = self.store.begin_write().await.map_err(Failure::Unreachable)?;
        let written = match self.write(&tx, batch).await {
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
        for device in &written.unit.outdated {
            self.hub.close_device(device, CloseReason::Overtaken);
        }
        if let Err(error) = tx.commit().await {
            lock(&self.doubtful).extend(written.unit.streams());
            return Err(Failure::Unknown(error));
        }
        self.resolve_doubts(&written);
        let weight: usize = batch.iter().map(|write| write.weight()).sum();
        #[expect(clippy::cast_precision_loss, reason = "batches are small")]
        self.metrics.commit_batch_size.observe(weight as f64);
        self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
        if written.unit.rows.all::<push_wake::Entity>().next().is_some() {
            self.wakes.notify_one();
        }
        Ok(written)
    }

    /// Everything up to the commit.
    async fn write(&self, tx: &Transaction, batch: &mut Batch) -> Result<Written, DbErr> {
        let mut reads = ReadSet::default();
        for write in &*batch {
            write.reads(&mut reads, &self.options);
        }
        for write in &*batch {
            write.locate(tx, &mut reads).await?;
        }
        let heads = heads::lock(tx, &reads.streams).await?;
        let mut rows = reads.rows;
        // What follows from devices is known once they are loaded.
        rows.load(tx, Place::Device).await?;
        // Rows that are written late are locked with the others where somebody
        // else writes: see `WriteBehind`.
        tx.locks(Place::Device);
        tx.locks(Place::Command);
        for write in &*batch {
            write.follow(&mut rows, &self.options);
        }
        rows.load(tx, Place::WriteProbe).await?;
        let around = Surroundings {
            now: self.clock.now(),
            options: &self.options,
            hub: &self.hub,
            behind: &self.behind,
        };
        let mut unit = UnitOfWork::new(&around, heads, rows);
        let restarted = self.restart_what_went_back(tx, &mut unit, reads.streams).await?;
        let settled = self.settle_doubts(tx).await?;
        for write in &mut *batch {
            write.decide(&mut unit);
        }
        unit.allocate(tx).await?;
        for write in &mut *batch {
            write.answer(&mut unit);
        }
        unit.write(tx).await?;
        Ok(Written { unit, restarted, settled })
    }

    /// Streams of which more was announced than the database knows get a new
    /// epoch before a position is given out again.
    async fn restart_what_went_back(
        &self,
        tx: &Transaction,
        unit: &mut UnitOfWork,
        named: BTreeSet<String>,
    ) -> Result<Vec<String>, DbErr> {
        let mut restarted = Vec::new();
        // Of an embedded database this process knows all there is.
        if self.store.is_embedded() {
            return Ok(restarted);
        }
        let announced = |stream: &str| self.history.head(stream).max(self.hub.head(stream));
        for (stream, head) in &mut unit.heads {
            if announced(stream).is_some_and(|known| known > head.seq) {
                head.epoch = new_epoch();
                store::head::renew_epoch(tx, stream, &head.epoch).await?;
                restarted.push(stream.clone());
            }
        }
        // Their row went too; the one made now has an epoch of its own.
        let gone = named.into_iter().filter(|stream| {
            !unit.heads.contains_key(stream) && announced(stream).is_some_and(|known| known > 0)
        });
        restarted.extend(gone);
        Ok(restarted)
    }

    /// The heads of streams with a doubtful commit, as they are now; 0 where
    /// there is none. One whose commit may still be under way stays in doubt:
    /// nobody waits for it but who writes to it.
    async fn settle_doubts(&self, tx: &Transaction) -> Result<Vec<(String, Seq)>, DbErr> {
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
    fn resolve_doubts(&self, written: &Written) {
        for (stream, head) in &written.settled {
            lock(&self.doubtful).remove(stream);
            self.hub.reread(stream, *head);
        }
        for stream in &written.restarted {
            tracing::warn!(
                shared = !stream.starts_with("user:"),
                "a stream's history went back in the database: it begins anew"
            );
            self.history.forget(stream);
            self.hub.restart(stream);
        }
    }
}

/// What a transaction wrote, before its commit.
struct Written {
    unit: UnitOfWork,
    /// Streams whose history went back: they begin anew, in a new epoch.
    restarted: Vec<String>,
    /// Streams with a commit of unknown outcome, and their heads as they are.
    settled: Vec<(String, Seq)>,
}

fn refuse(part: Batch, error: &ApiError) {
    for write in part {
        write.refused(error);
    }
}

/// Turns that callers get to hand in before a commit.
const GATHER_TURNS: u32 = 8;
