//! The door, on real SQLite files that are full, locked, read-only or damaged.

use std::path::Path;
use std::time::Duration;

use sea_orm::sqlx::sqlite::SqliteJournalMode;
use sea_orm::{ConnectOptions, ConnectionTrait, DbErr};

use crate::{Connections, Deadlines, Fault, Health};

const DEADLINES: Deadlines =
    Deadlines { acquire: Duration::from_secs(5), statement: Duration::from_secs(5) };

async fn open(path: &Path) -> Connections {
    let mut options = ConnectOptions::new("sqlite://file?mode=rwc");
    options.max_connections(1).sqlx_logging(false);
    let file = path.to_owned();
    options.map_sqlx_sqlite_opts(move |sqlite| {
        sqlite
            .filename(&file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_millis(20))
    });
    Connections::open(options, DEADLINES).await.unwrap()
}

async fn with_table(folder: &tempfile::TempDir) -> Connections {
    let connections = open(&folder.path().join("file.db")).await;
    connections
        .execute_unprepared("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        .await
        .unwrap();
    connections
}

async fn write(connections: &Connections, text: &str) -> Result<(), DbErr> {
    let tx = connections.begin().await?;
    tx.execute_unprepared(&format!("INSERT INTO note (text) VALUES ('{text}')")).await?;
    tx.commit().await
}

/// As another process sees the file: what is committed, and nothing else.
async fn on_disk(folder: &tempfile::TempDir) -> usize {
    let other = open(&folder.path().join("file.db")).await;
    let statement =
        sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, "SELECT 1 FROM note");
    let rows = other.query_all_raw(statement).await.unwrap().len();
    other.close().await.unwrap();
    rows
}

/// A COMMIT that fails leaves the driver with a transaction that is not there;
/// every later one would be a savepoint that reaches no disk. The deferred
/// foreign key makes the COMMIT fail as a full disk does.
#[tokio::test]
async fn after_a_failed_commit_what_is_committed_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let connections = with_table(&folder).await;
    let sql = "CREATE TABLE child (parent INTEGER REFERENCES note DEFERRABLE INITIALLY DEFERRED)";
    connections.execute_unprepared(sql).await.unwrap();
    for round in 0..3 {
        let tx = connections.begin().await.unwrap();
        tx.execute_unprepared("INSERT INTO child VALUES (99)").await.unwrap();
        tx.commit().await.unwrap_err();
        write(&connections, "after").await.unwrap();
        assert_eq!(on_disk(&folder).await, round + 1);
    }
}

/// Room runs out and comes back: what failed is not there, what was committed
/// is, and health tells of both.
#[tokio::test]
async fn a_full_file_fails_writes_and_no_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let connections = with_table(&folder).await;
    let mut committed = 0;
    for round in 0..3 {
        connections.execute_unprepared("PRAGMA max_page_count = 12").await.unwrap();
        let long = "x".repeat(3_000);
        let error = loop {
            match write(&connections, &long).await {
                Ok(()) => committed += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(Fault::of(&error), Fault::Full, "{error}");
        assert_eq!(connections.health(), Health::Failing(Fault::Full));
        assert_eq!(on_disk(&folder).await, committed, "round {round}");
        // The limit goes with the connection that had it, or is lifted here.
        connections.execute_unprepared("PRAGMA max_page_count = 1000000").await.unwrap();
        write(&connections, "room again").await.unwrap();
        committed += 1;
        assert_eq!(connections.health(), Health::Writing);
        assert_eq!(on_disk(&folder).await, committed, "round {round}");
        connections.execute_unprepared("DELETE FROM note").await.unwrap();
        connections.execute_unprepared("VACUUM").await.unwrap();
        committed = 0;
    }
}

/// A transaction that changed nothing commits on a disk that is full as well: it
/// shows nothing.
#[tokio::test]
async fn an_empty_commit_does_not_show_that_writing_works() {
    let folder = tempfile::tempdir().unwrap();
    let connections = with_table(&folder).await;
    let other = open(&folder.path().join("file.db")).await;
    let held = other.begin().await.unwrap();
    connections.begin().await.unwrap_err();
    held.rollback().await;
    let tx = connections.begin().await.unwrap();
    tx.execute_unprepared("UPDATE note SET text = 'other' WHERE id = 99").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(connections.health(), Health::Failing(Fault::Contended));
    write(&connections, "something").await.unwrap();
    assert_eq!(connections.health(), Health::Writing);
}

/// A failed statement may have rolled everything back: nothing after it counts.
#[tokio::test]
async fn after_a_failed_statement_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let connections = with_table(&folder).await;
    let tx = connections.begin().await.unwrap();
    tx.execute_unprepared("INSERT INTO note (text) VALUES ('before')").await.unwrap();
    let error = tx.execute_unprepared("INSERT INTO note (text) VALUES (NULL)").await.unwrap_err();
    assert_eq!(Fault::of(&error), Fault::Statement);
    tx.execute_unprepared("INSERT INTO note (text) VALUES ('after')").await.unwrap_err();
    tx.commit().await.unwrap_err();
    assert_eq!(on_disk(&folder).await, 0);
    assert_eq!(connections.health(), Health::Writing, "a bad statement is nobody's trouble");
    write(&connections, "next").await.unwrap();
    assert_eq!(on_disk(&folder).await, 1);
}

/// Whoever gives up on a transaction leaves no lock and no half of it behind.
#[tokio::test]
async fn a_dropped_transaction_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let connections = with_table(&folder).await;
    let tx = connections.begin().await.unwrap();
    tx.execute_unprepared("INSERT INTO note (text) VALUES ('never')").await.unwrap();
    drop(tx);
    write(&connections, "next").await.unwrap();
    assert_eq!(on_disk(&folder).await, 1);
}

/// Two handles, one file: the lock of the other is contention, and health says
/// that writing does not work until it does.
#[tokio::test]
async fn a_lock_held_by_another_is_contention() {
    let folder = tempfile::tempdir().unwrap();
    let connections = with_table(&folder).await;
    let other = open(&folder.path().join("file.db")).await;
    let held = other.begin().await.unwrap();
    let error = connections.begin().await.unwrap_err();
    assert_eq!(Fault::of(&error), Fault::Contended);
    assert_eq!(connections.health(), Health::Failing(Fault::Contended));
    held.rollback().await;
    write(&connections, "next").await.unwrap();
    assert_eq!(connections.health(), Health::Writing);
}

/// Damage ends writing for good, also where the next statement would work.
#[tokio::test]
async fn damage_stops_writing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.db");
    let connections = with_table(&folder).await;
    for _ in 0..50 {
        write(&connections, &"x".repeat(500)).await.unwrap();
    }
    connections.close().await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // Not the first page: it is read when the file is opened.
    bytes[4_096..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let connections = open(&path).await;
    let error = write(&connections, "more").await.unwrap_err();
    assert_eq!(Fault::of(&error), Fault::Corrupt, "{error}");
    assert_eq!(connections.health(), Health::Stopped);
    let error = connections.begin().await.unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}
