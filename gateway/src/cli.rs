//! The command line: reads settings where they are, and hands them to what does
//! the work. The only place that looks at the environment.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use tidegate_protocol::id::{DeviceId, UserId};

use tidegate_clock::Clock;
use tidegate_services::webpush::vapid;

use crate::app::restore::Restored;
use crate::app::rotate::Rotated;
use crate::auth::{Authenticator, Role, secret};
use crate::config::Config;
use crate::config::check;
use crate::config::load;
use crate::metrics::Metrics;
use crate::sealing::Key;
use crate::{app, http, log};

/// Longest life of a token made here: a year.
const TOKEN_TTL_S_MAX: i64 = 365 * 24 * 3600;

/// Realtime sync gateway: one live socket per app, durable commands and data.
///
/// Settings come from built-in defaults, a TOML file, and variables named
/// `TIDEGATE_…`; the last one that names a key decides. `tidegate check-config`
/// shows what is in force.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version)]
pub struct Cli {
    /// Settings file (TOML); every key is optional
    #[arg(long, global = true, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C, then drain
    Serve,
    /// Bring the database's schema up to date
    Migrate,
    /// Print a token, signed with the shared secret
    ///
    /// Uses `auth.hs256_secret` or, in development without configured auth, the
    /// secret in `data_dir`, as `serve` does.
    Token(TokenArgs),
    /// Make a VAPID private key for Web Push and print it
    ///
    /// Keep it in a file and name that in `push.webpush.private_key_file`.
    VapidKey,
    /// Make a key to seal stored secrets with and print it
    ///
    /// Put it in front of the others in `sealing.keys`, restart the gateway, and
    /// run `rotate-keys`.
    SealingKey,
    /// Seal everything that is stored sealed with the first of `sealing.keys`
    ///
    /// May run beside a gateway, and again after it was stopped. When it ends with
    /// 0, the other keys can be removed.
    RotateKeys,
    /// Check the settings and print those in force, secrets masked
    CheckConfig,
    /// Print the OpenAPI document of the HTTP calls as JSON
    Openapi,
    /// Copy the database into a file, while the gateway runs
    ///
    /// SQLite only. The copy is consistent, checked, and on disk when this ends
    /// with 0; until then nothing has its name.
    Backup(BackupArgs),
    /// Put a backup in the place of the database
    ///
    /// SQLite only. The gateway must not be running. The backup is checked
    /// first, the database that was there is set aside with its log, and all
    /// epochs are renewed.
    Restore {
        /// A file that `tidegate backup` made, or another whole copy
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Renew the epochs of all streams, after a backup was put back by hand
    ///
    /// Cursors that devices hold may be ahead of a restored journal. New epochs
    /// have every device start from a snapshot. The gateway must not be running.
    RenewEpochs,
}

#[derive(Debug, Args)]
struct BackupArgs {
    /// File to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
struct TokenArgs {
    /// User the token is for (`sub`)
    #[arg(long, value_name = "ID", value_parser = UserId::parse)]
    user: UserId,
    /// What the bearer is
    #[arg(long, value_enum, default_value_t)]
    role: Role,
    /// Life of the token in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 86_400,
        value_parser = clap::value_parser!(u32).range(1..=TOKEN_TTL_S_MAX)
    )]
    ttl_s: u32,
    /// The only device the token may be used for
    #[arg(long, value_name = "UUID", value_parser = DeviceId::parse)]
    device_id: Option<DeviceId>,
}

/// Does what the command line asks.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { config, command } = cli;
    let settings = || load_config(config.as_deref());
    match command {
        Command::Serve => {
            let config = settings()?;
            set_up_logs(&config)?;
            block_on(app::run(config))
        }
        Command::Migrate => {
            let config = settings()?;
            set_up_logs(&config)?;
            block_on(app::database::migrate(&config))?;
            print("the database is up to date")
        }
        Command::Token(args) => print(&block_on(token(&settings()?, &args))?),
        Command::CheckConfig => {
            let config = settings()?;
            for warning in check::warnings(&config) {
                writeln!(std::io::stderr(), "warning: {warning}")?;
            }
            print(load::effective(&config).trim_end())
        }
        Command::VapidKey => print(&vapid::generate_private_key()?),
        Command::SealingKey => print(&Key::random().text()),
        Command::RotateKeys => {
            let config = settings()?;
            set_up_logs(&config)?;
            rotated(&block_on(app::rotate::rotate(&config, &Clock::system()))?)
        }
        Command::Openapi => print(&serde_json::to_string_pretty(&http::openapi::document())?),
        Command::Backup(args) => {
            let config = settings()?;
            set_up_logs(&config)?;
            let made = block_on(app::backup::make(&config, &args.file, args.force))?;
            print(&format!(
                "backed up {} in {} bytes to {}",
                counted(made.streams),
                made.bytes,
                args.file.display()
            ))
        }
        Command::Restore { file } => {
            let config = settings()?;
            set_up_logs(&config)?;
            let done = block_on(app::restore::restore(&config, &file, &Clock::system()))?;
            print(&said(&done, &file))
        }
        Command::RenewEpochs => {
            let config = settings()?;
            set_up_logs(&config)?;
            let renewed = block_on(app::epochs::renew(&config))?;
            print(&format!("renewed the epochs of {}", counted(renewed)))
        }
    }
}

fn said(done: &Restored, source: &Path) -> String {
    let Restored { database, streams, bytes, aside } = done;
    let aside = aside.as_ref().map_or("there was no database before".to_owned(), |aside| {
        format!("the database that was there is kept as {}", aside.display())
    });
    format!(
        "restored {} in {bytes} bytes from {} to {}\n\
         renewed all epochs: devices begin anew with a snapshot\n{aside}",
        counted(*streams),
        source.display(),
        database.display()
    )
}

/// So many streams, in words.
fn counted(streams: u64) -> String {
    if streams == 1 { "1 stream".to_owned() } else { format!("{streams} streams") }
}

/// Says what was sealed again; an error where something was not.
fn rotated(done: &Rotated) -> anyhow::Result<()> {
    print(&format!("sealed {} again with the key `{}`", rows(done.resealed), done.key))?;
    let undone = done.unreadable + done.left;
    anyhow::ensure!(
        undone == 0,
        "{} could not be sealed again: the key is missing, or they changed all the time",
        rows(undone)
    );
    Ok(())
}

/// So many rows, in words.
fn rows(rows: u64) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") }
}

/// Reads the file, if one is named, and the variables.
fn load_config(path: Option<&Path>) -> anyhow::Result<Config> {
    let file = match path {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the settings file {}", path.display()))?;
            Some((path.display().to_string(), text))
        }
    };
    let file = file.as_ref().map(|(path, text)| (path.as_str(), text.as_str()));
    Ok(load::load(file, variables()?)?)
}

/// The variables that may be settings. Others may hold anything.
fn variables() -> anyhow::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (name, text) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| load::is_setting(name)) else { continue };
        let text = text.into_string();
        let text = text.map_err(|_| anyhow::anyhow!("the variable {name} is not UTF-8"))?;
        found.push((name.to_owned(), text));
    }
    Ok(found)
}

fn set_up_logs(config: &Config) -> anyhow::Result<()> {
    log::init(config)?;
    for warning in check::warnings(config) {
        tracing::warn!("{warning}");
    }
    Ok(())
}

async fn token(config: &Config, args: &TokenArgs) -> anyhow::Result<String> {
    let mut auth = secret::resolve(config)?;
    // Making a token takes no public key: do not wait for a server to send some.
    auth.jwks_file.clear();
    auth.jwks_url.clear();
    let authenticator = Authenticator::new(&auth, Clock::system(), Metrics::new()).await?;
    authenticator.issue(&args.user, args.role, args.ttl_s, args.device_id.as_ref())
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(work)
}

fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        // Who reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn token_args(args: &[&str]) -> Result<TokenArgs, clap::Error> {
        let cli = Cli::try_parse_from(["tidegate", "token"].iter().chain(args))?;
        match cli.command {
            Command::Token(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn values_that_no_token_can_have_are_refused() {
        assert!(token_args(&["--user", "u1"]).is_ok());
        for args in [
            &[][..],
            &["--user", "a b"],
            &["--user", "u1", "--role", "root"],
            &["--user", "u1", "--ttl-s", "0"],
            &["--user", "u1", "--device-id", "not-a-uuid"],
        ] {
            assert!(token_args(args).is_err(), "{args:?}");
        }
    }

    #[tokio::test]
    async fn tokens_are_made_with_the_secret_that_serve_uses() {
        let dir = tempfile::tempdir().unwrap();
        let dir = ("TIDEGATE_DATA_DIR".to_owned(), dir.path().to_str().unwrap().to_owned());
        let config = load::load(None, [dir]).unwrap();
        let args = token_args(&["--user", "u1", "--role", "service", "--ttl-s", "60"]).unwrap();
        let token = token(&config, &args).await.unwrap();
        let auth = secret::resolve(&config).unwrap();
        let judge = Authenticator::new(&auth, Clock::system(), Metrics::new()).await.unwrap();
        let claims = judge.verify(&token).await.unwrap();
        assert_eq!((claims.sub.as_str(), claims.role), ("u1", Role::Service));
    }

    #[test]
    fn one_stream_is_not_several() {
        for (streams, words) in [(0, "0 streams"), (1, "1 stream"), (2, "2 streams")] {
            assert_eq!(counted(streams), words);
        }
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let error = load_config(Some(Path::new("/nowhere/tidegate.toml"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/tidegate.toml"));
    }
}
