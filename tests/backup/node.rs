//! A gateway with a folder, and the other commands on the same folder.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::crash::data::Data;
use crate::crash::process::{Process, program};
use crate::support::{SECRET, Token};

/// Nothing takes this long unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// Blocks that a file may have where there is no room: less than any database.
const BLOCKS: u32 = 64;

/// The folder, and what runs on it.
pub(super) struct Node {
    data: Data,
    process: Option<Process>,
    /// Where a gateway listens that has no room.
    cramped: Option<(Child, String)>,
    client: reqwest::Client,
    device: String,
}

impl Node {
    /// An empty folder.
    pub(super) fn stopped() -> Self {
        Self {
            data: Data::embedded(),
            process: None,
            cramped: None,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            device: Uuid::new_v4().to_string(),
        }
    }

    /// A gateway on an empty folder.
    pub(super) async fn started() -> Self {
        let mut node = Self::stopped();
        node.start().await;
        node
    }

    pub(super) async fn start(&mut self) {
        let variables = [("TIDEGATE_ENVIRONMENT".to_owned(), "production".to_owned())];
        self.process = Some(Process::start_with(&self.data, &variables).await.unwrap());
    }

    /// Starts where no file can grow; once it listens, not even the log can be
    /// written any more.
    pub(super) async fn start_without_room(&mut self) {
        let mut command = without_room(&["serve"]);
        self.prepare(&mut command);
        command.env("TIDEGATE_LISTEN", "127.0.0.1:0").env("TIDEGATE_LOG__FORMAT", "json");
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = String::new();
        let listening = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                log.push_str(&line);
                let line: Value = serde_json::from_str(&line).unwrap_or_default();
                if line["message"] == "listening" {
                    return line["address"].as_str().map(str::to_owned);
                }
            }
            None
        };
        let address = timeout(PATIENCE, listening).await.expect("it starts or ends");
        self.cramped = Some((child, address.unwrap_or_else(|| panic!("{log}"))));
    }

    /// What `serve` says when it does not start.
    pub(super) async fn start_to_fail(&self) -> String {
        match Process::start(&self.data).await {
            Ok(_) => panic!("it serves"),
            Err(said) => said,
        }
    }

    /// Starts if it can.
    pub(super) async fn try_start(&mut self) -> Result<(), String> {
        self.process = Some(Process::start(&self.data).await?);
        Ok(())
    }

    /// In order.
    pub(super) async fn stop(&mut self) {
        let status = self.process.take().expect("it runs").terminate().await;
        assert!(status.success(), "{status}");
    }

    pub(super) async fn kill(&mut self) {
        self.process.take().expect("it runs").kill().await;
    }

    /// What it logged.
    pub(super) fn log(&self) -> String {
        self.process.as_ref().expect("it runs").log()
    }

    pub(super) fn folder(&self) -> &Path {
        self.data.folder()
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder().join("tidegate.db")
    }

    /// The database that a restore replaced, newest last; without its logs.
    pub(super) fn aside(&self) -> Vec<PathBuf> {
        let names = self.names().into_iter();
        let aside = names.filter(|name| name.contains(".before-restore-"));
        let whole = aside.filter(|name| !name.ends_with("-wal"));
        whole.map(|name| self.folder().join(name)).collect()
    }

    /// Files that are there only while something is under way.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let mut names = self.names();
        names.retain(|name| name.contains(".partial") || name.contains(".restoring"));
        names
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder()).unwrap();
        let name = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }

    /// Runs a command that must go well; what it said.
    pub(super) async fn run(&self, arguments: &[&str]) -> String {
        self.run_with(arguments, &[]).await.unwrap()
    }

    /// Runs a command that must fail; what it said.
    pub(super) async fn run_to_fail(&self, arguments: &[&str]) -> String {
        self.run_with(arguments, &[]).await.unwrap_err()
    }

    /// Runs a command where no file can grow; it must fail.
    pub(super) async fn run_without_room(&self, arguments: &[&str]) -> String {
        self.finish(without_room(arguments), &[]).await.unwrap_err()
    }

    pub(super) async fn run_with(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<String, String> {
        let mut command = Command::new(program());
        command.args(arguments);
        self.finish(command, variables).await
    }

    /// The command, ready to be started and killed.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments);
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TIDEGATE_ENVIRONMENT", "production")
            .env("TIDEGATE_DATA_DIR", self.folder())
            .env("TIDEGATE_AUTH__HS256_SECRET", SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
    }

    async fn finish(
        &self,
        mut command: Command,
        variables: &[(&str, &str)],
    ) -> Result<String, String> {
        self.prepare(&mut command);
        command.envs(variables.iter().copied());
        let ended = timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        if ended.status.success() { Ok(said) } else { Err(said) }
    }

    /// Creates commands one after the other; their ids.
    pub(super) async fn make(&self, user: &str, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.accepted(user).await);
        }
        ids
    }

    /// The same, until told to stop.
    pub(super) async fn make_until(&self, caller: usize, stop: &CancellationToken) -> Vec<String> {
        let user = format!("c{caller}");
        let mut ids = Vec::new();
        while !stop.is_cancelled() {
            ids.push(self.accepted(&user).await);
        }
        ids
    }

    /// Asks for a command.
    pub(super) async fn ask(&self, user: &str) -> reqwest::Response {
        let body = json!({ "user_id": user, "data_type": "steps", "value": { "count": 1 } });
        let token = Token::service("backend").sign();
        let request = self.client.post(self.at("/api/v1/commands")).bearer_auth(token);
        request.json(&body).send().await.unwrap()
    }

    async fn accepted(&self, user: &str) -> String {
        let answer = self.ask(user).await;
        assert_eq!(answer.status(), 202);
        let answer: Value = answer.json().await.unwrap();
        answer["command_id"].as_str().unwrap().to_owned()
    }

    /// What asking for a command is answered with.
    pub(super) async fn status_of(&self, id: &str) -> u16 {
        let token = Token::service("backend").sign();
        let path = format!("/api/v1/commands/{id}");
        let answer = self.client.get(self.at(&path)).bearer_auth(token).send().await;
        answer.unwrap().status().as_u16()
    }

    /// Makes the device known that polls.
    pub(super) async fn register(&self, user: &str) {
        let body = json!({ "device_id": self.device, "platform": "other" });
        let token = Token::device(user).sign();
        let request = self.client.post(self.at("/api/v1/devices/register")).bearer_auth(token);
        assert_eq!(request.json(&body).send().await.unwrap().status(), 200);
    }

    /// Polls as that device, with the stream's status of the last poll
    /// as its cursor.
    pub(super) async fn poll(&self, user: &str, last: Option<&Value>) -> Value {
        let mut url = reqwest::Url::parse(&self.at("/api/v1/sync/poll")).unwrap();
        url.query_pairs_mut().append_pair("device_id", &self.device);
        if let Some(last) = last {
            let cursor = json!({ "epoch": last["epoch"], "seq": last["head"] });
            let cursors = json!({ format!("user:{user}"): cursor }).to_string();
            url.query_pairs_mut().append_pair("cursors", &cursors);
        }
        let token = Token::device(user).sign();
        let answer = self.client.get(url).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    fn at(&self, path: &str) -> String {
        match &self.cramped {
            Some((_, address)) => format!("http://{address}{path}"),
            None => format!("http://{}{path}", self.process.as_ref().expect("it runs").address()),
        }
    }

    /// What the lock file says.
    pub(super) fn record(&self) -> Value {
        let text = std::fs::read_to_string(self.folder().join("tidegate.db.lock")).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

/// The program where files end after [`BLOCKS`].
fn without_room(arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {BLOCKS}; exec \"$0\" \"$@\"");
    command.args(["-c", &script]).arg(program()).args(arguments);
    command
}

/// Opens a file as another program would.
pub(super) async fn open(path: &Path) -> DatabaseConnection {
    Database::connect(format!("sqlite://{}?mode=rwc", path.display())).await.unwrap()
}

/// Runs statements on a file as another program would.
pub(super) async fn change(path: &Path, statements: &[&str]) {
    let database = open(path).await;
    for statement in statements {
        database.execute_unprepared(statement).await.unwrap();
    }
    database.close().await.unwrap();
}

/// Fills a file with nonsense from its second page on.
pub(super) fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[4_096..].fill(0xa5);
    std::fs::write(path, bytes).unwrap();
}
