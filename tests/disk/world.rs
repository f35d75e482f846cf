//! The real program on a disk that a test breaks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::crash::data::Data;
use crate::crash::process::Process;
use crate::support::{Caller, Device, FailingDisk, Socket, Token, Transcript, eventually};

/// How often readiness is asked, and for how long: longer than it takes the
/// gateway to find out by itself.
const LOOK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway's process, its data and its disk.
pub(super) struct World {
    pub(super) disk: FailingDisk,
    data: Data,
    variables: BTreeMap<String, String>,
    process: Process,
    client: reqwest::Client,
    transcript: Transcript,
}

impl World {
    /// Starts one with these settings.
    pub(super) async fn start(settings: &[(&str, &str)]) -> Self {
        let disk = FailingDisk::of("tidegate.db");
        let mut variables: BTreeMap<_, _> = disk.variables().into_iter().collect();
        let defaults = [("streams.shared", r#"["news"]"#), ("session.behind_ms", "20")];
        for (key, value) in defaults.iter().chain(settings) {
            let name = format!("TIDEGATE_{}", key.replace('.', "__").to_uppercase());
            variables.insert(name, (*value).to_owned());
        }
        let data = Data::embedded();
        let process = launch(&data, &variables).await;
        // A deadline, so that a call that hangs fails its test by itself.
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30));
        let client = client.build().unwrap();
        Self { disk, data, variables, process, client, transcript: Transcript::default() }
    }

    /// A backend that calls with a `service` token.
    pub(super) fn backend(&self) -> Caller {
        self.caller(&Token::service("backend"))
    }

    /// The HTTP calls of a device.
    pub(super) fn calls_of(&self, device: &Device) -> Caller {
        self.caller(&Token::device(&device.user))
    }

    fn caller(&self, token: &Token) -> Caller {
        let base = format!("http://{}", self.process.address());
        let caller = Caller::new("caller", base, self.client.clone(), self.transcript.clone());
        caller.with_token(&token.sign()).quiet()
    }

    /// A device of this user. After a restart the address is another one: see
    /// [`World::again`].
    pub(super) fn device(&self, user: &str) -> Device {
        self.device_with_id(user, &uuid::Uuid::new_v4().to_string())
    }

    /// The same device at the present address.
    pub(super) fn again(&self, device: &Device) -> Device {
        self.device_with_id(&device.user, &device.id)
    }

    fn device_with_id(&self, user: &str, id: &str) -> Device {
        let address = self.process.address().to_string();
        Device::new(user, user, id, address, self.transcript.clone())
    }

    /// Waits until readiness says this of the database.
    pub(super) async fn until_database_is(&self, words: &[&str]) {
        let caller = self.backend().without_token();
        let mut said = Value::Null;
        let waiting = async {
            loop {
                let answer = caller.get("/readyz").await;
                said = answer.body["database"].clone();
                assert_eq!(answer.status.as_u16(), if said == "ok" { 200 } else { 503 });
                if said.as_str().is_some_and(|word| words.contains(&word)) {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "{said}, not {words:?}:\n{}", self.log());
    }

    /// A figure's value, summed over its labels.
    pub(super) async fn figure(&self, name: &str) -> u64 {
        let answer = self.backend().without_token().get("/metrics").await;
        let lines = answer.text().lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// The lines logged so far whose message contains this.
    pub(super) fn logged(&self, text: &str) -> Vec<Value> {
        let lines = self.process.log();
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"].as_str().is_some_and(|m| m.contains(text))).collect()
    }

    /// Waits for the one line that tells of a change.
    pub(super) async fn until_logged(&self, text: &str) {
        eventually(text, async || (!self.logged(text).is_empty()).then_some(())).await;
        assert_eq!(self.logged(text).len(), 1, "{}", self.log());
    }

    /// The lines logged at these levels.
    pub(super) fn logged_at(&self, level: &str) -> Vec<Value> {
        let lines = self.process.log();
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["level"] == level).collect()
    }

    pub(super) fn log(&self) -> String {
        self.process.log()
    }

    /// SIGKILL, and a new process on the same data.
    pub(super) async fn kill_and_restart(&mut self) {
        self.process.kill().await;
        self.start_again().await;
    }

    /// SIGTERM, and a new process on the same data.
    pub(super) async fn end_and_restart(&mut self) {
        assert!(self.end().await, "{}", self.log());
        self.start_again().await;
    }

    /// SIGTERM; whether the process ended well.
    pub(super) async fn end(&mut self) -> bool {
        self.process.terminate().await.success()
    }

    /// A new process on the same data.
    pub(super) async fn start_again(&mut self) {
        self.process = launch(&self.data, &self.variables).await;
    }

    /// Tries to start once more after a SIGKILL; what the process logged if it
    /// does not.
    pub(super) async fn kill_and_try_to_start(&mut self) -> Result<(), String> {
        self.process.kill().await;
        let variables: Vec<_> = self.variables.clone().into_iter().collect();
        self.process = Process::start_with(&self.data, &variables).await?;
        Ok(())
    }

    /// The database file.
    pub(super) fn file(&self) -> PathBuf {
        self.data.folder().join("tidegate.db")
    }
}

async fn launch(data: &Data, variables: &BTreeMap<String, String>) -> Process {
    let variables: Vec<_> = variables.clone().into_iter().collect();
    Process::start_with(data, &variables).await.unwrap()
}

/// What a device holds of its user's stream, and that it came in order, once.
pub(super) struct Follower {
    socket: Socket,
    pub(super) epoch: Value,
    pub(super) seq: i64,
    /// Commands that came, in order.
    pub(super) commands: Vec<String>,
}

impl Follower {
    /// Connects without a cursor.
    pub(super) async fn begin(device: &Device) -> Self {
        let mut socket = device.connect().await;
        socket.quiet(true);
        let welcome = socket.begin(&device.hello()).await;
        let status = &welcome["streams"][device.stream()];
        socket.snapshot().await;
        let (epoch, seq) = (status["epoch"].clone(), status["head"].as_i64().unwrap());
        Self { socket, epoch, seq, commands: Vec::new() }
    }

    /// Connects with the cursor held, as the same device elsewhere.
    pub(super) async fn resume(self, device: &Device) -> Self {
        let mut socket = device.connect().await;
        socket.quiet(true);
        let mut hello = device.hello();
        let cursor = json!({ "epoch": self.epoch, "seq": self.seq });
        hello["cursors"] = json!({ device.stream(): cursor });
        let welcome = socket.begin(&hello).await;
        let status = &welcome["streams"][device.stream()];
        assert_eq!((&status["verdict"], &status["epoch"]), (&json!("resumed"), &self.epoch));
        Self { socket, ..self }
    }

    /// Takes what comes until this command has come.
    pub(super) async fn until(&mut self, command: &str) {
        while !self.commands.iter().any(|known| known == command) {
            let events = self.socket.expect("events").await;
            assert_eq!((&events["epoch"], &events["prev"]), (&self.epoch, &json!(self.seq)));
            for entry in events["entries"].as_array().unwrap() {
                let seq = entry["seq"].as_i64().unwrap();
                assert!(seq > self.seq, "{entry} came after {}", self.seq);
                self.seq = seq;
                if entry["kind"] == "command" {
                    self.commands.push(entry["body"]["command_id"].as_str().unwrap().to_owned());
                }
            }
            self.seq = events["seq"].as_i64().unwrap();
        }
    }

    /// Says a frame and takes its answer.
    pub(super) async fn ask(&mut self, frame: &Value) -> Value {
        self.socket.send(frame).await;
        self.socket.receive().await
    }
}
