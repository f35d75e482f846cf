//! How connections are set up: what each role of them may do, how long it
//! waits, and what SQLite and PostgreSQL are told for it.

use std::time::Duration;

use sea_orm::ConnectOptions;
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};

use crate::store::StoreOptions;

/// PostgreSQL: connections that write: the writer, the push tier, upkeep, and
/// the marketplace.
const WRITERS: u32 = 4;

/// How long the checkpointer waits for its turn, and at worst, for a long read,
/// keeps the writer waiting. It tries again a second later.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_millis(500);

/// Prepared statements that a SQLite connection keeps: those of fixed text, and
/// those about many rows in their few sizes.
const STATEMENTS_KEPT: usize = 128;

/// A log that grew larger than this is cut when it begins anew.
const WAL_BYTES_KEPT: &str = "268435456";

/// What connections to SQLite are for.
#[derive(Clone, Copy, Debug)]
pub(super) enum SqliteRole {
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

pub(super) fn sqlite_options(options: &StoreOptions, role: SqliteRole) -> ConnectOptions {
    let synchronous =
        if options.synchronous_full { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
    // Another process's lock is waited for a little shorter than the statement
    // that waits, so that the answer is SQLite's.
    let patience = options.statement_timeout * 4 / 5;
    let (connections, wait, cache) = match role {
        SqliteRole::Writer => (1, patience, WRITER_CACHE),
        SqliteRole::Readers => (options.connections, patience, READER_CACHE),
        SqliteRole::Checkpointer => (1, CHECKPOINT_TIMEOUT, READER_CACHE),
    };
    let query_only = if matches!(role, SqliteRole::Readers) { "on" } else { "off" };
    let mut connect = common_options(options, connections);
    connect.idle_timeout(None).max_lifetime(None).map_sqlx_sqlite_opts(move |sqlite| {
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
            .pragma("query_only", query_only)
    });
    connect
}

/// What connections to PostgreSQL are for.
#[derive(Clone, Copy, Debug)]
pub(super) enum PostgresRole {
    Writers,
    Readers,
    Migrator,
}

/// How long PostgreSQL lets a peer be silent before it gives up its connection,
/// and with it the locks of a node that is gone. In ms and in probes.
const PEER_SILENCE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "20000"),
];

/// A statement that is kept keeps its plan too, and one that was planned while
/// a table was small reads all of it, until the server looks at the table again:
/// a minute, in which a new deployment is written to by thousands. All lookups
/// have their index; what has none is read whole as before, but must not be
/// compiled for what that pretends to cost.
const PLANS_LAST: [(&str, &str); 2] = [("enable_seqscan", "off"), ("jit", "off")];

pub(super) fn postgres_options(options: &StoreOptions, role: PostgresRole) -> ConnectOptions {
    let connections = match role {
        PostgresRole::Writers => WRITERS,
        PostgresRole::Readers => options.connections,
        // One of them holds the lock.
        PostgresRole::Migrator => 2,
    };
    let mut connect = common_options(options, connections);
    connect.idle_timeout(Duration::from_mins(10)).max_lifetime(Duration::from_mins(30));
    let statement = options.statement_timeout.as_millis().to_string();
    let lock = options.lock_timeout.as_millis().to_string();
    connect.map_sqlx_postgres_opts(move |postgres| {
        let postgres = postgres.options(PEER_SILENCE);
        match role {
            PostgresRole::Migrator => postgres,
            // The server gives up when the gateway does, and lets go of what a
            // node that is stopped half-way had locked.
            PostgresRole::Writers => postgres.options(PLANS_LAST).options([
                ("statement_timeout", statement.as_str()),
                ("idle_in_transaction_session_timeout", statement.as_str()),
                ("lock_timeout", lock.as_str()),
            ]),
            PostgresRole::Readers => postgres.options(PLANS_LAST).options([
                ("statement_timeout", statement.as_str()),
                ("default_transaction_read_only", "on"),
            ]),
        }
    });
    connect
}

fn common_options(options: &StoreOptions, connections: u32) -> ConnectOptions {
    let mut connect = ConnectOptions::new(options.url.clone());
    connect
        .max_connections(connections)
        .min_connections(1)
        // Statements hold health data; they never reach logs or spans.
        .sqlx_logging(false)
        .record_stmt_in_spans(false);
    connect
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait as _, Database, DatabaseBackend, Statement};

    /// The flags are in `.cargo/config.toml`. Without the first one a statement
    /// with a bound LIMIT is compiled again for every run, and nothing shows it
    /// but the time that takes.
    #[tokio::test]
    async fn sqlite_is_built_as_asked() {
        let db = Database::connect("sqlite::memory:").await.unwrap();
        let asked = Statement::from_string(DatabaseBackend::Sqlite, "PRAGMA compile_options");
        let rows = db.query_all_raw(asked).await.unwrap();
        let options: Vec<String> =
            rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
        for (option, is_there) in [
            ("ENABLE_QPSG", true),
            ("DEFAULT_MEMSTATUS=0", true),
            ("ENABLE_MEMORY_MANAGEMENT", false),
            ("ENABLE_API_ARMOR", false),
        ] {
            assert_eq!(options.iter().any(|known| known == option), is_there, "{option}");
        }
    }
}
