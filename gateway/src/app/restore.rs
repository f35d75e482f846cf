//! `tidegate restore`: puts a backup in the place of the database.
//!
//! Everything that can fail is done with a copy beside the database first. Then
//! the lock file says that a restore is under way, and files are renamed; a
//! process that is killed in between leaves a state that `serve` refuses.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tidegate_clock::Clock;

use crate::app::database;
use crate::config::Config;
use crate::store::claim::{Claim, Record, State};
use crate::store::file::{DatabaseFile, Header, Stamp, give_to_owner_of, remove};
use crate::store::{Store, StoreOptions, copy};
use crate::upkeep::history;

/// What PostgreSQL's owner does instead.
const POSTGRES: &str = "this database is PostgreSQL, which has tools of its own: stop all nodes, \
     restore with `pg_restore --clean` or from the archive, run `tidegate renew-epochs`, and start \
     the nodes again; see docs/backup-and-restore.md";

/// A restore that was done.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Where the database is.
    pub database: PathBuf,
    /// Streams in it, all with new epochs.
    pub streams: u64,
    /// Bytes of it.
    pub bytes: u64,
    /// Where the replaced database is, if there was one.
    pub aside: Option<PathBuf>,
}

/// Puts the backup `source` in the place of the database. If it fails, what was
/// there still is, or `serve` says what to do.
pub async fn restore(config: &Config, source: &Path, clock: &Clock) -> anyhow::Result<Restored> {
    let Some(file) = database::file(config)? else { bail!(POSTGRES) };
    refuse_source(&file, source)?;
    std::fs::create_dir_all(file.folder())
        .with_context(|| format!("creating the folder {}", file.folder().display()))?;
    let claim = Claim::take(&file).await?;
    let staged = Staged(DatabaseFile::at(&file.beside(".restoring")));
    let streams = stage(&staged.0, &file, source, &database::options(config)).await?;
    let Header::Sqlite(stamp) = staged.0.header()? else { bail!("the copy lost its header") };
    let bytes = staged.0.bytes()?;
    let aside = aside(&file, claim.record().as_ref(), clock);
    let swap = Swap { file: &file, staged: &staged.0, claim: &claim, aside, stamp };
    for step in Swap::STEPS {
        step(&swap).context("the restore did not end; run it again")?;
    }
    let kept = Some(file.beside(&swap.aside)).filter(|aside| aside.exists());
    Ok(Restored { database: file.path().to_owned(), streams, bytes, aside: kept })
}

fn refuse_source(file: &DatabaseFile, source: &Path) -> anyhow::Result<()> {
    if file.owns(source) {
        bail!("{} belongs to the database itself", source.display());
    }
    let backup = DatabaseFile::at(source);
    let read = || format!("reading the backup {}", source.display());
    if !source.metadata().with_context(read)?.is_file() {
        bail!("{} is no file", source.display());
    }
    if backup.header().with_context(read)? == Header::Missing {
        bail!("{} is empty", source.display());
    }
    if let Some(log) = backup.log_left().with_context(read)? {
        bail!(
            "{} is the log of a database that was copied while it was open, and such a copy may \
             not be whole; if you know that it is, fold the log into it with `sqlite3 {} \
             'PRAGMA wal_checkpoint(TRUNCATE)'`",
            log.display(),
            source.display()
        );
    }
    Ok(())
}

/// The copy that becomes the database.
struct Staged(DatabaseFile);

impl Drop for Staged {
    fn drop(&mut self) {
        // When it became the database, what is left is its lock file.
        let _ = self.0.remove_all();
    }
}

/// Copies the backup beside the database, checks it, and renews its epochs. How
/// many streams it has.
async fn stage(
    staged: &DatabaseFile,
    file: &DatabaseFile,
    source: &Path,
    options: &StoreOptions,
) -> anyhow::Result<u64> {
    let path = staged.path();
    staged.remove_all().with_context(|| format!("removing {}", path.display()))?;
    let copied = std::fs::copy(source, path).and_then(|_| like_the_one_before(path, file));
    copied.with_context(|| format!("copying {} to {}", source.display(), path.display()))?;
    let sealed = copy::seal(path).await;
    let sealed = sealed.with_context(|| format!("{} cannot be restored", source.display()))?;
    Claim::take(staged).await?.write(closed(sealed.stamp))?;
    let options = StoreOptions { url: staged.url(), ..options.clone() };
    let store = Store::open(&options).await.context("opening the copy")?;
    let renewed = history::renew_all(&store).await.context("renewing the epochs of the copy")?;
    store.close().await.context("closing the copy")?;
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.with_context(|| format!("writing {}", path.display()))?;
    if let Some(log) = staged.log_left()? {
        bail!("{} is left: something else has the copy open", log.display());
    }
    Ok(renewed)
}

/// The gateway's user reads and writes the new file if it could the old one.
fn like_the_one_before(path: &Path, file: &DatabaseFile) -> io::Result<()> {
    let before = file.path();
    let (mode, owner) = if before.exists() {
        (before.metadata()?.permissions().mode(), before)
    } else {
        // A backup that nobody may write to is a good one.
        (path.metadata()?.permissions().mode() | 0o600, file.folder())
    };
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    give_to_owner_of(path, owner)
}

/// What follows the names of the files that are set aside. A restore that was
/// interrupted may have begun to: it is gone on with, so that they stay together.
fn aside(file: &DatabaseFile, record: Option<&Record>, clock: &Clock) -> String {
    if let Some(Record { state: State::Restoring { aside }, .. }) = record {
        return aside.clone();
    }
    let time: String = clock.now().to_string().chars().filter(|c| c.is_alphanumeric()).collect();
    let names = std::iter::once(String::new()).chain((2..).map(|number| format!("-{number}")));
    let mut names = names.map(|number| format!(".before-restore-{time}{number}"));
    let free = names.find(|name| !file.beside(name).exists());
    free.expect("numbers do not end")
}

/// The exchange of the files.
struct Swap<'a> {
    file: &'a DatabaseFile,
    staged: &'a DatabaseFile,
    claim: &'a Claim,
    aside: String,
    stamp: Stamp,
}

impl Swap<'_> {
    /// All of it. Killed before the first one is done, the old database is
    /// there; after the last one, the new one; in between `serve` refuses.
    const STEPS: [fn(&Self) -> anyhow::Result<()>; 4] =
        [Self::announce, Self::set_aside, Self::put_in_place, Self::end];

    fn announce(&self) -> anyhow::Result<()> {
        let state = State::Restoring { aside: self.aside.clone() };
        Ok(self.claim.write(Record { state, ..closed(self.stamp) })?)
    }

    /// The database and its logs, whatever they are worth.
    fn set_aside(&self) -> anyhow::Result<()> {
        // Then a restore was interrupted later: what is here now is its copy,
        // and nobody worked with it.
        let is_done = self.file.beside(&self.aside).exists();
        for part in DatabaseFile::PARTS {
            let from = self.file.beside(part);
            let to = self.file.beside(&format!("{}{part}", self.aside));
            let moved = if is_done { remove(&from) } else { rename_if_there(&from, &to) };
            moved.with_context(|| format!("setting {} aside", from.display()))?;
        }
        self.file.remove_index().context("removing the index of the log")?;
        self.file.sync_folder().context("setting the database aside")
    }

    fn put_in_place(&self) -> anyhow::Result<()> {
        let put = std::fs::rename(self.staged.path(), self.file.path());
        let put = put.and_then(|()| self.file.sync_folder());
        put.with_context(|| format!("renaming {}", self.staged.path().display()))
    }

    fn end(&self) -> anyhow::Result<()> {
        Ok(self.claim.write(closed(self.stamp))?)
    }
}

fn closed(stamp: Stamp) -> Record {
    Record { state: State::Closed, stamps: vec![stamp], must_renew_epochs: false }
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::load;

    /// A folder with a database that was killed, and a backup.
    async fn scene() -> (tempfile::TempDir, Config, DatabaseFile, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        let config = load(None, [("TIDEGATE_DATA_DIR".to_owned(), path)]).unwrap();
        database::migrate(&config).await.unwrap();
        let backup = folder.path().join("backup.db");
        crate::app::backup::make(&config, &backup, false).await.unwrap();
        let file = database::file(&config).unwrap().unwrap();
        std::fs::write(file.wal(), "the log of the one before").unwrap();
        (folder, config, file, backup)
    }

    /// Killed after each step: nothing but another restore opens it, and that
    /// one keeps the first database whole, whose log and all.
    #[tokio::test]
    async fn between_the_steps_nothing_is_served() {
        for steps in 0..Swap::STEPS.len() {
            let (_folder, config, file, backup) = scene().await;
            let before = std::fs::read(file.path()).unwrap();
            let log = std::fs::read(file.wal()).unwrap();
            let aside = ".before-restore-first".to_owned();
            {
                let claim = Claim::take(&file).await.unwrap();
                let staged = DatabaseFile::at(&file.beside(".restoring"));
                stage(&staged, &file, &backup, &database::options(&config)).await.unwrap();
                let aside = aside.clone();
                let swap =
                    Swap { file: &file, staged: &staged, claim: &claim, aside, stamp: Stamp(1) };
                for step in &Swap::STEPS[..steps] {
                    step(&swap).unwrap();
                }
            }
            if steps > 0 {
                let error = database::connect(&config).await.unwrap_err();
                let error = format!("{error:#}");
                assert!(error.contains("run `tidegate restore FILE` again"), "{steps}: {error}");
                assert!(error.contains(&aside), "{steps}: {error}");
            }
            let restored = restore(&config, &backup, &Clock::system()).await.unwrap();
            let kept = restored.aside.unwrap();
            assert_eq!(steps > 0, kept.to_str().unwrap().ends_with(&aside), "{steps}");
            assert_eq!(std::fs::read(&kept).unwrap(), before, "{steps}");
            let kept = DatabaseFile::at(&kept).wal();
            assert_eq!(std::fs::read(kept).unwrap(), log, "{steps}");
            database::connect(&config).await.unwrap().close().await.unwrap();
        }
    }
}
