//! SQLite's database file and the files that lie beside it.
//!
//! Owns their names, and what can be told without SQLite: the header, and
//! whether a log is left. SQLite believes any log that has the right name.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnectOptions;

/// A random number in the header of the database file, SQLite's `user_version`.
/// A new one is written every few seconds of writing, so that a file that was
/// put in the place of another is told from it. 0: none was written yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Stamp(pub i32);

impl Stamp {
    /// One that no other file has.
    pub fn random() -> Self {
        Self(rand::random_range(1..=i32::MAX))
    }
}

/// What the beginning of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// There is no file, or nothing in it.
    Missing,
    /// Something else than SQLite wrote it.
    Foreign,
    /// A database of SQLite.
    Sqlite(Stamp),
}

/// First bytes of a database file (<https://sqlite.org/fileformat.html>).
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Where `user_version` is.
const STAMP_AT: usize = 60;

/// Names of the write-ahead log, of its index, and of the rollback journal.
const WAL: &str = "-wal";
const SHM: &str = "-shm";
const JOURNAL: &str = "-journal";

/// A database file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFile {
    path: PathBuf,
}

impl DatabaseFile {
    /// The file of a setting `database.url`. `None`: it names none.
    pub fn of_url(url: &str) -> Result<Option<Self>, sqlx::Error> {
        let in_memory = url.contains(":memory:") || url.contains("mode=memory");
        if !url.starts_with("sqlite:") || in_memory {
            return Ok(None);
        }
        let options: SqliteConnectOptions = url.parse()?;
        Ok(Some(Self::at(options.get_filename())))
    }

    /// The file at a path, under the name that SQLite gives it: it follows
    /// links before it looks for what lies beside.
    pub fn at(path: &Path) -> Self {
        let real = path.canonicalize().or_else(|_| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new(".")).canonicalize()?;
            Ok::<_, io::Error>(folder.join(path.file_name().unwrap_or_default()))
        });
        Self { path: real.unwrap_or_else(|_| path.to_owned()) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As the setting `database.url` has it.
    pub fn url(&self) -> String {
        let path = self.path.display().to_string();
        let path = path.replace('%', "%25").replace('?', "%3F");
        format!("sqlite://{path}?mode=rwc")
    }

    /// The folder that it lies in.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// A file beside it, its name and `suffix`.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    /// The write-ahead log.
    pub fn wal(&self) -> PathBuf {
        self.beside(WAL)
    }

    /// The database and its logs, by what follows its name: together they are
    /// what was committed.
    pub const PARTS: [&str; 3] = [JOURNAL, WAL, ""];

    /// Whether this is the database, or one of the files that belong to it.
    pub fn owns(&self, path: &Path) -> bool {
        let path = Self::at(path).path;
        let suffixes = [WAL, SHM, JOURNAL, super::claim::LOCK, ""];
        suffixes.iter().any(|suffix| {
            let own = self.beside(suffix);
            own == path || is_same_file(&own, &path)
        })
    }

    /// What its first bytes say.
    pub fn header(&self) -> io::Result<Header> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Header::Missing),
            opened => opened?,
        };
        let mut bytes = Vec::with_capacity(100);
        file.take(100).read_to_end(&mut bytes)?;
        let stamp = bytes.get(STAMP_AT..STAMP_AT + 4).and_then(|four| four.try_into().ok());
        Ok(match stamp {
            _ if bytes.is_empty() => Header::Missing,
            Some(stamp) if bytes.starts_with(MAGIC) => {
                Header::Sqlite(Stamp(i32::from_be_bytes(stamp)))
            }
            _ => Header::Foreign,
        })
    }

    /// The write-ahead log or the rollback journal, if one with something in it
    /// is left: SQLite reads it when it opens the database.
    pub fn log_left(&self) -> io::Result<Option<PathBuf>> {
        for suffix in [WAL, JOURNAL] {
            let path = self.beside(suffix);
            if size(&path)?.is_some_and(|bytes| bytes > 0) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Whether a transaction of the rollback journal must be undone first.
    pub fn has_journal(&self) -> io::Result<bool> {
        Ok(size(&self.beside(JOURNAL))?.is_some_and(|bytes| bytes > 0))
    }

    /// Bytes of the database and its log.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(size(&self.path)?.unwrap_or(0) + size(&self.wal())?.unwrap_or(0))
    }

    /// Removes the log's index, which SQLite makes anew.
    pub fn remove_index(&self) -> io::Result<()> {
        remove(&self.beside(SHM))
    }

    /// Removes the database and everything beside it.
    pub fn remove_all(&self) -> io::Result<()> {
        for suffix in [WAL, SHM, JOURNAL, super::claim::LOCK, ""] {
            remove(&self.beside(suffix))?;
        }
        Ok(())
    }

    /// Waits until the names in its folder are on disk.
    pub fn sync_folder(&self) -> io::Result<()> {
        File::open(self.folder())?.sync_all()
    }
}

/// Gives a file to whom the other belongs. Whoever runs a command by hand is
/// often not the user that the gateway runs as.
pub fn give_to_owner_of(path: &Path, other: &Path) -> io::Result<()> {
    let (own, other) = (path.metadata()?, other.metadata()?);
    if (own.uid(), own.gid()) == (other.uid(), other.gid()) {
        return Ok(());
    }
    chown(path, Some(other.uid()), Some(other.gid()))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let id = |file: &Metadata| (file.dev(), file.ino());
    matches!((one.metadata(), other.metadata()), (Ok(one), Ok(other)) if id(&one) == id(&other))
}

fn size(path: &Path) -> io::Result<Option<u64>> {
    match path.metadata() {
        Ok(file) => Ok(Some(file.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file if it is there.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
