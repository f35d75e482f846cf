//! One process for a database file, and what it leaves behind.
//!
//! A claim is a lock on a file beside the database, held for as long as the
//! database is open; the system lets go of it when the process ends, however it
//! ends. The lock file holds a record: whether the database was closed in order,
//! and which stamps its header may carry. From it the next start learns that the
//! last end was none, and that the database was replaced meanwhile.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::store::file::{DatabaseFile, Stamp, give_to_owner_of};
use crate::store::open::OpenError;

/// What follows the database's name.
pub(super) const LOCK: &str = ".lock";

/// How long a claim waits for the one before it: a process that is about to
/// end, or `tidegate backup`, which looks whether a gateway runs.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);

/// Bytes of the record, always: it is written over the last one, and a disk
/// writes that much or nothing.
const RECORD_BYTES: usize = 512;

/// What the lock file says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Record {
    /// How the last process left the database.
    pub state: State,
    /// Stamps that its file may carry.
    pub stamps: Vec<Stamp>,
    /// The file was replaced, and its epochs are still those of the backup.
    pub must_renew_epochs: bool,
}

/// How a process left the database.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is open, or its process was killed.
    Open,
    /// In order, with everything in the database file.
    Closed,
    /// A restore is under way, or was killed.
    Restoring {
        /// What follows the names of the files that it sets aside.
        aside: String,
    },
}

/// The right to open a database file for writing.
#[derive(Debug)]
pub struct Claim(Mutex<Option<Held>>);

#[derive(Debug)]
struct Held {
    lock: File,
    path: PathBuf,
    record: Option<Record>,
    /// Whether it is what the file says.
    is_written: bool,
}

impl Claim {
    /// Waits a moment for whoever holds it.
    pub async fn take(file: &DatabaseFile) -> Result<Self, OpenError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(claim) = Self::try_take(file)? {
                return Ok(claim);
            }
            if tokio::time::Instant::now() >= deadline {
                let (database, lock) = (file.path().to_owned(), file.beside(LOCK));
                return Err(OpenError::InUse { database, lock });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// `None`: another process holds it.
    pub fn try_take(file: &DatabaseFile) -> Result<Option<Self>, OpenError> {
        let path = file.beside(LOCK);
        let held = open(file, &path).map_err(|source| OpenError::Lock { path, source })?;
        Ok(held.map(|held| Self(Mutex::new(Some(held)))))
    }

    /// What the lock file says; `None` where no Tidegate wrote it yet.
    pub fn record(&self) -> Option<Record> {
        self.held().as_ref().and_then(|held| held.record.clone())
    }

    /// Writes what the next process shall find; on disk when this returns.
    ///
    /// # Errors
    /// Then the record holds for this process alone.
    pub fn write(&self, record: Record) -> Result<(), OpenError> {
        let mut held = self.held();
        let Some(held) = &mut *held else { return Ok(()) };
        held.is_written = false;
        let written = write_over(&held.lock, &record);
        held.record = Some(record);
        written.map_err(|source| OpenError::Lock { path: held.path.clone(), source })?;
        held.is_written = true;
        Ok(())
    }

    /// Changes what the next process shall find, if there is something to
    /// change; on disk when this returns.
    pub(super) fn update(&self, change: impl FnOnce(&mut Record)) -> Result<(), OpenError> {
        let (before, is_written) = match &*self.held() {
            Some(Held { record: Some(record), is_written, .. }) => (record.clone(), *is_written),
            _ => return Ok(()),
        };
        let mut record = before.clone();
        change(&mut record);
        if record == before && is_written { Ok(()) } else { self.write(record) }
    }

    /// Lets the next one in.
    pub fn release(&self) {
        self.held().take();
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(file: &DatabaseFile, path: &PathBuf) -> io::Result<Option<Held>> {
    let is_new = !path.exists();
    let mut lock =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    if is_new {
        // As SQLite does with its log: only root can, and only there it matters.
        let owner = if file.path().exists() { file.path() } else { file.folder() };
        let _ = give_to_owner_of(path, owner);
        lock.sync_all()?;
        file.sync_folder()?;
    }
    let mut text = String::new();
    let read = (&mut lock).take(RECORD_BYTES as u64).read_to_string(&mut text);
    // What nobody can read says nothing: then the database itself is checked.
    let record = read.ok().and_then(|_| serde_json::from_str(text.trim_end()).ok());
    Ok(Some(Held { lock, path: path.clone(), record, is_written: true }))
}

fn write_over(lock: &File, record: &Record) -> io::Result<()> {
    let mut text = serde_json::to_vec(record)?;
    debug_assert!(text.len() < RECORD_BYTES, "{} bytes", text.len());
    text.resize(RECORD_BYTES - 1, b' ');
    text.push(b'\n');
    lock.write_all_at(&text, 0)?;
    lock.sync_data()
}
