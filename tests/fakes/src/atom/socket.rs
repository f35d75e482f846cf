//! The marketplace's WebSocket: who may open one, and what is said on it.
//!
//! A socket hears what is announced after its upgrade was answered, in order;
//! what came before is never told again.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use url::form_urlencoded;

use crate::answer;
use crate::atom::Marketplace;
use crate::atom::answer::rate_limited;
use crate::atom::limit::SOCKET_ATTEMPTS;
use crate::feed::{Feed, Growth};
use crate::record::Record;
use crate::server::Takeover;

/// How long an instance may take to answer a ping.
const PONG_WAIT: Duration = Duration::from_secs(10);

/// Largest message that is read.
const MESSAGE_BYTES: usize = 1024 * 1024;

/// Everything that sockets share.
#[derive(Debug)]
pub(crate) struct Sockets {
    said: Mutex<Vec<Spoken>>,
    more: Growth,
    pub(crate) heard: Record<Value>,
    open: watch::Sender<usize>,
    /// Grows when all sockets are cut.
    cuts: watch::Sender<usize>,
    pub(crate) frozen: watch::Sender<bool>,
    pub(crate) pings: watch::Sender<Option<Duration>>,
    pub(crate) are_pongs_mute: AtomicBool,
    pub(crate) refusals: AtomicUsize,
}

/// What is said to all sockets.
#[derive(Clone, Debug)]
pub(crate) enum Spoken {
    Text(String),
    Close(u16),
}

impl Default for Sockets {
    fn default() -> Self {
        Self {
            said: Mutex::default(),
            more: Growth::default(),
            heard: Record::default(),
            open: watch::Sender::new(0),
            cuts: watch::Sender::new(0),
            frozen: watch::Sender::new(false),
            pings: watch::Sender::new(None),
            are_pongs_mute: AtomicBool::default(),
            refusals: AtomicUsize::default(),
        }
    }
}

impl Sockets {
    pub(crate) fn say(&self, spoken: Spoken) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push(spoken);
        self.more.note();
    }

    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    pub(crate) fn count(&self) -> watch::Receiver<usize> {
        self.open.subscribe()
    }

    fn is_next_refused(&self) -> bool {
        let take = |left: usize| left.checked_sub(1);
        self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }
}

/// Answers an upgrade request, and converses in the connection's task.
pub(crate) async fn upgrade(State(market): State<Marketplace>, mut parts: Parts) -> Response {
    let (word, response) = admit(&market, &mut parts);
    market.note("ws".to_owned(), parts, Value::Null, &response, word);
    if word == "hang" {
        std::future::pending::<()>().await;
    }
    response
}

fn admit(market: &Marketplace, parts: &mut Parts) -> (&'static str, Response) {
    let sockets = &market.shared.sockets;
    // Before the looks at what may refuse: a cut that comes in between is felt.
    let cuts = sockets.cuts.subscribe();
    if market.is_down() {
        return ("down", answer::drop_connection());
    }
    if !has_token(parts.uri.query().unwrap_or_default(), market.token()) {
        return ("unauthorized", market.unauthorized());
    }
    let now_ms = market.shared.clock.now().millis();
    if !market.shared.limit.allows("ws", SOCKET_ATTEMPTS, now_ms) {
        return ("limited", rate_limited(Some(60)));
    }
    if sockets.is_next_refused() {
        return ("refused", crate::atom::answer::error(503));
    }
    let scripted = market.shared.script.next_of(&["ws"]);
    if let Some(response) = scripted.without_looking() {
        return (scripted.name(), response);
    }
    let upgrade = accept_key(&parts.headers).zip(parts.extensions.remove::<OnUpgrade>());
    let Some((accept, on_upgrade)) = upgrade else {
        return ("not_an_upgrade", crate::atom::answer::error(426));
    };
    let headers =
        [(CONNECTION, "Upgrade"), (UPGRADE, "websocket"), (SEC_WEBSOCKET_ACCEPT, accept.as_str())];
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
    let conversation = Conversation::new(market, cuts);
    response.extensions_mut().insert(Takeover::new(async move {
        if let Ok(upgraded) = on_upgrade.await {
            conversation.hold(upgraded).await;
        }
    }));
    ("ok", response)
}

fn has_token(query: &str, token: &str) -> bool {
    let mut fields = form_urlencoded::parse(query.as_bytes());
    fields.any(|(name, value)| name == "token" && value == token)
}

fn accept_key(headers: &HeaderMap) -> Option<String> {
    let names = |name, word: &str| {
        let value = headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        value.is_some_and(|value| value.to_ascii_lowercase().contains(word))
    };
    let is_asked = names(CONNECTION, "upgrade") && names(UPGRADE, "websocket");
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| is_asked)?;
    Some(derive_accept_key(key.as_bytes()))
}

/// One socket, from the answer to its upgrade on.
struct Conversation {
    market: Marketplace,
    cuts: watch::Receiver<usize>,
    frozen: watch::Receiver<bool>,
    pings: watch::Receiver<Option<Duration>>,
    feed: Feed<Spoken>,
    next_ping: Option<Instant>,
    pong_due: Option<Instant>,
    _counted: Counted,
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

impl Conversation {
    fn new(market: &Marketplace, cuts: watch::Receiver<usize>) -> Self {
        let sockets = &market.shared.sockets;
        let heard_before = sockets.said.lock().unwrap_or_else(PoisonError::into_inner).len();
        let read = Arc::clone(&market.shared);
        let feed = sockets.more.feed_after(heard_before, move |index| {
            read.sockets.said.lock().unwrap_or_else(PoisonError::into_inner).get(index).cloned()
        });
        Self {
            market: market.clone(),
            cuts,
            frozen: sockets.frozen.subscribe(),
            pings: sockets.pings.subscribe(),
            feed,
            next_ping: None,
            pong_due: None,
            _counted: Counted::new(market),
        }
    }

    /// Until the instance closes, or all sockets are cut.
    async fn hold(mut self, upgraded: Upgraded) {
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES));
        let io = TokioIo::new(upgraded);
        let mut ws = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        let mut cuts = self.cuts.clone();
        let talking = pin!(self.talk(&mut ws));
        // A cut ends even a write that is stuck. The connection is dropped as
        // it is, without a close frame.
        tokio::select! {
            biased;
            _ = cuts.changed() => {}
            ended = talking => tracing::debug!(?ended, "marketplace socket ended"),
        }
    }

    async fn talk(&mut self, ws: &mut Socket) -> Result<(), Error> {
        self.set_ping_time();
        loop {
            let is_awake = !*self.frozen.borrow_and_update();
            // Orders of the test go first; then an instance is heard even
            // while it is flooded.
            tokio::select! {
                biased;
                _ = self.frozen.changed() => {}
                _ = self.pings.changed() => self.set_ping_time(),
                heard = ws.next(), if is_awake => match heard {
                    Some(Ok(Message::Text(text))) => self.hear(ws, &text).await?,
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Ok(()),
                },
                () = at(self.next_ping), if is_awake => self.ping(ws).await?,
                () = at(self.pong_due), if is_awake => {
                    self.pong_due = None;
                    close(ws, 1011, "pong timeout").await?;
                }
                spoken = self.feed.next(), if is_awake => match spoken {
                    Spoken::Text(text) => ws.send(Message::text(text)).await?,
                    Spoken::Close(code) => close(ws, code, "").await?,
                },
            }
        }
    }

    async fn hear(&mut self, ws: &mut Socket, text: &str) -> Result<(), Error> {
        let message = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        let kind = message["type"].as_str().unwrap_or_default().to_owned();
        let sockets = &self.market.shared.sockets;
        sockets.heard.push(message);
        match kind.as_str() {
            "pong" => self.pong_due = None,
            "ping" if !sockets.are_pongs_mute.load(Ordering::SeqCst) => {
                let pong = json!({"type": "pong", "timestamp": self.market.stamp()});
                ws.send(Message::text(pong.to_string())).await?;
            }
            _ => {}
        }
        Ok(())
    }

    fn set_ping_time(&mut self) {
        let period = *self.pings.borrow_and_update();
        self.next_ping = period.map(|period| Instant::now() + period);
    }

    async fn ping(&mut self, ws: &mut Socket) -> Result<(), Error> {
        self.set_ping_time();
        self.pong_due.get_or_insert(Instant::now() + PONG_WAIT);
        let ping = json!({"type": "ping", "timestamp": self.market.stamp()});
        ws.send(Message::text(ping.to_string())).await
    }
}

/// Begins to close; the instance's own close ends the conversation.
async fn close(ws: &mut Socket, code: u16, reason: &str) -> Result<(), Error> {
    ws.close(Some(CloseFrame { code: code.into(), reason: reason.into() })).await
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Counts a socket for as long as it lives.
struct Counted(Marketplace);

impl Counted {
    fn new(market: &Marketplace) -> Self {
        market.shared.sockets.open.send_modify(|open| *open += 1);
        Self(market.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.shared.sockets.open.send_modify(|open| *open -= 1);
    }
}
