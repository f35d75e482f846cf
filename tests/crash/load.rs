//! A backend that creates commands as fast as it can and never gives up on
//! one: what was not answered is asked again with the same key.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};

use futures_util::future::{join, join_all, try_join_all};
use rand::Rng as _;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tidegate_protocol::id::{CommandId, DeviceId, UserId};
use tidegate_protocol::rest::CommandAccepted;
use tokio::sync::watch;

use crate::crash::device::Device;
use crate::seed;
use crate::support::Token;

/// Callers at the same time.
const CALLERS: u64 = 4;

/// Commands that each of them creates at most before a kill.
const COMMANDS: usize = 40;

/// How often a request is sent twice at the same moment.
const TWINS: f64 = 0.1;

/// A command that was asked for.
#[derive(Clone)]
pub(super) struct Asked {
    key: String,
    body: Value,
    pub(super) user: UserId,
    pub(super) device: Option<DeviceId>,
    /// Answered with 2xx. `None`: the connection was cut before an answer.
    pub(super) accepted: Option<CommandId>,
}

/// The backend.
pub(super) struct Load {
    devices: Vec<(UserId, DeviceId)>,
    addresses: watch::Receiver<SocketAddr>,
    client: reqwest::Client,
    token: String,
    asked: Mutex<Vec<Asked>>,
}

impl Load {
    pub(super) fn new(devices: &[Device], addresses: watch::Receiver<SocketAddr>) -> Self {
        Self {
            devices: devices.iter().map(|d| (d.user.clone(), d.id.clone())).collect(),
            addresses,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            token: Token::service("backend").sign(),
            asked: Mutex::default(),
        }
    }

    /// Everything asked for so far.
    pub(super) fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap()
    }

    /// Creates commands until the gateway is gone, or enough.
    pub(super) async fn create(&self, seed: u64) -> Result<(), String> {
        let callers = (0..CALLERS).map(|caller| self.caller(seed ^ caller));
        try_join_all(callers).await.map(drop)
    }

    async fn caller(&self, seed: u64) -> Result<(), String> {
        let mut rng = seed::rng(seed);
        for _ in 0..COMMANDS {
            let (user, device) = &self.devices[rng.random_range(0..self.devices.len())];
            let device = rng.random_bool(0.5).then(|| device.clone());
            let n: u32 = rng.random();
            let mut body = json!({ "user_id": user, "data_type": "steps", "value": { "n": n } });
            if let Some(device) = &device {
                body["device_id"] = json!(device);
            }
            let key = format!("{:016x}", rng.random::<u64>());
            let mut asked = Asked { key, body, user: user.clone(), device, accepted: None };
            let answers = if rng.random_bool(TWINS) {
                let (one, two) = join(self.ask(&asked), self.ask(&asked)).await;
                vec![one?, two?]
            } else {
                vec![self.ask(&asked).await?]
            };
            let is_cut = answers.iter().any(Option::is_none);
            for (_, id) in answers.into_iter().flatten() {
                remember(&mut asked, id)?;
            }
            self.asked().push(asked);
            if is_cut {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Asks for every command again with its key: what was accepted before is
    /// known, and the rest is accepted now.
    pub(super) async fn ask_again(&self) -> Result<(), String> {
        let mut all = self.asked().clone();
        let answers = join_all(all.iter().map(|asked| self.ask(asked))).await;
        for (asked, answer) in all.iter_mut().zip(answers) {
            let (status, id) = answer?.ok_or("cut although nobody was killed")?;
            if asked.accepted.is_some() && status != StatusCode::OK {
                return Err(format!("{} was accepted, and is not known: {status}", asked.key));
            }
            remember(asked, id)?;
        }
        *self.asked() = all;
        Ok(())
    }

    /// `None` when the connection was cut.
    async fn ask(&self, asked: &Asked) -> Result<Option<(StatusCode, CommandId)>, String> {
        let request = self
            .client
            .post(self.url("/api/v1/commands"))
            .bearer_auth(&self.token)
            .header("idempotency-key", &asked.key)
            .json(&asked.body);
        let Ok(answer) = request.send().await else { return Ok(None) };
        let status = answer.status();
        let Ok(text) = answer.text().await else { return Ok(None) };
        if !status.is_success() {
            return Err(format!("refused with {status}: {text}"));
        }
        let accepted: CommandAccepted =
            serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        Ok(Some((status, accepted.command_id)))
    }

    /// A call that must be answered with 200.
    pub(super) async fn get(&self, path: &str, token: Option<&str>) -> Result<Value, String> {
        let token = token.unwrap_or(&self.token);
        let answer = self.client.get(self.url(path)).bearer_auth(token).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        if status != StatusCode::OK {
            return Err(format!("{path}: {status} {text}"));
        }
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", *self.addresses.borrow())
    }
}

/// One key, one command.
fn remember(asked: &mut Asked, id: CommandId) -> Result<(), String> {
    match &asked.accepted {
        Some(known) if *known != id => {
            Err(format!("{} made two commands: {known} and {id}", asked.key))
        }
        _ => {
            asked.accepted = Some(id);
            Ok(())
        }
    }
}
