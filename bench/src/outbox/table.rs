//! The table of messages, on SQLite or PostgreSQL, one connection.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::clock;

/// A message.
pub(super) struct Message {
    pub(super) user: String,
    /// JSON.
    pub(super) body: String,
}

/// The table.
pub(super) enum Table {
    Sqlite { db: SqliteConnection, inserts: Vec<Insert> },
    Postgres(PgConnection),
}

/// A statement that inserts so many rows; it stays prepared.
pub(super) struct Insert {
    rows: usize,
    sql: Arc<str>,
}

/// Rows of SQLite's statements: any number is made of few of them.
const SIZES: [usize; 4] = [512, 128, 16, 1];

const SQLITE_SCHEMA: &str = "
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user TEXT NOT NULL,
        body TEXT NOT NULL,
        created_at INTEGER NOT NULL
    );
    CREATE INDEX outbox_user ON outbox (user)";

const POSTGRES_SCHEMA: &str = "
    CREATE TABLE outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        user_id text NOT NULL,
        body text NOT NULL,
        created_at bigint NOT NULL
    );
    CREATE INDEX outbox_user ON outbox (user_id)";

/// A statement is a transaction of its own here.
const POSTGRES_INSERT: &str = "
    INSERT INTO outbox (user_id, body, created_at)
    SELECT user_id, body, $3 FROM unnest($1::text[], $2::text[]) AS new (user_id, body)
    RETURNING id";

impl Table {
    /// Makes the table in a new database.
    pub(super) async fn open(url: &str) -> anyhow::Result<Self> {
        if url.starts_with("postgres:") {
            let options: PgConnectOptions = url.parse()?;
            let mut db = options.ssl_mode(PgSslMode::Disable).connect().await?;
            sqlx::raw_sql(POSTGRES_SCHEMA).execute(&mut db).await?;
            return Ok(Self::Postgres(db));
        }
        let options: SqliteConnectOptions = url.parse()?;
        let mut db = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", "-16000")
            .connect()
            .await?;
        sqlx::raw_sql(SQLITE_SCHEMA).execute(&mut db).await?;
        let inserts = SIZES.map(|rows| {
            let values = vec!["(?,?,?)"; rows].join(",");
            let sql = format!("INSERT INTO outbox (user, body, created_at) VALUES {values}");
            Insert { rows, sql: sql.into() }
        });
        Ok(Self::Sqlite { db, inserts: inserts.into() })
    }

    /// Stores messages in one transaction; gives their ids, in their order.
    pub(super) async fn insert(&mut self, messages: &[Message]) -> anyhow::Result<Vec<i64>> {
        match self {
            Self::Sqlite { db, inserts } => insert_sqlite(db, inserts, messages).await,
            Self::Postgres(db) => insert_postgres(db, messages).await,
        }
    }
}

async fn insert_sqlite(
    db: &mut SqliteConnection,
    inserts: &[Insert],
    mut messages: &[Message],
) -> anyhow::Result<Vec<i64>> {
    let (now, count) = (clock::wall_ms(), messages.len());
    let mut transaction = db.begin_with("BEGIN IMMEDIATE").await?;
    let mut last = 0;
    while !messages.is_empty() {
        let fits = |insert: &&Insert| insert.rows <= messages.len();
        let insert = inserts.iter().find(fits).context("no statement of one row")?;
        let (these, rest) = messages.split_at(insert.rows);
        let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&insert.sql)));
        for message in these {
            query = query.bind(&message.user).bind(&message.body).bind(now);
        }
        last = query.execute(&mut *transaction).await?.last_insert_rowid();
        messages = rest;
    }
    transaction.commit().await?;
    // One writer: ids of a transaction follow each other.
    Ok((last + 1 - i64::try_from(count)?..=last).collect())
}

async fn insert_postgres(db: &mut PgConnection, messages: &[Message]) -> anyhow::Result<Vec<i64>> {
    let users: Vec<&str> = messages.iter().map(|message| message.user.as_str()).collect();
    let bodies: Vec<&str> = messages.iter().map(|message| message.body.as_str()).collect();
    let query = sqlx::query_scalar(POSTGRES_INSERT).bind(users).bind(bodies).bind(clock::wall_ms());
    let ids: Vec<i64> = query.fetch_all(db).await?;
    ensure!(ids.len() == messages.len(), "{} of {} rows were stored", ids.len(), messages.len());
    Ok(ids)
}
