//! The device's program: started, killed, and what it said.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::crash::process::program_named;
use crate::support::{FailingDisk, Gateway, Token, eventually};

/// What the program prints when it carries a command out.
const APPLIES: &str = "device: applies steps ";

/// How long an exit may take on a busy machine. A store in use is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A command that was carried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Execution {
    /// Which process did it, counted from 1.
    pub(super) process: usize,
    /// The number that is the command's value.
    pub(super) number: usize,
    /// Whether the store said that it had been begun before.
    pub(super) resumed: bool,
}

/// What was printed, by all processes so far.
#[derive(Debug, Default)]
struct Said {
    executions: Vec<Execution>,
    /// The last process that had a session.
    welcomed: usize,
    log: String,
}

/// An install of the program: its store, its disk, and what is asked of it.
pub(super) struct App {
    pub(super) user: String,
    /// The commands that were accepted for it; the place is the number.
    pub(super) made: Vec<String>,
    /// Those whose outcome is stored: never carried out again.
    pub(super) done: BTreeMap<usize, usize>,
    pub(super) disk: FailingDisk,
    url: String,
    folder: TempDir,
    said: Arc<Mutex<Said>>,
    processes: usize,
    child: Child,
    reading: JoinSet<()>,
}

impl App {
    /// Starts one of a user of its own.
    pub(super) fn start(gateway: &Gateway) -> Self {
        let (disk, folder) = (FailingDisk::of("device.db"), TempDir::new().unwrap());
        let user = format!("u-{}", Uuid::new_v4().simple());
        let url = format!("http://{}", gateway.address());
        let child = command(&url, &user, &folder, &disk).spawn().unwrap();
        let mut app = Self {
            user,
            made: Vec::new(),
            done: BTreeMap::new(),
            disk,
            url,
            folder,
            said: Arc::default(),
            processes: 0,
            child,
            reading: JoinSet::new(),
        };
        app.listen();
        app
    }

    /// Another process on the same store.
    pub(super) fn start_again(&mut self) {
        self.child = self.another();
        self.listen();
    }

    /// A process on the same store that nobody listens to yet.
    pub(super) fn another(&self) -> Child {
        command(&self.url, &self.user, &self.folder, &self.disk).spawn().unwrap()
    }

    fn listen(&mut self) {
        self.processes += 1;
        let process = self.processes;
        let (output, errors) = (self.child.stdout.take(), self.child.stderr.take());
        let (said, logged) = (Arc::clone(&self.said), Arc::clone(&self.said));
        self.reading.spawn(each_line(output.unwrap(), move |line| {
            if line.starts_with("gateway -> welcome ") {
                said.lock().unwrap().welcomed = process;
            }
            if let Some(execution) = read(process, line) {
                said.lock().unwrap().executions.push(execution);
            }
        }));
        self.reading.spawn(each_line(errors.unwrap(), move |line| {
            let mut said = logged.lock().unwrap();
            said.log.push_str(line);
            said.log.push('\n');
        }));
    }

    /// Waits until it has opened its store and had a session: without its store
    /// it does not start.
    pub(super) async fn is_up(&self) {
        let is_up = async || (self.said.lock().unwrap().welcomed == self.processes).then_some(());
        eventually("a session", is_up).await;
    }

    /// SIGKILL. Everything that it had said is known then.
    pub(super) async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
        self.heard_all().await;
    }

    /// Waits until it ends by itself.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends by itself");
        self.heard_all().await;
        status.unwrap()
    }

    async fn heard_all(&mut self) {
        while let Some(read) = self.reading.join_next().await {
            read.unwrap();
        }
    }

    /// The process id; `None` once it ended.
    pub(super) fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// The number of the process that runs, or ran last.
    pub(super) const fn processes(&self) -> usize {
        self.processes
    }

    pub(super) fn executions(&self) -> Vec<Execution> {
        self.said.lock().unwrap().executions.clone()
    }

    /// What it logged.
    pub(super) fn log(&self) -> String {
        self.said.lock().unwrap().log.clone()
    }

    /// The store.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("device.db")
    }

    /// Every command once, but for those whose process was killed in between:
    /// one that is begun again says so, and no process begins one twice.
    pub(super) fn is_carried_out_once(&self) {
        let executions = self.executions();
        let mut last: BTreeMap<usize, usize> = BTreeMap::new();
        for execution in &executions {
            let Execution { process, number, resumed } = *execution;
            let before = last.insert(number, process);
            assert!(
                before.is_none_or(|before| before < process && resumed),
                "{execution:?} after process {before:?}: {executions:?}\n{}",
                self.log()
            );
            let stored = self.done.get(&number);
            assert!(stored.is_none_or(|stored| *stored >= process), "done: {execution:?}");
        }
        assert!(last.keys().all(|number| *number < self.made.len()), "{executions:?}");
    }
}

fn command(url: &str, user: &str, folder: &TempDir, disk: &FailingDisk) -> Command {
    let mut command = Command::new(program_named("tidegate-device"));
    command
        .args(["connect", "--url", url, "--data"])
        .arg(folder.path().join("device.db"))
        .env_clear()
        .env("TIDEGATE_TOKEN", Token::device(user).sign())
        .envs(disk.variables())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn each_line(from: impl AsyncRead + Unpin, mut tell: impl FnMut(&str)) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tell(&line);
    }
}

/// Reads `device: applies steps (attempt 1, resumed) {"n":3}`.
fn read(process: usize, line: &str) -> Option<Execution> {
    let (how, value) = line.strip_prefix(APPLIES)?.split_once(") ")?;
    let value: Value = serde_json::from_str(value).unwrap();
    let number = value["n"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap();
    Some(Execution { process, number, resumed: how.ends_with("resumed") })
}
