//! The real program with a push service, and what survives its death.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_fakes::fcm::FakeFcm;
use tokio::sync::watch;

use crate::crash::data::Data;
use crate::crash::process::Process;
use crate::support::{Token, bounded};

/// Between two attempts while the gateway is gone.
const RETRY: Duration = Duration::from_millis(10);

/// A gateway's process, its data, and its push service.
pub(super) struct World {
    pub(super) fcm: FakeFcm,
    data: Data,
    _files: TempDir,
    settings: BTreeMap<String, String>,
    process: Process,
    address: watch::Sender<SocketAddr>,
    client: reqwest::Client,
}

/// A device: its user, its id, and its token are its number's.
#[derive(Clone, Debug)]
pub(super) struct Install {
    pub(super) user: String,
    pub(super) id: String,
    pub(super) token: String,
}

impl World {
    /// Starts everything, with these settings of the tier.
    pub(super) async fn start(settings: &[(&str, &str)]) -> Self {
        let fcm = FakeFcm::start().await;
        let files = TempDir::new().unwrap();
        let credentials = files.path().join("account.json");
        std::fs::write(&credentials, fcm.credentials()).unwrap();
        let mut all = BTreeMap::new();
        for (key, value) in [
            ("push.fcm.credentials_file", credentials.to_str().unwrap()),
            ("push.fcm.base_url", &fcm.url()),
            ("push.ramp_s", "0"),
            ("database.synchronous", "normal"),
        ] {
            set(&mut all, key, value);
        }
        for (key, value) in settings {
            set(&mut all, key, value);
        }
        let data = Data::fresh().await;
        let process = launch(&data, &all).await;
        let address = watch::Sender::new(process.address());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { fcm, data, _files: files, settings: all, process, address, client }
    }

    /// Changes a setting for the next start.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        set(&mut self.settings, key, value);
    }

    /// SIGKILL, and a new process on the same data.
    pub(super) async fn kill_and_restart(&mut self) {
        self.process.kill().await;
        self.process = launch(&self.data, &self.settings).await;
        self.address.send_replace(self.process.address());
    }

    pub(super) fn log(&self) -> String {
        self.process.log()
    }

    /// User and system time of the process so far; `None` where the system
    /// does not tell.
    pub(super) fn cpu(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()?)).ok()?;
        let fields = stat.rsplit_once(')')?.1;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = ticks.collect::<Result<Vec<_>, _>>().ok()?.iter().sum();
        // Linux reports it in hundredths of a second on every platform.
        Some(Duration::from_millis(ticks * 10))
    }

    pub(super) fn calls(&self) -> Calls {
        Calls { address: self.address.subscribe(), client: self.client.clone() }
    }
}

fn variable(key: &str) -> String {
    format!("TIDEGATE_{}", key.replace('.', "__").to_uppercase())
}

fn set(settings: &mut BTreeMap<String, String>, key: &str, value: &str) {
    settings.insert(variable(key), value.to_owned());
}

async fn launch(data: &Data, settings: &BTreeMap<String, String>) -> Process {
    let settings: Vec<_> = settings.clone().into_iter().collect();
    Process::start_with(data, &settings).await.unwrap()
}

impl Install {
    pub(super) fn new(number: usize) -> Self {
        Self {
            user: format!("u{number}"),
            id: uuid::Uuid::new_v4().to_string(),
            token: format!("t{number}"),
        }
    }
}

/// HTTP calls that outlive the death of the gateway: what was cut is called
/// again.
#[derive(Clone)]
pub(super) struct Calls {
    address: watch::Receiver<SocketAddr>,
    client: reqwest::Client,
}

impl Calls {
    pub(super) async fn post(&self, path: &str, token: &Token, body: &Value) -> Value {
        self.call(path, token, Some(body)).await
    }

    pub(super) async fn get(&self, path: &str, token: &Token) -> Value {
        self.call(path, token, None).await
    }

    async fn call(&self, path: &str, token: &Token, body: Option<&Value>) -> Value {
        let token = token.sign();
        bounded(path, async {
            loop {
                let url = format!("http://{}{path}", *self.address.borrow());
                let request = match body {
                    Some(body) => self.client.post(url).json(body),
                    None => self.client.get(url),
                };
                if let Ok(answer) = request.bearer_auth(&token).send().await {
                    let status = answer.status();
                    if let Ok(text) = answer.text().await {
                        assert!(status.is_success(), "{path}: {status} {text}");
                        return serde_json::from_str(&text).unwrap();
                    }
                }
                tokio::time::sleep(RETRY).await;
            }
        })
        .await
    }

    pub(super) async fn register(&self, install: &Install) {
        let body =
            json!({ "device_id": install.id, "platform": "android", "fcm_token": install.token });
        let token = Token::device(&install.user);
        self.post("/api/v1/devices/register", &token, &body).await;
    }

    /// One command for each of these devices, in few calls.
    pub(super) async fn make(&self, installs: &[Install]) -> Vec<String> {
        let mut ids = Vec::new();
        for some in installs.chunks(500) {
            let of = |install: &Install| json!({ "user_id": install.user, "data_type": "steps", "value": { "n": 1 } });
            let body = json!({ "commands": some.iter().map(of).collect::<Vec<_>>() });
            let path = "/api/v1/commands/batch";
            let answer = self.post(path, &Token::service("backend"), &body).await;
            ids.extend(answer["results"].as_array().unwrap().iter().map(|row| {
                assert_eq!(row["status"], 202, "{row}");
                row["command"]["command_id"].as_str().unwrap().to_owned()
            }));
        }
        ids
    }

    /// The device reports a command as applied; the answer's row.
    pub(super) async fn applied(&self, install: &Install, id: &str) -> Value {
        let results = json!([{ "command_id": id, "status": "applied" }]);
        let body = json!({ "device_id": install.id, "results": results });
        let token = Token::device(&install.user);
        let answer = self.post("/api/v1/sync/results", &token, &body).await;
        answer["results"][0].clone()
    }

    /// The ids of the commands that a poll finds.
    pub(super) async fn poll(&self, install: &Install) -> Vec<String> {
        let path = format!("/api/v1/sync/poll?device_id={}", install.id);
        let answer = self.get(&path, &Token::device(&install.user)).await;
        let frames = answer["frames"].as_array().unwrap().iter();
        let items = frames.filter_map(|frame| frame["items"].as_array()).flatten();
        items.map(|item| item["body"]["command_id"].as_str().unwrap().to_owned()).collect()
    }
}
