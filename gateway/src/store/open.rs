//! Whether a SQLite file may be opened: it is nobody else's, it is the one that
//! was left here, and after an end out of order it is whole.
//!
//! SQLite replays whatever lies beside the file as its log. A log that stayed
//! when the file was replaced makes a database of both, which is neither and
//! often damaged; so it is looked for before SQLite sees either.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use sea_orm::DbErr;
use sqlx::{Connection as _, SqliteConnection};
use thiserror::Error;

use crate::store::check::{self, Depth, Finding};
use crate::store::claim::{Claim, Record, State};
use crate::store::file::{DatabaseFile, Header, Stamp};

/// Why a database was not opened. Its sentences are for operators.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "{} is in use: another Tidegate process holds {}; stop it first",
        database.display(), lock.display()
    )]
    InUse {
        /// The database file.
        database: PathBuf,
        /// The lock file.
        lock: PathBuf,
    },
    /// The lock file cannot be locked, read or written.
    #[error("cannot use the lock file {}: {source}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A restore was killed half-way.
    #[error(
        "a restore of {} was interrupted; run `tidegate restore FILE` again. \
         What was there before is in files whose names begin with {}",
        database.display(), aside.display()
    )]
    RestoreUnfinished {
        /// The database file.
        database: PathBuf,
        /// Where the replaced database is.
        aside: PathBuf,
    },
    /// A log lies beside a database that it was not written for.
    #[error(
        "{} is not the log of {}: one of the two was replaced and the other one stayed. \
         Together they would be a damaged database, so neither was touched. Run \
         `tidegate restore FILE` with the backup, which takes the log away",
        log.display(), database.display()
    )]
    ForeignLog {
        /// The database file.
        database: PathBuf,
        /// The log.
        log: PathBuf,
    },
    /// There is a log, and no database.
    #[error(
        "{} is missing or empty, and its log {} is still there; \
         run `tidegate restore FILE` with a backup, or move the log away to begin anew",
        database.display(), log.display()
    )]
    Missing {
        /// The database file.
        database: PathBuf,
        /// The log.
        log: PathBuf,
    },
    /// Something else than SQLite wrote it.
    #[error("{} is not a database of SQLite", .0.display())]
    NotSqlite(PathBuf),
    /// It failed its checks.
    #[error(
        "{} is damaged ({finding}); run `tidegate restore FILE` with a backup",
        database.display()
    )]
    Damaged {
        /// The database file.
        database: PathBuf,
        /// What is wrong first.
        finding: String,
    },
    /// An error of the database.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// What the file is, compared with what was left here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// None: it will be made.
    New,
    /// The one that was left, closed in order.
    InOrder,
    /// The one that was left, or an unknown one, with an end out of order.
    OutOfOrder,
    /// Another one was put in its place, without a log.
    Replaced,
}

/// Compares a file with what the last process left, before SQLite opens it.
pub fn compare(file: &DatabaseFile, record: Option<&Record>) -> Result<Found, OpenError> {
    let database = || file.path().to_owned();
    let unreadable = |source| OpenError::Read { path: database(), source };
    if let Some(Record { state: State::Restoring { aside }, .. }) = record {
        let aside = file.beside(aside);
        return Err(OpenError::RestoreUnfinished { database: database(), aside });
    }
    let log = file.log_left().map_err(unreadable)?;
    let stamp = match file.header().map_err(unreadable)? {
        Header::Foreign => return Err(OpenError::NotSqlite(database())),
        Header::Missing => {
            return match log {
                // The first transaction of all leaves a journal, with which
                // SQLite makes the file empty again.
                Some(log) if log == file.wal() => {
                    Err(OpenError::Missing { database: database(), log })
                }
                _ => Ok(Found::New),
            };
        }
        Header::Sqlite(stamp) => stamp,
    };
    let Some(record) = record else {
        return Ok(match log {
            Some(_) => Found::OutOfOrder,
            None if was_here_before(stamp) => Found::InOrder,
            None => Found::Replaced,
        });
    };
    match (record.stamps.contains(&stamp), log) {
        (true, None) if record.state == State::Closed => Ok(Found::InOrder),
        (true, _) => Ok(Found::OutOfOrder),
        (false, None) => Ok(Found::Replaced),
        (false, Some(log)) => Err(OpenError::ForeignLog { database: database(), log }),
    }
}

/// Without a record: a version that wrote no stamps wrote no record either. A
/// file with a stamp was brought here, by hand as it seems.
fn was_here_before(stamp: Stamp) -> bool {
    stamp == Stamp::default()
}

/// Whether it could be opened, without looking whether it is damaged.
pub async fn is_in_order(file: &DatabaseFile, record: Option<&Record>) -> Result<(), OpenError> {
    if compare(file, record)? == Found::OutOfOrder {
        let (connection, _) = look(file, record).await?;
        connection.close().await.map_err(|error| refused(file, check::db_err(error)))?;
    }
    Ok(())
}

/// Takes the database for this process, refuses it if something is wrong with
/// it, and notes that it is open. `check_limit`: how long it may be looked at.
pub(super) async fn claim(file: &DatabaseFile, check_limit: Duration) -> Result<Claim, OpenError> {
    let claim = Claim::take(file).await?;
    let record = claim.record();
    let found = compare(file, record.as_ref())?;
    let mut stamps = vec![stamp_on_disk(file)?];
    if matches!(found, Found::OutOfOrder | Found::Replaced) {
        let known = record.as_ref().filter(|_| found == Found::OutOfOrder);
        let (mut connection, with_log) = look(file, known).await?;
        check_whole(file, &mut connection, check_limit).await?;
        connection.close().await.map_err(|error| refused(file, check::db_err(error)))?;
        if !stamps.contains(&with_log) {
            stamps.push(with_log);
        }
    }
    let must_renew_epochs = match &record {
        Some(record) => found == Found::Replaced || record.must_renew_epochs,
        None => !stamps.iter().copied().all(was_here_before),
    };
    if let Err(error) = claim.write(Record { state: State::Open, stamps, must_renew_epochs }) {
        // The disk may be full, and what can be read should be. No stamp is
        // written before this is.
        tracing::warn!(%error, "it could not be noted that the database is open");
    }
    Ok(claim)
}

/// What the file alone says, whatever its log adds.
fn stamp_on_disk(file: &DatabaseFile) -> Result<Stamp, OpenError> {
    match file.header() {
        Ok(Header::Sqlite(stamp)) => Ok(stamp),
        Ok(_) => Ok(Stamp::default()),
        Err(source) => Err(OpenError::Read { path: file.path().to_owned(), source }),
    }
}

/// Opens the database with its log, changing nothing, and makes sure that it
/// carries a stamp of the record: a log brings that of the database that it was
/// written for. Without a record anything goes.
async fn look(
    file: &DatabaseFile,
    record: Option<&Record>,
) -> Result<(SqliteConnection, Stamp), OpenError> {
    // A journal is undone by whoever opens the database to write.
    let read_only = !file.has_journal().unwrap_or_default();
    let connection = check::connect(file.path(), read_only).await;
    let mut connection = connection.map_err(|error| refused(file, error))?;
    let stamp = check::stamp(&mut connection).await.map_err(|error| refused(file, error))?;
    if record.is_none_or(|record| record.stamps.contains(&stamp)) {
        return Ok((connection, stamp));
    }
    Err(OpenError::ForeignLog { database: file.path().to_owned(), log: file.wal() })
}

/// Reads the database whole, its log included.
async fn check_whole(
    file: &DatabaseFile,
    connection: &mut SqliteConnection,
    limit: Duration,
) -> Result<(), OpenError> {
    if limit.is_zero() {
        tracing::warn!("the database was not closed in order, and is not checked");
        return Ok(());
    }
    let megabytes = file.bytes().unwrap_or_default() / 1_000_000;
    tracing::info!(megabytes, "the database was not closed in order; checking it");
    let finding = check::check(connection, Depth::Quick(limit)).await;
    match finding.map_err(|error| refused(file, error))? {
        Finding::Whole => tracing::info!("the database is whole"),
        Finding::Unfinished => tracing::warn!(
            megabytes,
            "the database could not be checked whole within `database.check_s`; nothing was \
             wrong so far"
        ),
        Finding::Damaged(finding) => {
            return Err(OpenError::Damaged { database: file.path().to_owned(), finding });
        }
    }
    Ok(())
}

/// What an error of the database means for who opens it.
pub(super) fn refused(file: &DatabaseFile, error: DbErr) -> OpenError {
    match check::damage(&error) {
        Some(finding) => OpenError::Damaged { database: file.path().to_owned(), finding },
        None => OpenError::Database(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a database of this stamp, and a log of so many bytes.
    fn folder(stamp: Option<i32>, log: Option<&str>) -> (tempfile::TempDir, DatabaseFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = DatabaseFile::at(&folder.path().join("file.db"));
        if let Some(stamp) = stamp {
            let mut bytes = b"SQLite format 3\0".to_vec();
            bytes.resize(60, 0);
            bytes.extend(stamp.to_be_bytes());
            bytes.resize(100, 0);
            std::fs::write(file.path(), bytes).unwrap();
        }
        if let Some(log) = log {
            std::fs::write(file.wal(), log).unwrap();
        }
        (folder, file)
    }

    fn left(state: State) -> Record {
        Record { state, stamps: vec![Stamp(7), Stamp(8)], must_renew_epochs: false }
    }

    #[test]
    fn a_file_is_what_was_left_or_it_is_not_opened() {
        let (open, closed) = (left(State::Open), left(State::Closed));
        for (stamp, log, record, found) in [
            (None, None, None, Found::New),
            (None, Some(""), Some(&open), Found::New),
            (Some(0), None, None, Found::InOrder),
            (Some(0), Some("log"), None, Found::OutOfOrder),
            (Some(9), None, None, Found::Replaced),
            (Some(9), Some("log"), None, Found::OutOfOrder),
            (Some(7), None, Some(&closed), Found::InOrder),
            (Some(7), Some(""), Some(&closed), Found::InOrder),
            (Some(8), Some("log"), Some(&closed), Found::OutOfOrder),
            (Some(7), None, Some(&open), Found::OutOfOrder),
            (Some(8), Some("log"), Some(&open), Found::OutOfOrder),
            (Some(9), None, Some(&open), Found::Replaced),
            (Some(9), Some(""), Some(&closed), Found::Replaced),
        ] {
            let (_folder, file) = folder(stamp, log);
            assert_eq!(compare(&file, record).unwrap(), found, "{stamp:?} {log:?} {record:?}");
        }
        let restoring = left(State::Restoring { aside: ".aside".to_owned() });
        for (stamp, log, record, words) in [
            (Some(9), Some("log"), Some(&open), "is not the log of"),
            (Some(9), Some("log"), Some(&closed), "is not the log of"),
            (None, Some("log"), None, "is missing or empty"),
            (Some(7), None, Some(&restoring), "run `tidegate restore FILE` again"),
            (None, None, Some(&restoring), "file.db.aside"),
        ] {
            let (_folder, file) = folder(stamp, log);
            let error = compare(&file, record).unwrap_err().to_string();
            assert!(error.contains(words), "{stamp:?} {log:?} {record:?}: {error}");
        }
        let (_folder, file) = folder(None, None);
        std::fs::write(file.path(), "something else ".repeat(10)).unwrap();
        let error = compare(&file, Some(&open)).unwrap_err().to_string();
        assert!(error.contains("is not a database of SQLite"), "{error}");
    }

    /// Whoever lets go of it lets the next one in; what was written stays.
    #[tokio::test]
    async fn a_claim_is_held_by_one() {
        let (_folder, file) = folder(None, None);
        let first = claim(&file, Duration::ZERO).await.unwrap();
        assert!(Claim::try_take(&file).unwrap().is_none());
        let error = Claim::take(&file).await.unwrap_err().to_string();
        assert!(error.contains("is in use"), "{error}");
        let record = left(State::Restoring { aside: "x".repeat(100) });
        first.write(record.clone()).unwrap();
        first.write(left(State::Open)).unwrap();
        first.release();
        let second = Claim::try_take(&file).unwrap().unwrap();
        assert_eq!(second.record(), Some(left(State::Open)), "a shorter record covers a longer");
    }
}
