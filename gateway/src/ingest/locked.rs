//! Streams whose head somebody else keeps locked: a frozen node, a person at
//! the database's console. Their writes are refused for a moment, so that the
//! others of their batch go on.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use sea_orm::DbErr;
use tokio::time::Instant;

use crate::error::ApiError;
use crate::hub::lock;
use crate::ingest::unit::ReadSet;
use crate::ingest::writer::{Batch, Writer};
use crate::store;

/// Streams found locked, and when.
#[derive(Debug, Default)]
pub(crate) struct Locked(Mutex<HashMap<String, Instant>>);

/// For so long a stream found locked is not tried again: each try keeps the
/// others waiting for the lock's time-out. As long as callers are told to wait.
const LEFT_ALONE: Duration = Duration::from_secs(1);

impl Locked {
    fn note(&self, streams: impl IntoIterator<Item = String>) {
        let now = Instant::now();
        lock(&self.0).extend(streams.into_iter().map(|stream| (stream, now)));
    }

    /// Those that are left alone now.
    fn streams(&self) -> BTreeSet<String> {
        let mut locked = lock(&self.0);
        locked.retain(|_, found| found.elapsed() < LEFT_ALONE);
        locked.keys().cloned().collect()
    }
}

pub(super) fn refusal() -> ApiError {
    ApiError::unavailable("the stream is locked by somebody else; try again")
}

impl Writer {
    /// Takes out of a batch what writes to streams found locked a moment ago.
    /// Only looks at what writes name themselves: what else they need is found
    /// out when they are tried.
    pub(super) fn set_aside(&self, batch: Batch) -> (Batch, Batch) {
        let locked = self.locked.streams();
        if locked.is_empty() {
            return (batch, Vec::new());
        }
        batch.into_iter().partition(|write| {
            let mut reads = ReadSet::default();
            write.reads(&mut reads, &self.options);
            reads.streams.is_disjoint(&locked)
        })
    }

    /// A batch ran into a lock: the writes that do not need a locked head, and
    /// those that do. All of them in the first, if it is another row.
    pub(super) async fn part_locked(&self, batch: Batch) -> Result<(Batch, Batch), (DbErr, Batch)> {
        let (needed, locked) = match self.find_locked(&batch).await {
            Ok(found) => found,
            Err(error) => return Err((error, batch)),
        };
        self.locked.note(locked.iter().cloned());
        let (mut others, mut waiting) = (Vec::new(), Vec::new());
        for (write, streams) in batch.into_iter().zip(needed) {
            if streams.is_disjoint(&locked) { &mut others } else { &mut waiting }.push(write);
        }
        Ok((others, waiting))
    }

    /// Jobs that end alone at a lock that is no head's: their streams are left
    /// alone for a moment all the same.
    pub(super) async fn leave_alone(&self, batch: &Batch) {
        if let Ok((needed, _)) = self.find_locked(batch).await {
            self.locked.note(needed.into_iter().flatten());
        }
    }

    /// What each write writes to, and what of it somebody else has locked.
    async fn find_locked(
        &self,
        batch: &Batch,
    ) -> Result<(Vec<BTreeSet<String>>, BTreeSet<String>), DbErr> {
        let tx = self.store.begin_write().await?;
        let mut needed = Vec::with_capacity(batch.len());
        for write in batch {
            let mut reads = ReadSet::default();
            write.reads(&mut reads, &self.options);
            write.locate(&tx, &mut reads).await?;
            needed.push(reads.streams);
        }
        let all: BTreeSet<String> = needed.iter().flatten().cloned().collect();
        let all: Vec<String> = all.into_iter().collect();
        let exist = store::head::load(&tx, &all).await?;
        let free = store::head::lock_free(&tx, &all).await?;
        tx.rollback().await;
        let is_locked = |stream: &String| !free.contains_key(stream);
        Ok((needed, exist.into_keys().filter(is_locked).collect()))
    }
}
