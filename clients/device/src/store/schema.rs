//! Tables of the store and their version. Append-only: a released step is
//! never edited, a change is a new one.

use sea_orm::ConnectionTrait;
use tidegate_durable::WriteTransaction;

use crate::store::{Store, StoreError, statement};

/// Steps in order; `PRAGMA user_version` counts those done.
const STEPS: &[&str] = &[LIVE_PATH, INTERRUPTED];

const LIVE_PATH: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE cursor (
        stream TEXT PRIMARY KEY, epoch TEXT NOT NULL, seq INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE command (
        id TEXT PRIMARY KEY,
        stream TEXT NOT NULL,
        arrival INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        data_type TEXT NOT NULL,
        value TEXT NOT NULL,
        rank INTEGER NOT NULL,
        expires_at_ms INTEGER NOT NULL,
        stage TEXT NOT NULL,
        outcome TEXT,
        error TEXT,
        retryable INTEGER
    );
    CREATE INDEX command_next ON command (rank, arrival) WHERE stage IN ('waiting', 'started');
    CREATE INDEX command_arrival ON command (arrival);
    CREATE INDEX command_expiry ON command (expires_at_ms);
    CREATE TABLE outbox (
        command_id TEXT PRIMARY KEY,
        attempt INTEGER NOT NULL,
        status TEXT NOT NULL,
        error TEXT,
        retryable INTEGER
    );
    CREATE TABLE replica (
        stream TEXT NOT NULL, kind TEXT NOT NULL, collection TEXT NOT NULL, id TEXT NOT NULL,
        version INTEGER NOT NULL, data TEXT,
        PRIMARY KEY (stream, kind, collection, id)
    ) WITHOUT ROWID;
    CREATE TABLE snapshot (
        stream TEXT PRIMARY KEY, epoch TEXT NOT NULL, seq INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE staged (
        stream TEXT NOT NULL, kind TEXT NOT NULL, collection TEXT NOT NULL, id TEXT NOT NULL,
        position INTEGER NOT NULL, version INTEGER NOT NULL, data TEXT,
        PRIMARY KEY (stream, kind, collection, id)
    ) WITHOUT ROWID;
";

/// How often the process ended while a command was carried out.
const INTERRUPTED: &str = "
    ALTER TABLE command ADD COLUMN interrupted INTEGER NOT NULL DEFAULT 0;
    DROP INDEX command_next;
    CREATE INDEX command_next ON command (interrupted, rank, arrival)
        WHERE stage IN ('waiting', 'started');
";

/// Writes the version, and so the file's first page, also where it is the same:
/// that takes the file's lock.
async fn note_version(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let pragma = format!("PRAGMA user_version = {}", STEPS.len());
    transaction.execute_unprepared(&pragma).await?;
    Ok(())
}

/// Brings the file to the newest schema and takes its lock.
pub(super) async fn prepare(store: &Store) -> Result<(), StoreError> {
    let transaction = store.begin().await?;
    let row = transaction.query_one_raw(statement("PRAGMA user_version", [])).await?;
    let found: i64 = match row {
        Some(row) => row.try_get("", "user_version")?,
        None => 0,
    };
    let done = usize::try_from(found).unwrap_or_default();
    if done > STEPS.len() {
        let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
        return Err(StoreError::Newer { found, known });
    }
    for step in &STEPS[done..] {
        transaction.execute_unprepared(step).await?;
    }
    note_version(&transaction).await?;
    // What the app postponed is tried again at every start.
    transaction
        .execute_unprepared("UPDATE command SET stage = 'waiting' WHERE stage = 'postponed'")
        .await?;
    transaction
        .execute_unprepared(
            "UPDATE command SET interrupted = interrupted + 1 WHERE stage = 'started'",
        )
        .await?;
    transaction.commit().await?;
    Ok(())
}
