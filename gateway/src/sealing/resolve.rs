//! Which keys there are: those configured, and the one that development makes
//! for itself. Production never makes any.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::sealing::{Key, Sealing};

/// Its file in `data_dir`.
pub const FILE_NAME: &str = "sealing-key";

/// What keys are found by.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    /// Those configured, in order.
    pub keys: &'a [String],
    /// Where the own one is.
    pub data_dir: &'a Path,
    /// Whether one may be made where there is none: in development.
    pub may_make: bool,
}

/// The keys in use. The one in `data_dir` opens what it sealed also where others
/// are configured by now.
pub fn resolve(found: Found<'_>) -> anyhow::Result<Sealing> {
    let parse =
        |text: &String| Key::parse(text).context("`sealing.keys` holds something that is no key");
    let mut keys: Vec<Key> = found.keys.iter().map(parse).collect::<Result<_, _>>()?;
    let path = found.data_dir.join(FILE_NAME);
    let own = match read(&path)? {
        None if keys.is_empty() && found.may_make => Some(create(found.data_dir, &path)?),
        known => known,
    };
    let own = own.filter(|own| keys.iter().all(|key| key.id() != own.id()));
    keys.extend(own);
    Ok(Sealing::new(&keys))
}

fn read(path: &Path) -> anyhow::Result<Option<Key>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let key = Key::parse(text.trim_end());
    key.map(Some).with_context(|| format!("what is in {} is no key", path.display()))
}

/// Makes the file whole or not at all: two that start at once agree on the one
/// that was linked first. On disk before anything is sealed with it.
fn create(data_dir: &Path, path: &Path) -> anyhow::Result<Key> {
    fs::create_dir_all(data_dir)
        .with_context(|| format!("cannot make `data_dir` {}", data_dir.display()))?;
    let (key, draft) = (Key::random(), draft(data_dir));
    let linked = write_private(&draft, &key.text()).and_then(|()| fs::hard_link(&draft, path));
    // What is left of a failed attempt is a key that nothing was sealed with.
    let _ = fs::remove_file(&draft);
    match linked {
        Ok(()) => {
            let folder = fs::File::open(data_dir).and_then(|folder| folder.sync_all());
            folder.with_context(|| format!("cannot write to {}", data_dir.display()))?;
            tracing::info!(path = %path.display(), "made a key to seal with for development");
            Ok(key)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            read(path)?.with_context(|| format!("{} came and went", path.display()))
        }
        Err(error) => Err(error).with_context(|| format!("cannot make {}", path.display())),
    }
}

fn draft(data_dir: &Path) -> PathBuf {
    data_dir.join(format!("{FILE_NAME}.{}", uuid::Uuid::new_v4()))
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn found<'a>(data_dir: &'a Path, keys: &'a [String]) -> Found<'a> {
        Found { keys, data_dir, may_make: true }
    }

    #[test]
    fn development_makes_a_private_key_once() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("new");
        let first = resolve(found(&dir, &[])).unwrap();
        assert_eq!(resolve(found(&dir, &[])).unwrap().first(), first.first());
        let mode = fs::metadata(dir.join(FILE_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "no draft stays");
    }

    #[test]
    fn several_that_start_at_once_agree() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let ids: Vec<_> = std::thread::scope(|scope| {
            let own = || resolve(found(dir, &[])).unwrap().first().map(str::to_owned);
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(own)).collect();
            starts.into_iter().map(|started| started.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| id.is_some() && *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn configured_keys_go_first_and_the_own_one_still_opens() {
        let dir = tempfile::tempdir().unwrap();
        let own = resolve(found(dir.path(), &[])).unwrap();
        let key = Key::random();
        let both = resolve(found(dir.path(), &[key.text()])).unwrap();
        assert_eq!(format!("{both:?}"), format!("{:?}", [key.id(), own.first().unwrap()]));
    }

    #[test]
    fn production_makes_none() {
        let dir = tempfile::tempdir().unwrap();
        let found = Found { may_make: false, ..found(dir.path(), &[]) };
        assert_eq!(resolve(found).unwrap().first(), None);
        assert!(!dir.path().join(FILE_NAME).exists());
    }
}
