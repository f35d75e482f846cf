//! A backend that creates commands as fast as it can and never gives up on
//! one: what was not answered, or refused by a trouble, is asked again with the same
//! key.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::{join, try_join_all};
use rand::Rng as _;
use rand::rngs::StdRng;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tidegate_protocol::id::{CommandId, DeviceId, Seq, UserId};
use tidegate_protocol::rest::CommandAccepted;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::crash::counts::Counts;
use crate::crash::device::Device;
use crate::seed;
use crate::support::Token;

/// Callers at the same time.
const CALLERS: u64 = 4;

/// Commands that each of them creates at most in one trouble.
const COMMANDS: u32 = 40;

/// How often a request is sent twice at the same moment.
const TWINS: f64 = 0.1;

/// How often a command's life is short.
const SHORT: f64 = 0.2;

/// Between two attempts after one that did not succeed.
const RETRY: Duration = Duration::from_millis(10);

/// Calls at the same time when everything is asked again.
pub(super) const AT_ONCE: usize = 32;

/// Longer than all deadlines of the gateway together.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command that was asked for.
#[derive(Clone)]
pub(super) struct Asked {
    key: String,
    body: Value,
    pub(super) user: UserId,
    pub(super) device: Option<DeviceId>,
    /// Answered with 2xx. `None`: cut before an answer, or refused.
    pub(super) accepted: Option<Accepted>,
}

/// What a caller was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) id: CommandId,
    pub(super) seq: Seq,
}

/// What came of a call.
pub(super) enum Said {
    /// The connection was cut.
    Cut,
    /// 503 with a Retry-After.
    Refused,
    Answered(StatusCode, String),
}

/// The backend.
pub(super) struct Load {
    devices: Vec<(UserId, DeviceId)>,
    addresses: watch::Receiver<SocketAddr>,
    client: reqwest::Client,
    token: String,
    asked: Mutex<Vec<Asked>>,
    /// Records published: position, id, version.
    published: Mutex<Vec<(i64, String, i64)>>,
    /// Health data that was taken, by number.
    walks: Mutex<Vec<usize>>,
    counts: Mutex<Counts>,
}

impl Load {
    pub(super) fn new(devices: &[Device], addresses: watch::Receiver<SocketAddr>) -> Self {
        Self {
            devices: devices.iter().map(|d| (d.user.clone(), d.id.clone())).collect(),
            addresses,
            client: reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap(),
            token: Token::service("backend").sign(),
            asked: Mutex::default(),
            published: Mutex::default(),
            walks: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// Everything asked for so far.
    pub(super) fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap()
    }

    pub(super) fn published(&self) -> Vec<(i64, String, i64)> {
        self.published.lock().unwrap().clone()
    }

    pub(super) fn was_published(&self, seq: i64, id: String, version: i64) {
        self.published.lock().unwrap().push((seq, id, version));
    }

    pub(super) fn walks(&self) -> MutexGuard<'_, Vec<usize>> {
        self.walks.lock().unwrap()
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap()
    }

    /// Creates commands, spread over about this time, until `end`.
    pub(super) async fn create(
        &self,
        seed: u64,
        over: Duration,
        end: &CancellationToken,
    ) -> Result<(), String> {
        let pause = over * 2 / COMMANDS;
        let callers = (0..CALLERS).map(|caller| self.caller(seed ^ caller, pause, end));
        try_join_all(callers).await.map(drop)
    }

    async fn caller(
        &self,
        seed: u64,
        pause: Duration,
        end: &CancellationToken,
    ) -> Result<(), String> {
        let mut rng = seed::rng(seed);
        for _ in 0..COMMANDS {
            if end.is_cancelled() {
                return Ok(());
            }
            let mut asked = self.next(&mut rng);
            let said = if rng.random_bool(TWINS) {
                let (one, two) = join(self.ask(&asked), self.ask(&asked)).await;
                vec![one?, two?]
            } else {
                vec![self.ask(&asked).await?]
            };
            let mut is_accepted = true;
            for said in said {
                is_accepted &= self.take(&mut asked, said)?;
            }
            self.asked().push(asked);
            tokio::time::sleep(pause.mul_f64(rng.random_range(0.0..1.0))).await;
            if !is_accepted {
                tokio::time::sleep(RETRY).await;
            }
        }
        Ok(())
    }

    /// The next command to ask for.
    fn next(&self, rng: &mut StdRng) -> Asked {
        let (user, device) = &self.devices[rng.random_range(0..self.devices.len())];
        let device = rng.random_bool(0.5).then(|| device.clone());
        let n: u32 = rng.random();
        let mut body = json!({ "user_id": user, "data_type": "steps", "value": { "n": n } });
        if let Some(device) = &device {
            body["device_id"] = json!(device);
        }
        if rng.random_bool(SHORT) {
            // Ends when the clock jumps, and not before.
            body["ttl_s"] = json!(3_600);
        }
        let key = format!("{:016x}", rng.random::<u64>());
        Asked { key, body, user: user.clone(), device, accepted: None }
    }

    /// Takes an answer; whether it accepts.
    fn take(&self, asked: &mut Asked, said: Said) -> Result<bool, String> {
        match said {
            Said::Cut => self.counts().cut += 1,
            Said::Refused => self.counts().refused += 1,
            Said::Answered(_, text) => {
                self.counts().accepted += 1;
                remember(asked, &text)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Asks for every command again with its key: what was accepted before is
    /// known, and the rest is accepted now.
    pub(super) async fn ask_again(&self) -> Result<(), String> {
        let all = self.asked().clone();
        let mut known = Vec::with_capacity(all.len());
        for some in all.chunks(AT_ONCE) {
            known.extend(try_join_all(some.iter().map(|asked| self.ask_once_more(asked))).await?);
        }
        *self.asked() = known;
        Ok(())
    }

    async fn ask_once_more(&self, asked: &Asked) -> Result<Asked, String> {
        let (status, text) = match self.ask(asked).await? {
            Said::Answered(status, text) => (status, text),
            Said::Refused => return Err("refused although nothing is wrong".to_owned()),
            Said::Cut => return Err("cut although nobody was killed".to_owned()),
        };
        if asked.accepted.is_some() && status != StatusCode::OK {
            return Err(format!("{} was accepted, and is not known: {status}", asked.key));
        }
        let mut asked = asked.clone();
        remember(&mut asked, &text)?;
        Ok(asked)
    }

    async fn ask(&self, asked: &Asked) -> Result<Said, String> {
        let request = self.request(Method::POST, "/api/v1/commands", None);
        self.send(request.header("idempotency-key", &asked.key).json(&asked.body)).await
    }

    /// A call with the backend's token, or another one.
    pub(super) fn request(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
    ) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", *self.addresses.borrow());
        self.client.request(method, url).bearer_auth(token.unwrap_or(&self.token))
    }

    /// Whatever goes on: a call succeeds, is refused as one that may be tried
    /// again, or is cut.
    ///
    /// # Errors
    /// Any other answer, and none at all.
    pub(super) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Said, String> {
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_timeout() => return Err(format!("not answered: {error}")),
            Err(_) => return Ok(Said::Cut),
        };
        let (url, status) = (answer.url().clone(), answer.status());
        let retry_s = answer.headers().get("retry-after").and_then(|v| v.to_str().ok());
        let retry_s: Option<u32> = retry_s.and_then(|text| text.parse().ok());
        let Ok(text) = answer.text().await else { return Ok(Said::Cut) };
        match status {
            _ if status.is_success() => Ok(Said::Answered(status, text)),
            StatusCode::SERVICE_UNAVAILABLE if retry_s.is_some_and(|s| s > 0) => Ok(Said::Refused),
            _ => Err(format!("{url} answered {status}, Retry-After {retry_s:?}: {text}")),
        }
    }

    /// A call that must be answered with 200.
    pub(super) async fn get(&self, path: &str, token: Option<&str>) -> Result<Value, String> {
        match self.send(self.request(Method::GET, path, token)).await? {
            Said::Answered(StatusCode::OK, text) => {
                serde_json::from_str(&text).map_err(|error| error.to_string())
            }
            Said::Answered(status, text) => Err(format!("{path}: {status} {text}")),
            Said::Refused => Err(format!("{path}: refused although nothing is wrong")),
            Said::Cut => Err(format!("{path}: cut although nobody was killed")),
        }
    }
}

/// One key, one command.
fn remember(asked: &mut Asked, text: &str) -> Result<(), String> {
    let answer: CommandAccepted =
        serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
    let accepted = Accepted { id: answer.command_id, seq: answer.seq };
    match &asked.accepted {
        Some(known) if *known != accepted => {
            Err(format!("{} made two commands: {known:?} and {accepted:?}", asked.key))
        }
        _ => {
            asked.accepted = Some(accepted);
            Ok(())
        }
    }
}
