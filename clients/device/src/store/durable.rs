//! Makes sure that what is read is durable, after a write that was not.
//!
//! A COMMIT whose sync failed may still be read: the log has it, in the memory
//! of the system, and a power cut takes it away. The gateway would count a
//! position as acked, or an outcome as reported, that this device forgets.

use sea_orm::ConnectionTrait;
use tidegate_durable::Health;

use crate::store::schema::note_version;
use crate::store::{Store, StoreError, statement};

impl Store {
    /// Comes before whatever is read to be told to the gateway. Does nothing
    /// where the last write went through. Else everything moves from the log
    /// into the file itself, because a system that failed to sync the log may
    /// claim at the next try that it did; then a write has to go through.
    pub(super) async fn ensure_durable(&self) -> Result<(), StoreError> {
        if self.connection.health() == Health::Writing {
            return Ok(());
        }
        let checkpoint = statement("PRAGMA wal_checkpoint(TRUNCATE)", []);
        self.connection.query_one_raw(checkpoint).await?;
        let transaction = self.begin().await?;
        note_version(&transaction).await?;
        transaction.commit().await?;
        Ok(())
    }
}
