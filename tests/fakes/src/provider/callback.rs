//! The other end of webhooks, for tests of who calls: confirms challenges and
//! takes events.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use serde_json::{Value, json};

use crate::answer;
use crate::provider::oauth::query;
use crate::record::Record;
use crate::script::Script;
use crate::server::{Bound, Server};

/// Something that was sent here.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
    /// What it was answered with.
    pub status: u16,
}

/// A running address. Confirms whoever knows its token.
#[derive(Debug)]
pub struct Callback {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    token: String,
    statuses: Script<u16>,
    deliveries: Record<Delivery>,
    challenges: Record<String>,
}

impl Callback {
    /// Starts on a free port. `token`: what challenges must name, and what
    /// `Authorization` must be where there is one.
    pub async fn start(token: &str) -> io::Result<Self> {
        let bound = Bound::to(0).await?;
        let shared = Arc::new(Shared {
            token: token.to_owned(),
            statuses: Script::new(200),
            deliveries: Record::default(),
            challenges: Record::default(),
        });
        let hook = get(challenged).post(told);
        let router = Router::new().route("/hook", hook).with_state(Arc::clone(&shared));
        Ok(Self { server: bound.serve(router), shared })
    }

    /// The address.
    pub fn url(&self) -> String {
        format!("{}/hook", self.server.url())
    }

    /// Statuses for the next events; then 200 again.
    pub fn answer_with(&self, statuses: impl IntoIterator<Item = u16>) {
        self.shared.statuses.extend("", statuses);
    }

    /// What was sent here so far, refused ones included.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.deliveries.all()
    }

    /// The queries of the challenges so far.
    pub fn challenges(&self) -> Vec<String> {
        self.shared.challenges.all()
    }
}

async fn challenged(State(shared): State<Arc<Shared>>, parts: Parts) -> Response {
    shared.challenges.push(parts.uri.query().unwrap_or_default().to_owned());
    let asked: HashMap<_, _> = query(&parts.uri);
    if let Some(code) = asked.get("verify") {
        let status = if *code == shared.token { 204 } else { 404 };
        return answer::typed(status, "text/plain", "");
    }
    for (token, challenge) in
        [("hub.verify_token", "hub.challenge"), ("verification_token", "challenge")]
    {
        if asked.get(token) == Some(&shared.token) {
            return answer::json(200, &json!({challenge: asked.get(challenge)}));
        }
    }
    answer::typed(403, "text/plain", "")
}

async fn told(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8_lossy(&body).into_owned();
    let is_handshake = serde_json::from_str::<Value>(&body)
        .is_ok_and(|value| value["type"].as_str() == Some("verification"));
    if is_handshake {
        let given = headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes);
        let status = if given == Some(shared.token.as_bytes()) { 200 } else { 401 };
        return answer::typed(status, "text/plain", "");
    }
    let status = shared.statuses.next("");
    shared.deliveries.push(Delivery { headers, body, status });
    answer::typed(status, "text/plain", "")
}
