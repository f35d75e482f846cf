//! The real program: started, killed, asked to go.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::crash::data::Data;
use crate::support::SECRET;

/// How long a start or an exit may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running gateway.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
    _reading: JoinSet<()>,
}

/// The gateway's program.
pub(crate) fn program() -> PathBuf {
    program_named("tidegate")
}

/// A program beside this test's executable, where cargo puts both.
pub(super) fn program_named(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.is_file(),
        "{} is missing: `make test` builds it first; so does `cargo build --workspace --bins --tests`",
        program.display()
    );
    program
}

impl Process {
    /// Starts the program on this data and waits until it listens.
    pub(crate) async fn start(data: &Data) -> Result<Self, String> {
        Self::start_with(data, &[]).await
    }

    /// Starts it with more variables.
    pub(crate) async fn start_with(
        data: &Data,
        variables: &[(String, String)],
    ) -> Result<Self, String> {
        let mut command = Command::new(program());
        command
            .arg("serve")
            .env_clear()
            .env("TIDEGATE_ENVIRONMENT", "production")
            .env("TIDEGATE_LISTEN", "127.0.0.1:0")
            .env("TIDEGATE_DATA_DIR", data.folder())
            .env("TIDEGATE_DATABASE__URL", data.url())
            .env("TIDEGATE_AUTH__HS256_SECRET", SECRET)
            .env("TIDEGATE_DRAIN__SPREAD_MS", "200")
            .env("TIDEGATE_LOG__FORMAT", "json")
            .envs(variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let Ok(Some(address)) = timeout(PATIENCE, listening(&mut lines, &log)).await else {
            return Err(format!("does not listen:\n{}", log.lock().unwrap()));
        };
        let mut reading = JoinSet::new();
        let kept = Arc::clone(&log);
        // Read on, or it would wait for room in the pipe.
        reading.spawn(async move { while next_line(&mut lines, &kept).await.is_some() {} });
        Ok(Self { child, address, log, _reading: reading })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// SIGKILL: it cannot do anything about it.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// The process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// SIGTERM: how it exited, which it does within [`PATIENCE`].
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        let id = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap()));
        kill_process(id.expect("it runs"), Signal::TERM).unwrap();
        timeout(PATIENCE, self.child.wait()).await.expect("it drains in time").unwrap()
    }
}

async fn listening(
    lines: &mut Lines<BufReader<ChildStderr>>,
    log: &Mutex<String>,
) -> Option<SocketAddr> {
    loop {
        let line = next_line(lines, log).await?;
        let line: Value = serde_json::from_str(&line).unwrap_or_default();
        if line["message"] == "listening" {
            return line["address"].as_str()?.parse().ok();
        }
    }
}

async fn next_line(
    lines: &mut Lines<BufReader<ChildStderr>>,
    log: &Mutex<String>,
) -> Option<String> {
    let line = lines.next_line().await.ok()??;
    let mut log = log.lock().unwrap();
    log.push_str(&line);
    log.push('\n');
    Some(line)
}
