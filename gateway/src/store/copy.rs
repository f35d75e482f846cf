//! Copies of a SQLite database: making one while others work on it, and
//! judging one before it takes the place of another.

use std::path::Path;

use sea_orm::DbErr;
use sea_orm_migration::MigratorTrait as _;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};
use thiserror::Error;
use tidegate_migration::Migrator;

use crate::store::check::{self, Depth, Finding};
use crate::store::file::{DatabaseFile, Header, Stamp};

/// Why a file cannot serve as a database of Tidegate.
#[derive(Debug, Error)]
pub enum CopyError {
    /// It failed its checks.
    #[error("it is damaged ({0})")]
    Damaged(String),
    /// It lacks the tables.
    #[error("it is a database of SQLite, but not one of Tidegate")]
    Foreign,
    /// A later version of Tidegate wrote it.
    #[error("a newer version of Tidegate wrote it: this one does not know `{0}`")]
    Newer(String),
    /// An error of the database.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// What a copy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Streams.
    pub streams: u64,
    /// Its stamp, which no other file has.
    pub stamp: Stamp,
}

/// Writes all that is committed now into `target`, which is empty or missing.
/// Whoever writes to the database meanwhile does not wait.
pub async fn write(file: &DatabaseFile, target: &Path) -> Result<(), DbErr> {
    let mut connection = check::connect(file.path(), true).await?;
    let target = target.to_str().ok_or_else(|| {
        DbErr::Custom(format!("SQLite takes no path that is not UTF-8: {}", target.display()))
    })?;
    let copied = sqlx::query("VACUUM INTO ?1").bind(target).execute(&mut connection).await;
    copied.map_err(check::db_err)?;
    connection.close().await.map_err(check::db_err)
}

/// Reads a file whole and makes sure that this version can work with it. Gives
/// it a stamp of its own, so that it is told from the database that it is a
/// copy of, and leaves no log beside it.
pub async fn seal(path: &Path) -> Result<Content, CopyError> {
    let file = DatabaseFile::at(path);
    let read = |error: std::io::Error| CopyError::Damaged(error.to_string());
    if !matches!(file.header().map_err(read)?, Header::Sqlite(_)) {
        return Err(CopyError::Damaged("it is not a database of SQLite".to_owned()));
    }
    let mut connection = check::connect(path, false).await.map_err(judged)?;
    if let Finding::Damaged(finding) = check::check(&mut connection, Depth::Full).await? {
        return Err(CopyError::Damaged(finding));
    }
    let streams = streams(&mut connection).await?;
    let stamp = Stamp::random();
    run(&mut connection, "PRAGMA journal_mode = DELETE".to_owned()).await?;
    run(&mut connection, format!("PRAGMA user_version = {}", stamp.0)).await?;
    connection.close().await.map_err(check::db_err)?;
    Ok(Content { streams, stamp })
}

/// How many streams are in a database of Tidegate that this version knows.
async fn streams(connection: &mut SqliteConnection) -> Result<u64, CopyError> {
    const MIGRATIONS: &str = "seaql_migrations";
    const STREAMS: &str = "stream_head";
    let tables: Vec<String> = all(connection, "SELECT name FROM sqlite_schema").await?;
    let has = |name: &str| tables.iter().any(|table| table == name);
    if !has(MIGRATIONS) || !has(STREAMS) {
        return Err(CopyError::Foreign);
    }
    let known: Vec<String> =
        Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    let applied: Vec<String> =
        all(connection, "SELECT version FROM seaql_migrations ORDER BY version").await?;
    if !applied.iter().any(|name| known.contains(name)) {
        return Err(CopyError::Foreign);
    }
    if let Some(unknown) = applied.into_iter().find(|name| !known.contains(name)) {
        return Err(CopyError::Newer(unknown));
    }
    let streams: i64 = sqlx::query_scalar("SELECT count(*) FROM stream_head")
        .fetch_one(connection)
        .await
        .map_err(check::db_err)?;
    Ok(streams.unsigned_abs())
}

async fn all(connection: &mut SqliteConnection, sql: &'static str) -> Result<Vec<String>, DbErr> {
    sqlx::query_scalar(sql).fetch_all(connection).await.map_err(check::db_err)
}

async fn run(connection: &mut SqliteConnection, sql: String) -> Result<(), DbErr> {
    connection.execute(AssertSqlSafe(sql)).await.map(drop).map_err(check::db_err)
}

fn judged(error: DbErr) -> CopyError {
    check::damage(&error).map_or(CopyError::Database(error), CopyError::Damaged)
}
