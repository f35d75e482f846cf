//! The secret that development makes for itself, so that the first start needs
//! no set-up. Production never gets here without one.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::config::check::SECRET_BYTES_MIN;
use crate::config::{Auth, Config, Environment};

/// Its file in `data_dir`.
pub const FILE_NAME: &str = "dev-secret";

/// The auth settings to use: those configured or, in development without any,
/// the same with the secret in `data_dir`, which is made on first use. Every
/// subcommand gets its secret here.
pub fn resolve(config: &Config) -> anyhow::Result<Auth> {
    let mut auth = config.auth.clone();
    if auth.is_configured() {
        return Ok(auth);
    }
    // Loading the settings refuses this too; what guards the door looks again.
    anyhow::ensure!(
        config.environment == Environment::Development,
        "auth must be configured in production"
    );
    let path = path(config);
    auth.hs256_secret = match read(&path)? {
        Some(secret) => secret,
        None => create(&config.data_dir, &path)?,
    };
    Ok(auth)
}

/// Where the secret is or would be.
pub fn path(config: &Config) -> PathBuf {
    config.data_dir.join(FILE_NAME)
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let secret = text.trim_end().to_owned();
    anyhow::ensure!(
        secret.len() >= SECRET_BYTES_MIN,
        "the secret in {} is shorter than {SECRET_BYTES_MIN} bytes; remove the file for a new one",
        path.display()
    );
    Ok(Some(secret))
}

/// Makes the file whole or not at all: two that start at once agree on the one
/// that was linked first.
fn create(data_dir: &Path, path: &Path) -> anyhow::Result<String> {
    use std::fmt::Write as _;
    let mut secret = String::new();
    for byte in rand::random::<[u8; SECRET_BYTES_MIN]>() {
        write!(secret, "{byte:02x}").context("cannot write to a text")?;
    }
    fs::create_dir_all(data_dir)
        .with_context(|| format!("cannot make `data_dir` {}", data_dir.display()))?;
    let draft = data_dir.join(format!("{FILE_NAME}.{}", uuid::Uuid::new_v4()));
    let linked = write_private(&draft, &secret).and_then(|()| fs::hard_link(&draft, path));
    // What is left of a failed attempt is a random text that nothing uses.
    let _ = fs::remove_file(&draft);
    match linked {
        Ok(()) => {
            tracing::info!(path = %path.display(), "made a secret for development");
            Ok(secret)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            read(path)?.with_context(|| format!("{} came and went", path.display()))
        }
        Err(error) => Err(error).with_context(|| format!("cannot make {}", path.display())),
    }
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
    use crate::config::load::load;

    fn config(dir: &Path, more: &[(&str, &str)]) -> Config {
        let dir = ("TIDEGATE_DATA_DIR", dir.to_str().unwrap());
        let env = std::iter::once(&dir).chain(more);
        load(None, env.map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))).unwrap()
    }

    #[test]
    fn development_makes_a_private_secret_once() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&dir.path().join("new"), &[]);
        let first = resolve(&config).unwrap().hs256_secret;
        assert_eq!(first.len(), 2 * SECRET_BYTES_MIN);
        assert_eq!(resolve(&config).unwrap().hs256_secret, first);
        let mode = fs::metadata(path(&config)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&config.data_dir).unwrap().count(), 1, "no draft stays");
    }

    #[test]
    fn several_that_start_at_once_agree() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), &[]);
        let secrets: Vec<_> = std::thread::scope(|scope| {
            let start = || scope.spawn(|| resolve(&config).unwrap().hs256_secret);
            let starts: Vec<_> = (0..8).map(|_| start()).collect();
            starts.into_iter().map(|started| started.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    }

    #[test]
    fn a_configured_secret_is_used_and_none_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let secret = "s".repeat(32);
        let config = config(dir.path(), &[("TIDEGATE_AUTH__HS256_SECRET", &secret)]);
        assert_eq!(resolve(&config).unwrap().hs256_secret, secret);
        assert!(!path(&config).exists());
    }

    #[test]
    fn production_makes_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), &[]);
        config.environment = Environment::Production;
        assert!(resolve(&config).is_err());
    }

    #[test]
    fn a_cut_off_secret_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), &[]);
        fs::write(path(&config), "short").unwrap();
        assert!(resolve(&config).is_err());
    }
}
