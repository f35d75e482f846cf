//! `tidegate backup`: a copy of the database while the gateway works on it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::app::database;
use crate::app::signals::Signals;
use crate::config::Config;
use crate::store::claim::Claim;
use crate::store::file::{DatabaseFile, Header};
use crate::store::{copy, open};

/// What PostgreSQL's owner does instead.
const POSTGRES: &str = "this database is PostgreSQL, which has tools of its own: `pg_dump \
     --format=custom`, or `pg_basebackup` with WAL archiving for a restore to any moment; see \
     docs/backup-and-restore.md";

/// A backup that was made and checked.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Its size.
    pub bytes: u64,
    /// Streams in it.
    pub streams: u64,
}

/// Where the copy grows until it is whole.
struct Partial(DatabaseFile);

impl Drop for Partial {
    fn drop(&mut self) {
        // Not there any more when it became the backup.
        let _ = self.0.remove_all();
    }
}

/// Copies the database into `target`, a file that must not be there unless
/// `overwrite` is set. Until the copy is whole, checked and on disk, nothing is
/// at `target` that was not there before.
pub async fn make(config: &Config, target: &Path, overwrite: bool) -> anyhow::Result<Backup> {
    let Some(file) = database::file(config)? else { bail!(POSTGRES) };
    let mut signals = Signals::listen()?;
    tokio::select! {
        made = make_of(&file, target, overwrite) => made,
        () = signals.asked() => bail!("stopped; no backup was made"),
    }
}

async fn make_of(file: &DatabaseFile, target: &Path, overwrite: bool) -> anyhow::Result<Backup> {
    refuse_target(file, target, overwrite)?;
    refuse_source(file).await?;
    let partial = DatabaseFile::at(&partial_of(target)?);
    let path = partial.path().to_owned();
    partial.remove_all().with_context(|| format!("removing {}", path.display()))?;
    let partial = Partial(partial);
    // It holds what the database holds: nobody else is to read it.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    made.with_context(|| format!("making {}", path.display()))?;
    let copied = copy::write(file, &path).await;
    copied.with_context(|| format!("copying {} to {}", file.path().display(), path.display()))?;
    let content = copy::seal(&path).await;
    let content = content.with_context(|| format!("checking the copy {}", path.display()))?;
    let bytes = publish(&partial.0, target, overwrite)?;
    Ok(Backup { bytes, streams: content.streams })
}

fn partial_of(target: &Path) -> anyhow::Result<PathBuf> {
    let name = target.file_name().with_context(|| format!("{} is no file", target.display()))?;
    let mut name = name.to_owned();
    name.push(".partial");
    Ok(target.with_file_name(name))
}

fn refuse_target(file: &DatabaseFile, target: &Path, overwrite: bool) -> anyhow::Result<()> {
    if file.owns(target) {
        bail!("{} belongs to the database itself", target.display());
    }
    match target.symlink_metadata() {
        Ok(there) if there.is_dir() => bail!("{} is a folder; name a file", target.display()),
        Ok(_) if !overwrite => {
            bail!("{} is there already; `--force` replaces it", target.display())
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("looking at {}", target.display()))
        }
        _ => Ok(()),
    }
}

/// A backup of what `serve` would not start on helps nobody. A gateway that
/// runs looked when it started.
async fn refuse_source(file: &DatabaseFile) -> anyhow::Result<()> {
    let header = file.header().with_context(|| format!("reading {}", file.path().display()))?;
    if header == Header::Missing {
        bail!("there is no database at {}", file.path().display());
    }
    if let Some(claim) = Claim::try_take(file)? {
        open::is_in_order(file, claim.record().as_ref()).await?;
    }
    Ok(())
}

/// Gives the whole copy its name.
fn publish(copy: &DatabaseFile, target: &Path, overwrite: bool) -> anyhow::Result<u64> {
    let path = copy.path();
    let named = || {
        let file = File::open(path)?;
        file.sync_all()?;
        // A second name fails if something has it by now; not every file system
        // has second names.
        let linked = if overwrite { Ok(false) } else { link(path, target) };
        if !linked? {
            std::fs::rename(path, target)?;
        }
        copy.sync_folder()?;
        Ok::<_, std::io::Error>(file.metadata()?.len())
    };
    named().with_context(|| format!("naming the backup {}", target.display()))
}

/// Gives a file a second name. `false`: this file system cannot.
fn link(path: &Path, target: &Path) -> std::io::Result<bool> {
    match std::fs::hard_link(path, target) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(error),
        linked => Ok(linked.is_ok()),
    }
}
