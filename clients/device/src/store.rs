//! The device's memory: one SQLite file.
//!
//! Owns all SQL of the crate. Every write is a transaction of
//! `tidegate-durable`, in WAL mode with `synchronous=FULL`: what a method
//! returned from survives a power cut, and after a failed COMMIT no connection
//! goes on as if nothing had been. Never talks to the network and never
//! calls the app.

mod apply;
mod commands;
mod durable;
mod outbox;
mod schema;
mod snapshot;

pub(crate) use apply::Planned;

use std::path::Path;
use std::time::Duration;

use sea_orm::sqlx::error::Error as SqlxError;
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteLockingMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait, DbBackend, DbErr, QueryResult, RuntimeErr, Statement, Value,
};
use serde_json::value::RawValue;
use tidegate_durable::{Connections, Deadlines, Fault, Health, WriteTransaction};
use tidegate_protocol::cursor::{Cursor, Cursors};
use tidegate_protocol::id::{DeviceId, Epoch, InvalidId, Seq, StreamName};

use crate::machine::Live;
use crate::state::StopReason;

/// The path that keeps everything in memory: for tests, and for apps that may
/// lose it. After a statement whose outcome is not known it is gone, and every
/// call fails.
pub const IN_MEMORY: &str = ":memory:";

/// What went wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite said no for another reason than those below. Trying again later
    /// may help: the disk failed, or did not answer in time.
    #[error("the device store failed: {0}")]
    Database(DbErr),
    /// There is no room on the disk. It goes on when there is: what could not be
    /// stored was not acked and comes again, and an outcome waits in memory. A
    /// process that ends meanwhile carries that command out again, marked as
    /// resumed.
    #[error("the device store has no room on its disk")]
    Full,
    /// Somebody else has the file open: another process, or another device of
    /// this one.
    #[error("the device store is locked: it is open elsewhere")]
    Locked,
    /// The file was written by a newer version of this crate.
    #[error("the device store has schema {found}, this version knows {known}")]
    Newer {
        /// Version in the file.
        found: i64,
        /// Newest version known.
        known: i64,
    },
    /// The file is no store, or SQLite or this crate finds values in it that
    /// nobody wrote. The device stops: move the file aside and begin with a new
    /// one. That fetches the streams again. It knows neither outcomes that were
    /// not reported nor which commands were carried out, so those that are not
    /// final at the gateway are carried out again; and unless the app names the
    /// device's id, it is another device.
    #[error("the device store is damaged: {0}")]
    Damaged(String),
}

impl StoreError {
    /// Why the device has to stop; `None` while trying again may help.
    pub(crate) fn stops(&self) -> Option<StopReason> {
        match self {
            Self::Newer { .. } | Self::Damaged(_) => {
                Some(StopReason::Store { text: self.to_string() })
            }
            Self::Database(_) | Self::Full | Self::Locked => None,
        }
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match Fault::of(&error) {
            Fault::Full => Self::Full,
            Fault::Contended | Fault::Locked => Self::Locked,
            Fault::Corrupt => Self::Damaged(error.to_string()),
            _ if is_unreadable(&error) => Self::Damaged(error.to_string()),
            _ => Self::Database(error),
        }
    }
}

/// Whether a value was there, and not of the type that this crate writes.
fn is_unreadable(error: &DbErr) -> bool {
    match error {
        DbErr::Type(_) => true,
        DbErr::Query(RuntimeErr::SqlxError(cause)) => {
            matches!(**cause, SqlxError::ColumnDecode { .. })
        }
        _ => false,
    }
}

impl From<InvalidId> for StoreError {
    fn from(error: InvalidId) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// A handle to the store. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Store {
    connection: Connections,
}

/// A phone's storage may be slow for seconds; longer, the app is told.
const DEADLINES: Deadlines =
    Deadlines { acquire: Duration::from_secs(30), statement: Duration::from_secs(30) };

/// Names in the table `meta`.
mod meta {
    pub(super) const DEVICE_ID: &str = "device_id";
    pub(super) const OWNER: &str = "owner";
    pub(super) const POLL_CURSOR: &str = "poll_cursor";
    pub(super) const REGISTERED: &str = "registered";
    /// How often a write was made only to see that writes go through.
    pub(super) const PROBES: &str = "probes";
}

impl Store {
    /// Opens the file, creating it where it is missing. [`IN_MEMORY`] keeps
    /// everything in memory instead.
    ///
    /// The file is locked for this process: two processes with one inbox would
    /// carry commands out twice. A second one fails after five seconds.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let in_memory = path == Path::new(IN_MEMORY);
        let url = if in_memory { "sqlite::memory:" } else { "sqlite://device?mode=rwc" };
        let mut options = ConnectOptions::new(url);
        // One connection: SQLite has one writer, the lock is exclusive, and a
        // memory database lives only as long as its connection.
        options.max_connections(1).min_connections(1).sqlx_logging(false);
        options.idle_timeout(None).max_lifetime(None);
        let file = path.to_owned();
        options.map_sqlx_sqlite_opts(move |sqlite| {
            let sqlite =
                sqlite.busy_timeout(Duration::from_secs(5)).synchronous(SqliteSynchronous::Full);
            if in_memory {
                return sqlite;
            }
            // Set here rather than in the URL, where `?` and `%` in a path
            // would be read as syntax. Locking goes before WAL, so that no
            // shared-memory file is made.
            sqlite
                .filename(&file)
                .create_if_missing(true)
                .locking_mode(SqliteLockingMode::Exclusive)
                .journal_mode(SqliteJournalMode::Wal)
        });
        let store = Self { connection: Connections::open(options, DEADLINES).await? };
        schema::prepare(&store).await?;
        Ok(store)
    }

    /// For tests: outcomes cannot be stored until told otherwise.
    #[cfg(test)]
    pub(crate) async fn refuse_outcomes(&self, refuse: bool) {
        let sql = if refuse {
            "CREATE TRIGGER refuse BEFORE UPDATE OF stage ON command \
             WHEN NEW.stage = 'done' BEGIN SELECT RAISE(ABORT, 'refused'); END"
        } else {
            "DROP TRIGGER refuse"
        };
        self.connection.execute_unprepared(sql).await.unwrap();
    }

    /// Closes the file and gives up its lock.
    pub async fn close(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }

    /// The device's id, made at the first start; `wanted` sets another.
    pub async fn device_id(&self, wanted: Option<DeviceId>) -> Result<DeviceId, StoreError> {
        if let Some(wanted) = wanted {
            self.set_meta(meta::DEVICE_ID, wanted.as_str()).await?;
            return Ok(wanted);
        }
        if let Some(id) = self.meta(meta::DEVICE_ID).await? {
            return Ok(DeviceId::parse(&id)?);
        }
        let id = DeviceId::generate();
        self.set_meta(meta::DEVICE_ID, id.as_str()).await?;
        Ok(id)
    }

    /// The user stream this store belongs to, once it is known.
    pub async fn owner(&self) -> Result<Option<StreamName>, StoreError> {
        self.meta(meta::OWNER).await?.map(|name| Ok(StreamName::parse(&name)?)).transpose()
    }

    pub(crate) async fn set_owner(&self, owner: &StreamName) -> Result<(), StoreError> {
        self.set_meta(meta::OWNER, owner.as_str()).await
    }

    /// A socket session begins: notes what its `welcome` settled, and what its
    /// `hello` said of the device. The opaque cursor of polls goes, because the
    /// session moves cursors that it knows nothing about; so do the cursors of
    /// streams that begin anew.
    pub(crate) async fn begin_session(&self, live: &Live, said: &str) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        if let Some(owner) = &live.owner {
            set_meta(&transaction, meta::OWNER, owner.as_str()).await?;
        }
        set_meta(&transaction, meta::REGISTERED, said).await?;
        for stream in &live.resets {
            drop_cursor(&transaction, stream).await?;
        }
        forget_meta(&transaction, meta::POLL_CURSOR).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The opaque cursor of the last poll, and the snapshots it left half read.
    pub(crate) async fn poll_cursor(&self) -> Result<Option<String>, StoreError> {
        self.ensure_durable().await?;
        self.meta(meta::POLL_CURSOR).await
    }

    pub(crate) async fn set_poll_cursor(&self, cursor: &str) -> Result<(), StoreError> {
        self.set_meta(meta::POLL_CURSOR, cursor).await
    }

    pub(crate) async fn forget_poll_cursor(&self) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        forget_meta(&transaction, meta::POLL_CURSOR).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// What the gateway last heard of the device, as a fingerprint.
    pub(crate) async fn registered(&self) -> Result<Option<String>, StoreError> {
        self.meta(meta::REGISTERED).await
    }

    pub(crate) async fn set_registered(&self, said: &str) -> Result<(), StoreError> {
        self.set_meta(meta::REGISTERED, said).await
    }

    /// Where each stream stands, durably. Fails while the store cannot write.
    pub async fn cursors(&self) -> Result<Cursors, StoreError> {
        self.positions("SELECT stream, epoch, seq FROM cursor").await
    }

    /// These streams begin anew, by the polls under way.
    pub(crate) async fn forget_cursors(&self, streams: &[StreamName]) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        for stream in streams {
            drop_cursor(&transaction, stream).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The stream begins anew at the next connect: with a snapshot.
    pub(crate) async fn forget_cursor(&self, stream: &StreamName) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        drop_cursor(&transaction, stream).await?;
        forget_meta(&transaction, meta::POLL_CURSOR).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn positions(&self, sql: &str) -> Result<Cursors, StoreError> {
        self.ensure_durable().await?;
        let rows = self.connection.query_all_raw(statement(sql, [])).await?;
        let mut positions = Cursors::new();
        for row in rows {
            let stream = StreamName::parse(&text(&row, "stream")?)?;
            let epoch = Epoch::parse(&text(&row, "epoch")?)?;
            positions.insert(stream, Cursor { epoch, seq: Seq::new(row.try_get("", "seq")?) });
        }
        Ok(positions)
    }

    async fn meta(&self, name: &str) -> Result<Option<String>, StoreError> {
        let select = statement("SELECT value FROM meta WHERE name = ?", [name.into()]);
        let row = self.connection.query_one_raw(select).await?;
        row.map(|row| text(&row, "value")).transpose()
    }

    async fn set_meta(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        set_meta(&transaction, name, value).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Begins a write: outermost, and with the write lock taken at once.
    async fn begin(&self) -> Result<WriteTransaction, StoreError> {
        if self.connection.health() == Health::Stopped {
            return Err(StoreError::Damaged("an earlier write found it so".to_owned()));
        }
        Ok(self.connection.begin().await?)
    }
}

fn statement(sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

async fn set_meta(on: &WriteTransaction, name: &str, value: &str) -> Result<(), StoreError> {
    let upsert = statement(
        "INSERT INTO meta (name, value) VALUES (?, ?) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [name.into(), value.into()],
    );
    on.execute_raw(upsert).await?;
    Ok(())
}

async fn forget_meta(on: &WriteTransaction, name: &str) -> Result<(), StoreError> {
    on.execute_raw(statement("DELETE FROM meta WHERE name = ?", [name.into()])).await?;
    Ok(())
}

async fn set_cursor(
    transaction: &WriteTransaction,
    stream: &StreamName,
    cursor: &Cursor,
) -> Result<(), StoreError> {
    let upsert = statement(
        "INSERT INTO cursor (stream, epoch, seq) VALUES (?, ?, ?) \
         ON CONFLICT (stream) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq",
        [stream.as_str().into(), cursor.epoch.as_str().into(), cursor.seq.get().into()],
    );
    transaction.execute_raw(upsert).await?;
    Ok(())
}

async fn drop_cursor(
    transaction: &WriteTransaction,
    stream: &StreamName,
) -> Result<(), StoreError> {
    let delete = statement("DELETE FROM cursor WHERE stream = ?", [stream.as_str().into()]);
    transaction.execute_raw(delete).await?;
    Ok(())
}

fn text(row: &QueryResult, column: &str) -> Result<String, StoreError> {
    Ok(row.try_get("", column)?)
}

fn json(row: &QueryResult, column: &str) -> Result<Option<Box<RawValue>>, StoreError> {
    let text: Option<String> = row.try_get("", column)?;
    Ok(text.map(RawValue::from_string).transpose()?)
}

#[cfg(test)]
mod tests;
