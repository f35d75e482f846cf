//! Makes sure that what is read is durable, after a write that was not.
//!
//! A COMMIT whose sync failed may still be read: the log has it, in the memory
//! of the system, and a power cut takes it away. The gateway would count a
//! position as acked, or an outcome as reported, that this device forgets.

use sea_orm::ConnectionTrait;
use tidegate_durable::Health;

use crate::store::{Store, StoreError, meta, statement};

impl Store {
    /// Comes before whatever is read to be told to the gateway. Does nothing
    /// where the last write went through. Else everything moves from the log
    /// into the file itself, because a system that failed to sync the log may
    /// claim at the next try that it did; then a write has to go through, and
    /// one that changes a row: nothing else counts as one, and SQLite writes no
    /// page of a value that stays the same.
    pub(super) async fn ensure_durable(&self) -> Result<(), StoreError> {
        if self.connection.health() == Health::Writing {
            return Ok(());
        }
        let checkpoint = statement("PRAGMA wal_checkpoint(TRUNCATE)", []);
        self.connection.query_one_raw(checkpoint).await?;
        let transaction = self.begin().await?;
        let count = statement(
            "INSERT INTO meta (name, value) VALUES (?, 1) \
             ON CONFLICT (name) DO UPDATE SET value = value + 1",
            [meta::PROBES.into()],
        );
        transaction.execute_raw(count).await?;
        transaction.commit().await?;
        Ok(())
    }
}
