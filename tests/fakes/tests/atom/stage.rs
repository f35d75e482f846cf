//! A marketplace at a standing clock, and a caller.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tidegate_clock::{Clock, Hands};
use tidegate_fakes::atom::{FakeAtom, Generation};
use tidegate_protocol::time::Timestamp;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// 2026-11-18T11:06:40Z.
pub(crate) const START_MS: i64 = 1_795_000_000_000;

/// Bounds what would hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Stage {
    pub(crate) atom: FakeAtom,
    pub(crate) hands: Hands,
    client: reqwest::Client,
}

/// Where things are, after the base address.
pub(crate) struct Names {
    pub(crate) skills: &'static str,
    pub(crate) categories: &'static str,
}

impl Stage {
    pub(crate) async fn new(generation: Generation) -> Self {
        let (clock, hands) = Clock::standing(Timestamp::from_millis(START_MS));
        let atom = FakeAtom::start_on(0, generation, clock).await.unwrap();
        // No pool: each request fails or succeeds on a connection of its own.
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
        Self { atom, hands, client: client.build().unwrap() }
    }

    /// Generation B with this many skills and three categories.
    pub(crate) async fn filled(skills: usize) -> Self {
        let stage = Self::new(Generation::B).await;
        stage.atom.fill(skills, 3);
        stage
    }

    pub(crate) fn names(&self) -> Names {
        match self.atom.generation() {
            Generation::A => {
                Names { skills: "/marketplace/skills", categories: "/marketplace/categories" }
            }
            Generation::B => Names { skills: "/api/v1/skills", categories: "/api/v1/categories" },
            Generation::C => Names {
                skills: "/skills/marketplace/skills",
                categories: "/skills/marketplace/categories",
            },
        }
    }

    /// A request with all that this generation asks for.
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let token = self.atom.token();
        let request = self.bare(method, path);
        match self.atom.generation() {
            Generation::A | Generation::B => request.bearer_auth(token),
            Generation::C => request
                .header("X-API-Token", token)
                .header("X-Federation-Key", token)
                .header("X-Instance-ID", "instance-1"),
        }
    }

    /// A request that says nothing of who asks.
    pub(crate) fn bare(&self, method: &str, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.atom.url());
        self.client.request(method.parse().unwrap(), url)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request("GET", path).send().await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> (u16, Value) {
        read(self.get(path).await).await
    }

    pub(crate) async fn page(&self, query: &str) -> Value {
        let (status, page) = self.json(&format!("{}?{query}", self.names().skills)).await;
        assert_eq!(status, 200);
        page
    }

    pub(crate) async fn rate(&self, id: &str, body: &Value) -> (u16, Value) {
        let path = match self.atom.generation() {
            Generation::B => "/api/v1/ratings".to_owned(),
            _ => format!("{}/{id}/rate", self.names().skills),
        };
        read(self.request("POST", &path).json(body).send().await.unwrap()).await
    }

    pub(crate) async fn connect(&self) -> Result<Socket, Error> {
        let url = format!("{}?token={}", self.atom.ws_url(), self.atom.token());
        Ok(Socket(connect_async(url).await?.0))
    }
}

async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

pub(crate) fn ids(page: &Value) -> Vec<&str> {
    let skills = page["skills"].as_array().unwrap();
    skills.iter().map(|skill| skill["skill_id"].as_str().unwrap()).collect()
}

/// The status with which a socket was refused.
pub(crate) fn refusal(opened: Result<Socket, Error>) -> Option<StatusCode> {
    match opened {
        Err(Error::Http(response)) => StatusCode::from_u16(response.status().as_u16()).ok(),
        _ => None,
    }
}

pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn next(&mut self) -> Option<Result<Message, Error>> {
        tokio::time::timeout(PATIENCE, self.0.next()).await.unwrap()
    }

    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("{other:?} is not a text"),
        }
    }

    pub(crate) async fn message(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// Until the connection ends; whether it was closed in order.
    pub(crate) async fn end(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(Ok(message)) = self.next().await {
            if let Message::Close(Some(frame)) = message {
                code = Some(frame.code.into());
            }
        }
        code
    }
}
