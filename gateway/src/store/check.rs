//! Looking at a SQLite file before anybody works with it: over a connection of
//! its own, without the deadlines of statements that serve.

use std::path::Path;
use std::time::Duration;

use sea_orm::{DbErr, RuntimeErr};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};
use tidegate_durable::Fault;
use tokio::time::Instant;

use crate::store::file::Stamp;

/// How closely to look.
#[derive(Clone, Copy, Debug)]
pub(super) enum Depth {
    /// All pages and rows, for this long at most. About 90 MB/s from a cold
    /// disk, 600 MB/s from memory.
    Quick(Duration),
    /// Also whether indexes and tables agree, however long it takes. About
    /// 40 MB/s from a cold disk, 120 MB/s from memory.
    Full,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing is wrong.
    Whole,
    /// Nothing was wrong until the time was over.
    Unfinished,
    /// What is wrong first, in SQLite's words.
    Damaged(String),
}

/// Steps of SQLite's machine between two looks at the time.
const STEPS: i32 = 10_000;

/// Opens a file. Read-only, it is not changed when it is closed either: a
/// connection that may write folds the log into the database.
pub(super) async fn connect(path: &Path, read_only: bool) -> Result<SqliteConnection, DbErr> {
    let opening = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .read_only(read_only)
        .busy_timeout(Duration::from_secs(30))
        // Statements hold health data; they never reach logs.
        .disable_statement_logging()
        .connect()
        .await;
    opening.map_err(db_err)
}

/// Reads the database whole.
pub(super) async fn check(
    connection: &mut SqliteConnection,
    depth: Depth,
) -> Result<Finding, DbErr> {
    let sql = match depth {
        Depth::Quick(limit) => {
            let deadline = Instant::now() + limit;
            let mut handle = connection.lock_handle().await.map_err(db_err)?;
            handle.set_progress_handler(STEPS, move || Instant::now() < deadline);
            "PRAGMA quick_check(1)"
        }
        Depth::Full => "PRAGMA integrity_check(1)",
    };
    let answer = sqlx::query_scalar::<_, String>(sql).fetch_one(&mut *connection).await;
    connection.lock_handle().await.map_err(db_err)?.remove_progress_handler();
    match answer {
        Ok(text) if text == "ok" => Ok(Finding::Whole),
        Ok(text) => Ok(Finding::Damaged(text)),
        Err(error) if is_interrupted(&error) => Ok(Finding::Unfinished),
        Err(error) => {
            let error = db_err(error);
            damage(&error).map(Finding::Damaged).ok_or(error)
        }
    }
}

/// The stamp that the database carries, its log included.
pub(super) async fn stamp(connection: &mut SqliteConnection) -> Result<Stamp, DbErr> {
    let asked = sqlx::query_scalar("PRAGMA user_version").fetch_one(connection).await;
    asked.map(Stamp).map_err(db_err)
}

/// SQLite's own words, where the error says that the file is damaged or none
/// of its databases.
pub(super) fn damage(error: &DbErr) -> Option<String> {
    (Fault::of(error) == Fault::Corrupt).then(|| error.to_string())
}

/// As other errors of the database are.
pub(super) fn db_err(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

fn is_interrupted(error: &sqlx::Error) -> bool {
    const INTERRUPT: &str = "9";
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some(INTERRUPT))
}
