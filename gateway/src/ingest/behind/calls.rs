//! Handing what was noted for later to the writer.

use std::sync::Arc;

use tidegate_entity::{command, device};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::time::Timestamp;
use tokio::sync::mpsc;

use crate::error::{ApiError, ApiResult};
use crate::ingest::behind::{Behind, BehindBatch, looks_to_come};
use crate::ingest::unit::{ReadSet, UnitOfWork};
use crate::ingest::write::{Pending, Queued, Write};
use crate::ingest::{Ingest, IngestOptions, stopping};
use crate::store;

impl Ingest {
    /// Writes what was noted for later, slice by slice, and waits until it is
    /// committed. What is noted meanwhile waits for the next time.
    pub async fn flush_behind(&self) -> ApiResult<()> {
        let mut waiting = self.behind().len();
        while waiting > 0 {
            // The place first: a caller that goes away while it waits must not
            // take a slice with it.
            let place = self.behind_place().await?;
            let slice = self.behind().take_slice();
            waiting = waiting.saturating_sub(slice.len());
            if slice.is_empty() {
                return Ok(());
            }
            self.hand_in_behind(place, slice).await?;
        }
        Ok(())
    }

    /// As [`Ingest::flush_behind`], and waits for what others are writing too:
    /// the writer takes batches in order, so an empty one comes after theirs.
    pub async fn catch_up_behind(&self) -> ApiResult<()> {
        self.flush_behind().await?;
        if self.behind().is_being_written() {
            self.write_behind(BehindBatch::default()).await?;
        }
        Ok(())
    }

    /// Writes a batch of what may be late; for callers that wait for it. What
    /// a database that is away did not take waits for the next time.
    pub async fn write_behind(&self, batch: BehindBatch) -> ApiResult<()> {
        let place = self.behind_place().await?;
        self.hand_in_behind(place, batch).await
    }

    /// Waits for room in the queue instead of being refused: it is the
    /// gateway's own work, and one batch at a time.
    async fn behind_place(&self) -> ApiResult<mpsc::Permit<'_, Box<dyn Queued>>> {
        self.queue.reserve().await.map_err(|_| stopping())
    }

    async fn hand_in_behind(
        &self,
        place: mpsc::Permit<'_, Box<dyn Queued>>,
        batch: BehindBatch,
    ) -> ApiResult<()> {
        let batch = Arc::new(batch);
        self.behind.hand_in(&batch);
        let behind = Arc::clone(&self.behind);
        let now = self.clock.now();
        let latest = behind.latest(now);
        let write = WriteBehind { batch, behind, now, latest, locks: !self.is_alone };
        let (pending, answer) = Pending::new(write);
        place.send(Box::new(pending));
        answer.await.map_err(|_| stopping())?
    }
}

/// A batch of what is written late.
struct WriteBehind {
    batch: Arc<BehindBatch>,
    behind: Arc<Behind>,
    /// When it was handed in, and the latest time seen until then.
    now: Timestamp,
    latest: Timestamp,
    /// Whether its rows are locked with the others, in the order in which all
    /// nodes lock rows: taken at the end, one kind after the other, two nodes
    /// would wait for each other.
    locks: bool,
}

impl Write for WriteBehind {
    type Draft = ();
    type Answer = ();

    fn weight(&self) -> usize {
        self.batch.len()
    }

    fn reads(&self, reads: &mut ReadSet, options: &IngestOptions) {
        if self.locks {
            for user_id in self.batch.users() {
                reads.rows.want::<device::Entity>(store::device::Wanted::Of { user_id });
            }
            let looks = looks_to_come(self.now, self.latest, options);
            for id in self.batch.commands(&looks) {
                reads.rows.want::<command::Entity>(store::command::Wanted::Id(id));
            }
        }
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<()> {
        unit.write_late(&self.batch);
        Ok(())
    }

    fn answer(&self, _: &mut UnitOfWork, (): ()) -> ApiResult<()> {
        Ok(())
    }

    /// What a database that is away did not take waits for the next time.
    fn ended(&self, refused: Option<&ApiError>) {
        if refused.is_some_and(|error| error.code == ErrorCode::Unavailable) {
            self.behind.put_back(BehindBatch::clone(&self.batch));
        }
        self.behind.settle(&self.batch);
    }
}
