//! Firebase Cloud Messaging, HTTP v1, with its token endpoint.
//!
//! Owns what was sent and what would have been delivered. Checks requests as
//! the real service does; a request that passes gets the next scripted answer
//! for its token, or success.

pub mod answer;
pub mod check;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::post;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::Value;
use tidegate_clock::Clock;

use crate::fcm::answer::Answer;
use crate::fcm::check::Checked;
use crate::feed::{Feed, Growth};
use crate::fixtures::{PROJECT_ID, fingerprint};
use crate::google::FakeGoogle;
use crate::record::Record;
use crate::script::Script;
use crate::server::{Bound, Server};

/// Distinct collapse keys that FCM keeps per token.
const COLLAPSE_KEYS: usize = 4;

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct FcmRequest {
    /// The token it was for; empty if it named none.
    pub token: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body; null if it was not JSON.
    pub body: Value,
    /// The answer, as a word: `sent`, a scripted one, or a check that failed.
    pub answer: &'static str,
    /// When it came, milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// Where to listen on loopback; 0 picks a free port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// FCM.
    pub fcm: u16,
    /// The token endpoint.
    pub google: u16,
}

/// A message as the app's handler gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The data map. Empty for a message without one.
    pub data: BTreeMap<String, String>,
    /// Whether it wakes a dozing device.
    pub is_high_priority: bool,
}

/// A running service.
pub struct FakeFcm {
    google: FakeGoogle,
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    is_valid_token: Box<dyn Fn(&str) -> bool + Send + Sync>,
    clock: Clock,
    script: Script<Answer>,
    requests: Record<FcmRequest>,
    devices: Mutex<HashMap<String, Device>>,
    delivered: Growth,
}

#[derive(Debug, Default)]
struct Device {
    delivered: Vec<Value>,
    validated: Vec<Value>,
    collapse_keys: VecDeque<String>,
}

impl FakeFcm {
    /// Starts on free ports with the system's clock.
    pub async fn start() -> Self {
        Self::start_with(Clock::system()).await
    }

    /// Starts on free ports with a chosen clock.
    pub async fn start_with(clock: Clock) -> Self {
        Self::start_on(Ports::default(), clock).await.expect("loopback has free ports")
    }

    /// Starts on chosen ports with a chosen clock.
    pub async fn start_on(ports: Ports, clock: Clock) -> std::io::Result<Self> {
        let google = FakeGoogle::start_on(ports.google, clock.clone()).await?;
        let shared = Arc::new(Shared {
            is_valid_token: Box::new(google.checker()),
            clock,
            script: Script::new(Answer::Sent),
            requests: Record::default(),
            devices: Mutex::default(),
            delivered: Growth::default(),
        });
        let router = Router::new()
            .route("/v1/projects/{project}/{method}", post(send))
            .with_state(Arc::clone(&shared));
        let server = Bound::to(ports.fcm).await?.serve(router);
        Ok(Self { google, server, shared })
    }

    /// The service's origin: the base address for clients.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The token endpoint.
    pub fn google(&self) -> &FakeGoogle {
        &self.google
    }

    /// A key file for this service.
    pub fn credentials(&self) -> String {
        self.google.credentials()
    }

    /// Lays down answers for a token, each used once, in order.
    pub fn script(&self, token: &str, answers: impl IntoIterator<Item = Answer>) {
        self.shared.script.extend(token, answers);
    }

    /// Answers a token so whenever nothing is scripted for it; `None`: as the
    /// others again.
    pub fn answer_always(&self, token: &str, answer: Option<Answer>) {
        self.shared.script.set_standing(token, answer);
    }

    /// The answer for tokens without scripted ones; at first [`Answer::Sent`].
    pub fn set_fallback(&self, answer: Answer) {
        self.shared.script.set_fallback(answer);
    }

    /// All requests, refused ones included.
    pub fn requests(&self) -> Vec<FcmRequest> {
        self.shared.requests.all()
    }

    /// The requests after the first `count`.
    pub fn requests_after(&self, count: usize) -> Vec<FcmRequest> {
        self.shared.requests.after(count)
    }

    /// Waits for `count` requests in all. Panics after 10 s.
    pub async fn wait_for(&self, count: usize) -> Vec<FcmRequest> {
        self.shared.requests.wait_for(count).await
    }

    /// Messages the device would have got, in order.
    pub fn delivered(&self, token: &str) -> Vec<Value> {
        self.device(token, |device| device.delivered.clone())
    }

    /// Hands over what reaches the device, from the first message on, as its
    /// system does to the app: to be read beside the test or the sandbox.
    pub fn deliveries(&self, token: &str) -> Feed<Delivered> {
        let (shared, token) = (Arc::clone(&self.shared), token.to_owned());
        self.shared.delivered.feed(move |index| {
            let devices = shared.lock_devices();
            devices.get(&token)?.delivered.get(index).map(Delivered::new)
        })
    }

    /// Messages for the device that were only validated.
    pub fn validated(&self, token: &str) -> Vec<Value> {
        self.device(token, |device| device.validated.clone())
    }

    /// The collapse keys that FCM remembers for the device: the last four.
    pub fn collapse_keys(&self, token: &str) -> Vec<String> {
        self.device(token, |device| device.collapse_keys.iter().cloned().collect())
    }

    fn device<T: Default>(&self, token: &str, read: impl Fn(&Device) -> T) -> T {
        self.shared.lock_devices().get(token).map(read).unwrap_or_default()
    }
}

impl fmt::Debug for FakeFcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeFcm").field("url", &self.url()).finish_non_exhaustive()
    }
}

async fn send(
    State(shared): State<Arc<Shared>>,
    Path((project, method)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let token = body["message"]["token"].as_str().unwrap_or_default().to_owned();
    let decided = if method != "messages:send" {
        Err(Answer::WrongAddress)
    } else if !shared.is_authorized(&headers) {
        Err(Answer::Unauthenticated)
    } else if project != PROJECT_ID {
        Err(Answer::PermissionDenied)
    } else {
        check::check(&body).map_err(Answer::Refuse)
    };
    let answer =
        decided.map_or_else(|refusal| refusal, |checked| shared.answer(&token, &checked, &body));
    let name = answer.name();
    tracing::info!(token = fingerprint(&token), answer = name, "FCM message");
    let at_ms = shared.clock.now().millis();
    shared.requests.push(FcmRequest { token, headers, body, answer: name, at_ms });
    answer.respond(&shared.clock).await
}

impl Shared {
    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        value.and_then(|value| value.strip_prefix("Bearer ")).is_some_and(&self.is_valid_token)
    }

    /// The answer to a valid request; keeps the message if it is taken.
    fn answer(&self, token: &str, checked: &Checked, body: &Value) -> Answer {
        let answer = self.script.next(token);
        if answer.is_taken() {
            let mut devices = self.lock_devices();
            let device = devices.entry(token.to_owned()).or_default();
            device.keep(checked, body["message"].clone());
            drop(devices);
            self.delivered.note();
        }
        match answer {
            Answer::Sent if checked.validate_only => Answer::Validated,
            answer => answer,
        }
    }

    fn lock_devices(&self) -> MutexGuard<'_, HashMap<String, Device>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Delivered {
    /// Of a message that was checked: `android.data` takes the place of `data`.
    fn new(message: &Value) -> Self {
        let android = &message["android"];
        let data = android.get("data").or_else(|| message.get("data"));
        let fields = data.and_then(Value::as_object).into_iter().flatten();
        let texts =
            fields.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        let priority = android["priority"].as_str().unwrap_or_default();
        Self { data: texts.collect(), is_high_priority: priority.eq_ignore_ascii_case("high") }
    }
}

impl Device {
    fn keep(&mut self, checked: &Checked, message: Value) {
        if checked.validate_only {
            self.validated.push(message);
            return;
        }
        self.delivered.push(message);
        if let Some(key) = &checked.collapse_key {
            self.collapse_keys.retain(|known| known != key);
            self.collapse_keys.push_back(key.clone());
            if self.collapse_keys.len() > COLLAPSE_KEYS {
                // Which one goes is not promised; here the oldest.
                self.collapse_keys.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The handler gets the map that Android gets, and nothing of the envelope.
    #[test]
    fn a_delivered_message_is_its_data_map() {
        let message = json!({"data": {"a": "1"}, "android": {"priority": "HIGH", "ttl": "5s"}});
        let delivered = Delivered::new(&message);
        assert!(delivered.is_high_priority);
        assert_eq!(delivered.data, BTreeMap::from([("a".to_owned(), "1".to_owned())]));
        let message = json!({"data": {"a": "1"}, "android": {"data": {"b": "2"}}});
        let delivered = Delivered::new(&message);
        assert!(!delivered.is_high_priority);
        assert_eq!(delivered.data, BTreeMap::from([("b".to_owned(), "2".to_owned())]));
        assert!(Delivered::new(&json!({"notification": {}})).data.is_empty());
    }
}
