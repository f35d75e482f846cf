//! All SQL: connections, transactions, and one file of queries per table area.
//!
//! Functions take a connection or a transaction and never start one
//! themselves; who writes opens a transaction with [`Store::begin_write`].
//! Nothing here knows the wire, time, or why a row changes.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, ConnectOptions, ConnectionTrait, Database, DatabaseBackend, DatabaseConnection,
    DatabaseTransaction, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use tokio::sync::{Semaphore, SemaphorePermit};

pub mod audit;
mod bulk;
pub mod command;
pub mod conflict;
pub mod device;
pub mod event;
pub mod head;
pub mod idempotency;
pub mod journal;
pub mod lease;
pub mod market;
pub mod outcome;
pub mod rating;
pub mod record;
pub mod schema;
pub mod sync_state;
pub mod wake;

/// Where and how to keep data.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `sqlite://path?mode=rwc` or `postgres://…`.
    pub url: String,
    /// Reading connections.
    pub connections: u32,
    /// SQLite: whether a commit waits for the disk.
    pub synchronous_full: bool,
}

/// Handles to the database: connections that write, and others that read, so
/// that a storm of readers does not keep commits waiting. SQLite has one that
/// writes.
#[derive(Clone, Debug)]
pub struct Store {
    writer: DatabaseConnection,
    readers: DatabaseConnection,
    /// SQLite only: copies the write-ahead log into the database file, so that
    /// no commit has to.
    checkpointer: Option<DatabaseConnection>,
    /// See [`Store::turn`].
    turns: Arc<Semaphore>,
}

/// PostgreSQL: connections that write: the writer, the push tier, upkeep, and
/// one that holds the migration lock.
const WRITERS: u32 = 4;

/// How long a query waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long SQLite waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the checkpointer waits for its turn, and at worst, for a long read,
/// keeps the writer waiting. It tries again a second later.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_millis(500);

impl Store {
    /// Opens the database. Does not migrate: see [`schema`].
    pub async fn open(options: &StoreOptions) -> Result<Self, DbErr> {
        let turns = Arc::new(Semaphore::new(options.connections as usize));
        if options.url.starts_with("sqlite:") {
            let connect = |role| Database::connect(sqlite_options(options, role));
            let writer = connect(SqliteRole::Writer).await?;
            let readers = connect(SqliteRole::Readers).await?;
            let checkpointer = connect(SqliteRole::Checkpointer).await?;
            Ok(Self { writer, readers, checkpointer: Some(checkpointer), turns })
        } else {
            let writer = Database::connect(postgres_options(options, WRITERS)).await?;
            let readers = Database::connect(postgres_options(options, options.connections)).await?;
            Ok(Self { writer, readers, checkpointer: None, turns })
        }
    }

    /// For reads.
    pub const fn readers(&self) -> &DatabaseConnection {
        &self.readers
    }

    /// Waits for a turn to read for a device, as long as it takes. Thousands
    /// catch up at once after a restart: in the queue for a connection, which
    /// gives up after 10 s, they would fail each other and everybody else.
    pub async fn turn(&self) -> SemaphorePermit<'_> {
        self.turns.acquire().await.expect("nobody closes the semaphore")
    }

    /// For the migrator, which brings its own transactions.
    pub const fn writer(&self) -> &DatabaseConnection {
        &self.writer
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

    /// Starts a write. On SQLite it takes the write lock at once: a deferred
    /// transaction that reads first fails with "database is locked" as soon as
    /// another one commits.
    pub async fn begin_write(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.writer.begin_with_options(options).await
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
        let row = checkpointer.query_one_raw(pragma("PRAGMA wal_checkpoint(PASSIVE)")).await?;
        let log_pages: i32 = row.map_or(Ok(0), |row| row.try_get_by_index(1))?;
        if log_pages > WAL_PAGES_MAX {
            checkpointer.query_one_raw(pragma("PRAGMA wal_checkpoint(PASSIVE)")).await?;
            checkpointer.query_one_raw(pragma("PRAGMA wal_checkpoint(RESTART)")).await?;
        }
        Ok(())
    }

    /// Closes all connections; SQLite folds its log into the database file.
    pub async fn close(self) -> Result<(), DbErr> {
        if let Some(checkpointer) = self.checkpointer {
            checkpointer.close().await?;
        }
        self.readers.close().await?;
        self.writer.close().await
    }
}

/// Prepared statements that a SQLite connection keeps: those of fixed text, and
/// those about many rows in their few sizes.
const STATEMENTS_KEPT: usize = 128;

/// 16 MiB of 4 KiB pages.
const WAL_PAGES_MAX: i32 = 4_096;

/// A log that grew larger than this is cut when it begins anew.
const WAL_BYTES_KEPT: &str = "268435456";

fn pragma(text: &str) -> sea_orm::Statement {
    sea_orm::Statement::from_string(DatabaseBackend::Sqlite, text)
}

/// What connections to SQLite are for.
#[derive(Clone, Copy, Debug)]
enum SqliteRole {
    Writer,
    Readers,
    Checkpointer,
}

/// SQLite's page cache of the writer, as a negative number of KiB: room for the
/// pages of some ten thousand users' rows. A batch that finds none writes pages
/// out before it commits, and some of them twice.
const WRITER_CACHE: &str = "-16000";

/// The same of each other connection. Every commit empties it, so that more
/// would only be memory.
const READER_CACHE: &str = "-256";

fn sqlite_options(options: &StoreOptions, role: SqliteRole) -> ConnectOptions {
    let synchronous =
        if options.synchronous_full { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
    let (connections, wait, cache) = match role {
        SqliteRole::Writer => (1, BUSY_TIMEOUT, WRITER_CACHE),
        SqliteRole::Readers => (options.connections, BUSY_TIMEOUT, READER_CACHE),
        SqliteRole::Checkpointer => (1, CHECKPOINT_TIMEOUT, READER_CACHE),
    };
    let mut connect = common_options(options, connections);
    connect.idle_timeout(None).max_lifetime(None).test_before_acquire(false).map_sqlx_sqlite_opts(
        move |sqlite| {
            sqlite
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(synchronous)
                .busy_timeout(wait)
                .statement_cache_capacity(STATEMENTS_KEPT)
                // The checkpointer does it; inside a commit it costs 10 ms.
                .pragma("wal_autocheckpoint", "0")
                .pragma("journal_size_limit", WAL_BYTES_KEPT)
                .pragma("cache_size", cache)
                // What a failed statement would undo is kept in memory: a
                // statement of many rows would write and cut a file each time.
                .pragma("temp_store", "memory")
        },
    );
    connect
}

fn postgres_options(options: &StoreOptions, connections: u32) -> ConnectOptions {
    let mut connect = common_options(options, connections);
    connect
        .idle_timeout(Duration::from_mins(10))
        .max_lifetime(Duration::from_mins(30))
        .test_before_acquire_if_idle_for(Duration::from_secs(10));
    connect
}

fn common_options(options: &StoreOptions, connections: u32) -> ConnectOptions {
    let mut connect = ConnectOptions::new(options.url.clone());
    connect
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // Statements hold health data; they never reach logs or spans.
        .sqlx_logging(false)
        .record_stmt_in_spans(false);
    connect
}

/// Rows after a position by two columns. A row value, because the databases
/// find their place in the index by it; two comparisons with OR make them read
/// from the beginning.
fn later<C: ColumnTrait>(columns: [C; 2], after: [&str; 2]) -> Expr {
    Expr::tuple(columns.map(Expr::col)).gt(Expr::tuple(after.map(Expr::val)))
}
