//! The real gateway as a child process, and the fakes of what it calls.
//!
//! Owns its folder: database, keys and log are gone with it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tidegate_clock::Clock;
use tidegate_fakes::atom::FakeAtom;
use tidegate_fakes::fcm::{FakeFcm, Ports};
use tidegate_fakes::fixtures::PROJECT_ID;
use tidegate_fakes::provider::strava::FakeStrava;
use tidegate_fakes::provider::{CLIENT_ID, CLIENT_SECRET};
use tidegate_fakes::webpush::FakeWebPush;
use tidegate_protocol::id::UserId;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// The user whose devices are simulated.
pub(crate) const USER: &str = "demo";

/// How long a live device may take before it is woken: shorter than in
/// production, so that nobody waits for the story to go on.
const ACK_TIMEOUT_MS: &str = "1500";

/// A start takes well under a second; this is for a machine under load.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Lines of the log that are shown when something went wrong.
const LOG_TAIL_LINES: usize = 20;

/// What the gateway calls.
pub(crate) struct Fakes {
    pub(crate) fcm: FakeFcm,
    pub(crate) webpush: FakeWebPush,
    pub(crate) atom: FakeAtom,
    pub(crate) strava: FakeStrava,
}

/// Skills and categories of the fake marketplace.
const SKILLS: usize = 120;
const CATEGORIES: usize = 6;

impl Fakes {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let fcm = FakeFcm::start_on(Ports::default(), Clock::system()).await;
        let webpush = FakeWebPush::start_on(0, Clock::system()).await;
        let atom = FakeAtom::start(Clock::system()).await;
        let atom = atom.context("the marketplace did not start")?;
        atom.fill(SKILLS, CATEGORIES);
        let strava = FakeStrava::start(Clock::system()).await.context("Strava did not start")?;
        Ok(Self {
            strava,
            fcm: fcm.context("FCM did not start")?,
            webpush: webpush.context("the Web Push service did not start")?,
            atom,
        })
    }

    pub(crate) fn token_uri(&self) -> &str {
        self.fcm.google().token_uri()
    }
}

/// A running gateway; it is killed when this is dropped.
pub(crate) struct Gateway {
    program: PathBuf,
    url: String,
    folder: TempDir,
    settings: Vec<(&'static str, String)>,
    _child: Child,
    /// Kept open: a gateway that cannot write there would say so.
    _output: Lines<BufReader<ChildStdout>>,
}

/// `tidegate` in the folder of this program, where cargo puts both.
pub(crate) fn program_beside_this() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("this program's folder is not known")?;
    let program = this.with_file_name(format!("tidegate{}", std::env::consts::EXE_SUFFIX));
    if !program.is_file() {
        bail!("`{}` is missing: `cargo build --package tidegate` makes it", program.display());
    }
    Ok(program)
}

impl Gateway {
    /// Starts on a free port and a fresh folder, and waits until it listens.
    pub(crate) async fn start(program: PathBuf, fakes: &Fakes) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let settings = settings(&program, folder.path(), fakes).await?;
        let log = std::fs::File::create(folder.path().join("gateway.log"))?;
        let mut child = command(&program, &settings)
            .arg("serve")
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("`{}` cannot be started", program.display()))?;
        let output = child.stdout.take().context("its output is piped")?;
        let mut output = BufReader::new(output).lines();
        let listening = timeout(START_TIMEOUT, address(&mut output)).await;
        let Ok(Ok(Some(url))) = listening else {
            bail!("it does not listen:\n{}", tail(folder.path()));
        };
        Ok(Self { program, url, folder, settings, _child: child, _output: output })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A token of this user with this role.
    pub(crate) async fn token(&self, user: &UserId, role: &str) -> anyhow::Result<String> {
        let mut command = command(&self.program, &self.settings);
        printed(command.args(["token", "--user", user.as_str(), "--role", role])).await
    }

    /// For a person's shell: where the gateway is, and tokens.
    pub(crate) async fn exports(&self) -> anyhow::Result<String> {
        let device = self.token(&UserId::parse(USER)?, "device").await?;
        let service = self.token(&UserId::parse("backend")?, "service").await?;
        let admin = self.token(&UserId::parse("ops")?, "admin").await?;
        let url = &self.url;
        Ok(format!(
            "export TIDEGATE_URL={url}\nexport TIDEGATE_TOKEN={device}\nexport SERVICE={service}\nexport ADMIN={admin}"
        ))
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> String {
        tail(self.folder.path())
    }
}

/// Writes the key files and names the settings.
async fn settings(
    program: &Path,
    folder: &Path,
    fakes: &Fakes,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let path = |name: &str| folder.join(name).display().to_string();
    // Providers send browsers back to it, so it must be known before the start.
    let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let (credentials, vapid_key) = (path("credentials.json"), path("vapid-key"));
    std::fs::write(&credentials, fakes.fcm.credentials())?;
    let made = printed(command(program, &[]).arg("vapid-key")).await?;
    std::fs::write(&vapid_key, made)?;
    Ok(vec![
        ("TIDEGATE_LISTEN", address.to_string()),
        ("TIDEGATE_PROVIDERS__PUBLIC_URL", format!("http://{address}")),
        ("TIDEGATE_PROVIDERS__STRAVA__CLIENT_ID", CLIENT_ID.to_owned()),
        ("TIDEGATE_PROVIDERS__STRAVA__CLIENT_SECRET", CLIENT_SECRET.to_owned()),
        ("TIDEGATE_PROVIDERS__STRAVA__BASE_URL", fakes.strava.base_url()),
        ("TIDEGATE_PROVIDERS__STRAVA__AUTHORIZE_URL", fakes.strava.authorize_url()),
        ("TIDEGATE_PROVIDERS__STRAVA__TOKEN_URL", fakes.strava.token_url()),
        ("TIDEGATE_PROVIDERS__STRAVA__REVOKE_URL", fakes.strava.revoke_url()),
        ("TIDEGATE_DATA_DIR", path("data")),
        ("TIDEGATE_PUSH__ACK_TIMEOUT_MS", ACK_TIMEOUT_MS.to_owned()),
        ("TIDEGATE_PUSH__FCM__PROJECT_ID", PROJECT_ID.to_owned()),
        ("TIDEGATE_PUSH__FCM__CREDENTIALS_FILE", credentials),
        ("TIDEGATE_PUSH__FCM__BASE_URL", fakes.fcm.url()),
        ("TIDEGATE_PUSH__WEBPUSH__SUBJECT", "mailto:sandbox@example.com".to_owned()),
        ("TIDEGATE_PUSH__WEBPUSH__PRIVATE_KEY_FILE", vapid_key),
        ("TIDEGATE_MARKETPLACE__BASE_URL", fakes.atom.url()),
        ("TIDEGATE_MARKETPLACE__WS_URL", fakes.atom.ws_url()),
        ("TIDEGATE_MARKETPLACE__TOKEN", fakes.atom.token().to_owned()),
    ])
}

/// Settings of the person's own environment do not reach the sandbox.
fn command(program: &Path, settings: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(settings.iter().map(|(name, text)| (*name, text.as_str())));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn printed(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().await.context("the gateway's program cannot be started")?;
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout).context("its output is not UTF-8")?.trim().to_owned())
}

/// Reads on to the line that a person would paste.
async fn address(output: &mut Lines<BufReader<ChildStdout>>) -> std::io::Result<Option<String>> {
    while let Some(line) = output.next_line().await? {
        if let Some(url) = line.strip_prefix("export TIDEGATE_URL=") {
            return Ok(Some(url.to_owned()));
        }
    }
    Ok(None)
}

fn tail(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("gateway.log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}
