//! Assembling a snapshot: pages are staged durably, and only the last one
//! replaces the replica and sets the cursor. A cut leaves the old replica as
//! it was.

use sea_orm::ConnectionTrait;
use serde_json::value::RawValue;
use tidegate_durable::WriteTransaction;
use tidegate_protocol::cursor::{Cursor, Cursors};
use tidegate_protocol::entry::{CommandBody, Item, kind};
use tidegate_protocol::id::StreamName;

use crate::handler::Change;
use crate::machine::streams::SnapshotPage;
use crate::replica::{Delta, Fold, Key};
use crate::store::apply::{change, read_change};
use crate::store::commands::IS_OPEN;
use crate::store::{
    Store, StoreError, commands, drop_cursor, forget_meta, meta, set_cursor, statement, text,
};

impl Store {
    /// Snapshots that are staged and not complete.
    pub(crate) async fn unfinished_snapshots(&self) -> Result<Cursors, StoreError> {
        self.positions("SELECT stream, epoch, seq FROM snapshot").await
    }

    /// Stages one page. The first one also forgets where the stream stood: a
    /// position before a reset must not be taken up again after a cut.
    pub(crate) async fn stage(&self, page: &SnapshotPage) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        if page.first {
            clear(&transaction, &page.stream).await?;
            drop_cursor(&transaction, &page.stream).await?;
        }
        let mark = statement(
            "INSERT INTO snapshot (stream, epoch, seq) VALUES (?, ?, ?) \
             ON CONFLICT (stream) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq",
            [
                page.stream.as_str().into(),
                page.cursor.epoch.as_str().into(),
                page.cursor.seq.get().into(),
            ],
        );
        transaction.execute_raw(mark).await?;
        for item in &page.items {
            if let Some(item) = staged(item) {
                stage_item(&transaction, &page.stream, &item).await?;
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Everything staged for the stream except commands, for the app.
    pub(crate) async fn staged_items(
        &self,
        stream: &StreamName,
    ) -> Result<Vec<Change>, StoreError> {
        let select = statement(
            "SELECT kind, collection, id, version, data FROM staged \
             WHERE stream = ? AND kind <> 'command' ORDER BY position",
            [stream.as_str().into()],
        );
        let rows = self.connection.query_all_raw(select).await?;
        rows.iter().map(read_change).collect()
    }

    /// Replaces the stream's replica by what is staged, and sets its cursor.
    /// Returns whether commands came.
    ///
    /// The opaque cursor of polls still stands within the snapshot and would
    /// bring its last page again, alone: it goes in the same transaction. A
    /// poll that ends before it has the next one begins from the cursors.
    pub(crate) async fn finish_snapshot(
        &self,
        stream: &StreamName,
        cursor: &Cursor,
    ) -> Result<bool, StoreError> {
        let transaction = self.begin().await?;
        // The snapshot holds every command that is not final: one that is
        // waiting here and not in it was closed while this device was away.
        // Unless a push brought it: it may be younger than the snapshot.
        let close = format!(
            "UPDATE command SET stage = 'closed' \
             WHERE stream = ? AND {} AND attempt > 0 \
             AND id NOT IN (SELECT id FROM staged \
                            WHERE staged.stream = command.stream AND kind = 'command')",
            *IS_OPEN
        );
        for sql in [
            "DELETE FROM replica WHERE stream = ?",
            "INSERT INTO replica (stream, kind, collection, id, version, data) \
             SELECT stream, kind, collection, id, version, data FROM staged \
             WHERE stream = ? AND kind <> 'command'",
            &close,
        ] {
            transaction.execute_raw(statement(sql, [stream.as_str().into()])).await?;
        }
        let select = statement(
            "SELECT data FROM staged WHERE stream = ? AND kind = 'command' ORDER BY position",
            [stream.as_str().into()],
        );
        let rows = transaction.query_all_raw(select).await?;
        for row in &rows {
            let body: CommandBody = serde_json::from_str(&text(row, "data")?)?;
            commands::arrive(&transaction, stream, (&body).into()).await?;
        }
        clear(&transaction, stream).await?;
        set_cursor(&transaction, stream, cursor).await?;
        forget_meta(&transaction, meta::POLL_CURSOR).await?;
        transaction.commit().await?;
        Ok(!rows.is_empty())
    }
}

/// An item as it is staged: commands keep their whole body.
fn staged(item: &Item) -> Option<Change> {
    if item.kind == kind::COMMAND {
        let body: CommandBody = serde_json::from_str(item.body.get())
            .inspect_err(|error| tracing::error!(%error, "a command item cannot be read"))
            .ok()?;
        let (id, version) = (body.command_id.as_str().to_owned(), i64::from(body.attempt));
        let key = Key { kind: item.kind.clone(), collection: String::new(), id };
        return Some(whole(&key, version, &item.body));
    }
    let delta = Delta::read(&item.kind, &item.body)?;
    match delta.fold(None) {
        Fold::Set(held) => Some(change(&delta.key, &held)),
        Fold::Skip | Fold::Mismatch => None,
    }
}

fn whole(key: &Key, version: i64, body: &RawValue) -> Change {
    let held = crate::replica::Held { version, data: Some(body.to_owned()) };
    change(key, &held)
}

async fn stage_item(
    transaction: &WriteTransaction,
    stream: &StreamName,
    item: &Change,
) -> Result<(), StoreError> {
    // An item that changed while pages were read may come twice; the newer
    // one stays, in the place of the first.
    let upsert = statement(
        "INSERT INTO staged (stream, kind, collection, id, position, version, data) \
         SELECT ?1, ?2, ?3, ?4, coalesce(max(position), 0) + 1, ?5, ?6 \
         FROM staged WHERE stream = ?1 \
         ON CONFLICT (stream, kind, collection, id) \
         DO UPDATE SET version = excluded.version, data = excluded.data \
         WHERE excluded.version >= staged.version",
        [
            stream.as_str().into(),
            item.kind.as_str().into(),
            item.collection.as_str().into(),
            item.id.as_str().into(),
            item.version.into(),
            item.data.as_ref().map(|data| data.get()).into(),
        ],
    );
    transaction.execute_raw(upsert).await?;
    Ok(())
}

async fn clear(transaction: &WriteTransaction, stream: &StreamName) -> Result<(), StoreError> {
    for sql in ["DELETE FROM staged WHERE stream = ?", "DELETE FROM snapshot WHERE stream = ?"] {
        transaction.execute_raw(statement(sql, [stream.as_str().into()])).await?;
    }
    Ok(())
}
