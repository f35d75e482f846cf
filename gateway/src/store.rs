//! All SQL: connections, transactions, and one file of queries per table area.
//!
//! Functions take a connection or a transaction and never start one
//! themselves; who writes goes through [`Store::write`], the only way to write:
//! connections for reading refuse it. Nothing here knows the wire, time, or why a
//! row changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, ConnectionTrait, Database, DatabaseBackend, DatabaseConnection, DbErr};
use tidegate_durable::{Connections, Deadlines, Health};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::store::connect::{PostgresRole, SqliteRole, postgres_options, sqlite_options};
use crate::store::open::OpenError;
use crate::store::stamp::Opened;

pub mod audit;
mod bulk;
mod check;
pub mod claim;
pub mod command;
pub mod conflict;
mod connect;
pub mod copy;
pub mod delivery;
pub mod device;
pub mod event;
pub mod file;
pub mod head;
pub mod health;
pub mod idempotency;
pub mod integration;
pub mod journal;
pub mod lease;
pub mod market;
pub mod oauth_state;
pub mod open;
pub mod order;
pub mod outcome;
pub mod portion;
pub mod probe;
pub mod rate_window;
pub mod rating;
pub mod record;
pub mod schema;
mod stamp;
pub mod sync_state;
pub mod table;
pub mod wake;
pub mod webhook_event;
pub mod write;

/// Where and how to keep data.
#[derive(Clone)]
pub struct StoreOptions {
    /// `sqlite://path?mode=rwc` or `postgres://…`.
    pub url: String,
    /// Reading connections.
    pub connections: u32,
    /// SQLite: whether a commit waits for the disk.
    pub synchronous_full: bool,
    /// How long to wait for a connection.
    pub acquire_timeout: Duration,
    /// How long a statement may take, COMMIT included.
    pub statement_timeout: Duration,
    /// PostgreSQL: how long a statement waits for a row that another
    /// transaction has locked.
    pub lock_timeout: Duration,
    /// SQLite: how long the file may be checked after an end out of order.
    pub check_limit: Duration,
}

impl StoreOptions {
    const fn deadlines(&self) -> Deadlines {
        Deadlines { acquire: self.acquire_timeout, statement: self.statement_timeout }
    }
}

impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold a password.
        f.debug_struct("StoreOptions").finish_non_exhaustive()
    }
}

/// Handles to the database: connections that write, and others that read, so
/// that a storm of readers does not keep commits waiting. SQLite has one that
/// writes.
#[derive(Clone, Debug)]
pub struct Store {
    writer: Connections,
    readers: Connections,
    /// SQLite only: copies the write-ahead log into the database file, so that
    /// no commit has to.
    checkpointer: Option<Connections>,
    /// SQLite in a file: that it is ours, and what tells it from others.
    opened: Option<Arc<Opened>>,
    /// SQLite only: heads that need not be read again.
    heads: Option<head::Known>,
    /// See [`Store::turn`].
    turns: Arc<Semaphore>,
    /// As found last.
    is_durable: Arc<AtomicBool>,
    options: Arc<StoreOptions>,
}

impl Store {
    /// Opens the database. Does not migrate: see [`schema`]. A SQLite file
    /// belongs to this process until [`close`](Self::close) or its end.
    pub async fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        let turns = Arc::new(Semaphore::new(options.connections as usize));
        let is_durable = Arc::default();
        if options.url.starts_with("sqlite:") {
            let opened = Opened::claim(options).await?.map(Arc::new);
            let refused = |error| match &opened {
                Some(opened) => opened.refused(error),
                None => OpenError::Database(error),
            };
            let of = |role| sqlite_options(options, role);
            let deadlines = options.deadlines();
            let writer = Connections::open(of(SqliteRole::Writer), deadlines).await;
            let writer = writer.map_err(refused)?;
            let readers = writer.open_beside(of(SqliteRole::Readers), deadlines).await;
            let readers = readers.map_err(refused)?.for_reading();
            let checkpointer = writer.open_beside(of(SqliteRole::Checkpointer), deadlines).await;
            let checkpointer = Some(checkpointer.map_err(refused)?);
            let options = Arc::new(options.clone());
            let heads = Some(head::Known::default());
            let store =
                Self { writer, readers, checkpointer, opened, heads, turns, is_durable, options };
            store.begin_stamps().await?;
            Ok(store)
        } else {
            let of = |role| postgres_options(options, role);
            let deadlines = options.deadlines();
            let writer = Connections::open(of(PostgresRole::Writers), deadlines).await?;
            let readers = writer.open_beside(of(PostgresRole::Readers), deadlines).await?;
            let readers = readers.for_reading();
            let options = Arc::new(options.clone());
            Ok(Self {
                writer,
                readers,
                checkpointer: None,
                opened: None,
                heads: None,
                turns,
                is_durable,
                options,
            })
        }
    }

    /// Opens a SQLite file that another process has open, and that stays its own:
    /// nothing is claimed, remembered or folded here. For rows that the other one
    /// reads anew each time.
    pub async fn open_beside(options: &StoreOptions) -> Result<Self, OpenError> {
        let of = |role| sqlite_options(options, role);
        let deadlines = options.deadlines();
        let writer = Connections::open(of(SqliteRole::Writer), deadlines).await?;
        let readers = writer.open_beside(of(SqliteRole::Readers), deadlines).await?;
        Ok(Self {
            writer,
            readers: readers.for_reading(),
            checkpointer: None,
            opened: None,
            heads: None,
            turns: Arc::new(Semaphore::new(options.connections as usize)),
            is_durable: Arc::default(),
            options: Arc::new(options.clone()),
        })
    }

    /// For reads.
    pub const fn readers(&self) -> &Connections {
        &self.readers
    }

    /// Waits for a turn to read for a device, as long as it takes. Thousands
    /// catch up at once after a restart: in the queue for a connection, which
    /// gives up after 10 s, they would fail each other and everybody else.
    pub async fn turn(&self) -> SemaphorePermit<'_> {
        self.turns.acquire().await.expect("nobody closes the semaphore")
    }

    /// Connections of their own for the migrator, which brings its own
    /// transactions and may take as long as it needs.
    pub(crate) async fn connect_migrator(&self) -> Result<DatabaseConnection, DbErr> {
        let options = if self.is_embedded() {
            sqlite_options(&self.options, SqliteRole::Writer)
        } else {
            postgres_options(&self.options, PostgresRole::Migrator)
        };
        Database::connect(options).await
    }

    /// Which database this is.
    pub fn backend(&self) -> DatabaseBackend {
        self.writer.get_database_backend()
    }

    /// Asks the database for an answer.
    pub async fn ping(&self) -> Result<(), DbErr> {
        self.readers.execute_unprepared("SELECT 1").await.map(drop)
    }

    /// Whether the database is part of this process: SQLite.
    pub const fn is_embedded(&self) -> bool {
        self.checkpointer.is_some()
    }

    /// SQLite: whether a commit waits for the disk.
    pub fn waits_for_disk(&self) -> bool {
        self.options.synchronous_full
    }

    /// Whether what is committed survives a power cut of the database's machine,
    /// as [`note_durability`](Self::note_durability) found last.
    pub fn is_durable(&self) -> bool {
        self.is_durable.load(Ordering::Relaxed)
    }

    /// Asks whether commits are durable: SQLite's `synchronous` and PostgreSQL's
    /// `synchronous_commit` as they are for the connections that write.
    pub async fn note_durability(&self) -> Result<(), DbErr> {
        let is_durable = if self.is_embedded() {
            self.waits_for_disk()
        } else {
            let setting = probe::synchronous_commit(&self.writer).await?;
            setting.as_deref() != Some("off")
        };
        self.is_durable.store(is_durable, Ordering::Relaxed);
        Ok(())
    }

    /// Whether writing works, as the last writes showed.
    pub fn health(&self) -> Health {
        self.writer.health()
    }

    /// Tells of each change of [`health`](Self::health).
    pub fn health_changes(&self) -> watch::Receiver<Health> {
        self.writer.health_changes()
    }

    /// How long ago something was committed.
    pub fn since_commit(&self) -> Duration {
        self.writer.since_commit()
    }

    /// Copies committed pages of SQLite's write-ahead log into the database.
    /// Passive, so that it stops no writer, until the log has grown because
    /// writers never paused. Then they wait until the few pages that came
    /// meanwhile are copied too, and begin the log anew. It keeps its file:
    /// cutting it takes tens of milliseconds, and a commit into a file that is
    /// there takes half of one that makes it longer. Nothing to do on
    /// PostgreSQL.
    pub async fn checkpoint(&self) -> Result<(), DbErr> {
        let Some(checkpointer) = &self.checkpointer else { return Ok(()) };
        let mut log = fold(checkpointer, "PRAGMA wal_checkpoint(PASSIVE)").await?;
        if log.pages > WAL_PAGES_MAX {
            let before = log;
            log = fold(checkpointer, "PRAGMA wal_checkpoint(PASSIVE)").await?;
            // Who reads for long, a backup above all, keeps the pages from being
            // copied that came since it began; writers must not wait for that.
            if log.copied >= before.pages {
                log = fold(checkpointer, "PRAGMA wal_checkpoint(RESTART)").await?;
            }
        }
        if log.is_folded() { self.renew_stamp().await } else { Ok(()) }
    }

    /// Whether the file was replaced by another one, whose epochs are not
    /// renewed yet.
    pub fn must_renew_epochs(&self) -> bool {
        self.opened.as_ref().is_some_and(|opened| opened.must_renew_epochs())
    }

    /// Notes that all epochs were renewed.
    pub fn epochs_renewed(&self) -> Result<(), OpenError> {
        self.opened.as_ref().map_or(Ok(()), |opened| opened.epochs_renewed())
    }

    /// Closes all connections; SQLite folds its log into the database file, and
    /// another process may open it.
    pub async fn close(self) -> Result<(), OpenError> {
        self.readers.close().await?;
        self.writer.close().await?;
        if let Some(checkpointer) = self.checkpointer {
            // SQLite does so when the last connection closes. The writer's is
            // closed by the thread it belongs to, which the process may not
            // wait for.
            if let Err(error) = fold(&checkpointer, "PRAGMA wal_checkpoint(TRUNCATE)").await {
                tracing::warn!(%error, "the log was not folded into the database");
            }
            checkpointer.close().await?;
        }
        self.opened.map_or(Ok(()), |opened| opened.close())
    }
}

/// How far the write-ahead log is folded; -1 where another process folds it.
#[derive(Clone, Copy, Debug)]
struct Log {
    /// All of it, when the folding began.
    pages: i32,
    /// Copied into the database file.
    copied: i32,
}

impl Log {
    const fn is_folded(self) -> bool {
        self.pages >= 0 && self.copied == self.pages
    }
}

async fn fold(checkpointer: &Connections, sql: &str) -> Result<Log, DbErr> {
    let row = checkpointer.query_one_raw(pragma(sql)).await?;
    let at = |index| row.as_ref().map_or(Ok(0), |row| row.try_get_by_index(index));
    Ok(Log { pages: at(1)?, copied: at(2)? })
}

/// 16 MiB of 4 KiB pages.
const WAL_PAGES_MAX: i32 = 4_096;

fn pragma(text: &str) -> sea_orm::Statement {
    sea_orm::Statement::from_string(DatabaseBackend::Sqlite, text)
}

/// Rows after a position by two columns. A row value, because the databases
/// find their place in the index by it; two comparisons with OR make them read
/// from the beginning.
fn later<C: ColumnTrait>(columns: [C; 2], after: [&str; 2]) -> Expr {
    Expr::tuple(columns.map(Expr::col)).gt(Expr::tuple(after.map(Expr::val)))
}
