//! Renewing the stamp of a SQLite database, so that a file that is put in its
//! place is told from it.
//!
//! The lock file names the stamps that the database file may carry. A new one is
//! named there before it is written, and the old one is forgotten when the file
//! is known to carry the new one. A copy taken before that carries an older one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, DbErr};
use tidegate_durable::{Fault, Health};
use tokio::time::Instant;

use crate::store::claim::{Claim, State};
use crate::store::file::{DatabaseFile, Header, Stamp};
use crate::store::open::{self, OpenError};
use crate::store::{Store, StoreOptions};

/// How often, while something is written. A copy that another tool took within
/// about this time before a crash is not told from the database; with the log
/// of the crash it is the database as it was at the crash, unless the log began
/// anew in between.
const INTERVAL: Duration = Duration::from_secs(5);

/// A SQLite file that this process has open.
#[derive(Debug)]
pub(super) struct Opened {
    file: DatabaseFile,
    claim: Claim,
    progress: Mutex<Progress>,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    /// Named in the lock file and not known to be in the database file.
    next: Option<Next>,
    /// When one was last written, or tried.
    at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Next {
    stamp: Stamp,
    is_committed: bool,
}

impl Opened {
    /// Takes the file that the settings name, see [`open::claim`]. `None`:
    /// there is no file.
    pub(super) async fn claim(options: &StoreOptions) -> Result<Option<Self>, OpenError> {
        let file = DatabaseFile::of_url(&options.url).map_err(super::check::db_err)?;
        let Some(file) = file else { return Ok(None) };
        let claim = open::claim(&file, options.check_limit).await?;
        let progress = Mutex::new(Progress { next: None, at: Instant::now() });
        Ok(Some(Self { file, claim, progress }))
    }

    fn progress(&self) -> Progress {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, progress: Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    /// What an error of opening it means.
    pub(super) fn refused(&self, error: DbErr) -> OpenError {
        open::refused(&self.file, error)
    }

    /// Whether the replaced file's epochs must be renewed.
    pub(super) fn must_renew_epochs(&self) -> bool {
        self.claim.record().is_some_and(|record| record.must_renew_epochs)
    }

    /// Notes that they are.
    pub(super) fn epochs_renewed(&self) -> Result<(), OpenError> {
        self.claim.update(|record| record.must_renew_epochs = false)
    }

    /// Notes that the connections are closed, and lets the next one in. If
    /// somebody else has the file open, its log stays, and it is not in order.
    pub(super) fn close(&self) -> Result<(), OpenError> {
        let noted = match (self.file.log_left(), self.file.header()) {
            (Ok(None), Ok(Header::Sqlite(stamp))) => self.claim.update(|record| {
                record.state = State::Closed;
                record.stamps = vec![stamp];
            }),
            _ => Ok(()),
        };
        self.claim.release();
        noted
    }
}

impl Store {
    /// Writes the first stamp of this process. Where that fails, the database may
    /// be full: what can be read is served, and a stamp is written later.
    pub(super) async fn begin_stamps(&self) -> Result<(), OpenError> {
        let Some(opened) = &self.opened else { return Ok(()) };
        let begun = match self.write_stamp().await {
            Ok(()) => self.checkpoint().await,
            failed => failed,
        };
        match begun {
            Err(error) if Fault::of(&error) == Fault::Corrupt => Err(opened.refused(error)),
            Err(error) => {
                tracing::warn!(%error, "the database could not be given a new stamp");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Renews the stamp if it is time. Call it when the log is folded into the
    /// database file: then the file carries the last one that was committed.
    pub(super) async fn renew_stamp(&self) -> Result<(), DbErr> {
        let Some(opened) = &self.opened else { return Ok(()) };
        let mut progress = opened.progress();
        if let Some(Next { stamp, is_committed: true }) = progress.next {
            in_background(opened, move |opened| {
                opened.claim.update(|record| record.stamps = vec![stamp])
            })
            .await?;
            progress.next = None;
            opened.note(progress);
        }
        let was_written = self.since_commit() < progress.at.elapsed();
        let is_due = was_written && progress.at.elapsed() >= INTERVAL;
        if is_due && self.health() == Health::Writing { self.write_stamp().await } else { Ok(()) }
    }

    /// Writes a new stamp, or once more the one that may not be written.
    async fn write_stamp(&self) -> Result<(), DbErr> {
        let Some(opened) = &self.opened else { return Ok(()) };
        let stamp = opened.progress().next.map_or_else(Stamp::random, |next| next.stamp);
        let mut next = Next { stamp, is_committed: false };
        opened.note(Progress { next: Some(next), at: Instant::now() });
        in_background(opened, move |opened| {
            opened.claim.update(|record| {
                if !record.stamps.contains(&stamp) {
                    record.stamps.push(stamp);
                }
            })
        })
        .await?;
        let sql = &format!("PRAGMA user_version = {}", stamp.0);
        self.write(|tx| async move { tx.execute_unprepared(sql).await.map(drop) }).await?;
        next.is_committed = true;
        opened.note(Progress { next: Some(next), at: Instant::now() });
        Ok(())
    }
}

/// The lock file's disk is waited for where nobody else waits with it.
async fn in_background(
    opened: &Arc<Opened>,
    work: impl FnOnce(&Opened) -> Result<(), OpenError> + Send + 'static,
) -> Result<(), DbErr> {
    let opened = Arc::clone(opened);
    let done = tokio::task::spawn_blocking(move || work(&opened)).await;
    let done = done.map_err(|error| DbErr::Custom(error.to_string()))?;
    done.map_err(|error| DbErr::Custom(error.to_string()))
}
