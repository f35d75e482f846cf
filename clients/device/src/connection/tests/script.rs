//! A gateway that says exactly what a test tells it to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tidegate_protocol::id::StreamName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_util::sync::CancellationToken;

use crate::device::{Builder, Device};
use crate::handler::{Change, Command, Handler, HandlerError, Outcome};
use crate::settings::Settings;
use crate::state::StopReason;
use crate::store::IN_MEMORY;
use crate::token::{StaticToken, Token};

pub(super) const EPOCH: &str = "0a1b2c3d";
pub(super) const COMMAND: &str = "00000000-0000-7000-8000-00000000000a";

/// Nothing in these tests takes this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Remembers what it was asked to do.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) executed: Mutex<Vec<String>>,
    pub(super) changed: Mutex<Vec<String>>,
    pub(super) expired: Mutex<Vec<String>>,
    /// Refuses changes this many times.
    pub(super) refusals: Mutex<u32>,
}

impl Handler for Recorder {
    async fn execute(&self, command: &Command) -> Outcome {
        self.executed.lock().unwrap().push(command.value.get().to_owned());
        Outcome::Applied
    }

    fn on_expired(&self, command: &Command) {
        self.expired.lock().unwrap().push(command.id.to_string());
    }

    async fn on_changes(&self, _: &StreamName, changes: &[Change]) -> Result<(), HandlerError> {
        let mut refusals = self.refusals.lock().unwrap();
        if *refusals > 0 {
            *refusals -= 1;
            return Err(HandlerError("full".to_owned()));
        }
        self.changed.lock().unwrap().extend(changes.iter().map(|change| change.id.clone()));
        Ok(())
    }
}

pub(super) fn quick() -> Settings {
    Settings {
        retry_initial: Duration::from_millis(5),
        retry_longest: Duration::from_millis(20),
        ack_delay: Duration::from_millis(5),
        results_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_secs(2),
        socket_interval: Duration::from_millis(200),
        poll_wait_s: 1,
        doubt_after: PATIENCE,
        refused_token_wait: Duration::from_millis(50),
        ..Settings::default()
    }
}

/// At the time that `welcome` names.
const OK: &str = "200 OK\r\ndate: Sat, 21 Nov 2026 08:00:00 GMT";

pub(super) struct Gateway {
    listener: TcpListener,
    pub(super) url: String,
    /// Bodies of the registrations so far.
    pub(super) registered: Mutex<Vec<Value>>,
}

impl Gateway {
    pub(super) async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url, registered: Mutex::default() }
    }

    pub(super) fn builder(&self) -> Builder<Recorder, StaticToken> {
        let tokens = StaticToken(Token::new("secret"));
        Device::builder(&self.url, tokens, Recorder::default()).store(IN_MEMORY).settings(quick())
    }

    pub(super) async fn tcp(&self) -> TcpStream {
        timeout(PATIENCE, self.listener.accept()).await.expect("nobody connects").unwrap().0
    }

    /// Whether anybody connects within this time.
    pub(super) async fn is_called_within(&self, wait: Duration) -> bool {
        timeout(wait, self.listener.accept()).await.is_ok()
    }

    /// Refuses the next connection, whatever it asks for.
    pub(super) async fn refuse(&self, status: &str) {
        let mut stream = self.tcp().await;
        read_request(&mut stream).await;
        write_answer(&mut stream, status, &json!({})).await;
    }

    /// Accepts a socket and reads its hello.
    pub(super) async fn accept(&self) -> (Peer, Value) {
        Peer::upgrade(self.tcp().await).await
    }

    /// Accepts a socket and resumes the user's stream at its cursor, or resets
    /// it with an empty snapshot at 0.
    pub(super) async fn accept_live(&self) -> (Peer, Value) {
        let (mut peer, hello) = self.accept().await;
        let held = hello["cursors"]["user:u1"]["seq"].as_i64();
        let verdict = if held.is_some() { "resumed" } else { "reset" };
        peer.send(&welcome(&hello, verdict)).await;
        if held.is_none() {
            peer.send(&json!({"type": "snapshot", "stream": "user:u1", "epoch": EPOCH, "seq": 0,
                "items": [], "last": true}))
                .await;
            assert_eq!(peer.recv().await["type"], "ack");
        }
        (peer, hello)
    }

    /// Answers HTTP requests (`/path?query`, body) until `answer` says stop.
    /// Registrations are noted and succeed.
    pub(super) async fn http(&self, mut answer: impl FnMut(&str, Value) -> Http) {
        loop {
            let mut stream = self.tcp().await;
            let (target, body) = read_request(&mut stream).await;
            let answer = if target == "/api/v1/devices/register" {
                let device_id = body["device_id"].clone();
                self.registered.lock().unwrap().push(body);
                Http::Json(json!({"success": true, "device_id": device_id}))
            } else {
                answer(&target, body)
            };
            let (status, answer, is_last) = match answer {
                Http::Json(answer) => (OK, answer, false),
                Http::Last(answer) => (OK, answer, true),
                Http::LastUndated(answer) => ("200 OK", answer, true),
                Http::Status(status, answer) => (status, answer, false),
            };
            write_answer(&mut stream, status, &answer).await;
            if is_last {
                return;
            }
        }
    }
}

/// What to answer to an HTTP request.
pub(super) enum Http {
    Json(Value),
    Last(Value),
    /// As from a proxy that takes the date off.
    LastUndated(Value),
    Status(&'static str, Value),
}

/// Answers a request. `status` may bring headers of its own, each on a line.
async fn write_answer(stream: &mut TcpStream, status: &str, answer: &Value) {
    let answer = answer.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        answer.len()
    );
    stream.write_all(format!("{head}{answer}").as_bytes()).await.unwrap();
}

async fn read_request(stream: &mut TcpStream) -> (String, Value) {
    let mut request = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap();
        request.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        if body.len() >= length.unwrap_or(0) {
            let target = head.split(' ').nth(1).unwrap().to_owned();
            return (target, serde_json::from_str(body).unwrap_or_default());
        }
    }
}

pub(super) struct Peer {
    socket: WebSocketStream<TcpStream>,
    /// What it was opened with.
    pub(super) token: String,
}

impl Peer {
    /// Makes a connection a socket and reads its hello.
    pub(super) async fn upgrade(stream: TcpStream) -> (Self, Value) {
        let mut token = String::new();
        #[expect(clippy::result_large_err, reason = "the type of the callback")]
        let check = |request: &Request, mut response: Response| {
            assert_eq!(request.uri().path(), "/api/v1/sync/ws");
            assert_eq!(request.uri().query(), None, "no token in the URL");
            let bearer = request.headers()["authorization"].to_str().unwrap();
            bearer.strip_prefix("Bearer ").unwrap().clone_into(&mut token);
            assert_eq!(request.headers()["sec-websocket-protocol"], "tidegate.v1");
            let protocol = HeaderValue::from_static("tidegate.v1");
            response.headers_mut().insert("sec-websocket-protocol", protocol);
            Ok::<Response, ErrorResponse>(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, check).await.unwrap();
        let mut peer = Peer { socket, token };
        let hello = peer.recv().await;
        assert_eq!(hello["type"], "hello");
        (peer, hello)
    }

    pub(super) async fn recv(&mut self) -> Value {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await.expect("nothing comes");
            match message.expect("the device went away").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(_) => panic!("the device closed"),
                _ => {}
            }
        }
    }

    pub(super) async fn send(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// Everything the device has said by now, up to this answer to a ping.
    pub(super) async fn said(&mut self) -> Vec<Value> {
        self.send(&json!({"type": "ping", "heads": {}})).await;
        let mut said = Vec::new();
        loop {
            let frame = self.recv().await;
            if frame["type"] == "pong" {
                return said;
            }
            said.push(frame);
        }
    }

    pub(super) async fn close(self, code: u16) {
        self.close_with(code, "word").await;
    }

    pub(super) async fn close_with(mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
        self.socket.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// Waits for the device to end the session.
    pub(super) async fn gone(mut self) {
        let end = async { while let Some(Ok(_)) = self.socket.next().await {} };
        timeout(PATIENCE, end).await.expect("the device stays");
    }
}

pub(super) fn welcome(hello: &Value, verdict: &str) -> Value {
    json!({"type": "welcome", "session_id": "s", "heartbeat_s": 30,
        "device_id": hello["device"]["id"], "server_time": "2026-11-21T08:00:00.000Z",
        "limits": {"frame_bytes": 262_144, "entry_bytes": 131_072,
                   "page_entries": 200, "window_entries": 500},
        "streams": {"user:u1": {"epoch": EPOCH, "head": 9, "verdict": verdict}}})
}

/// An `events` frame of the user's stream with one entry at its end.
pub(super) fn event(prev: i64, seq: i64, kind: &str, body: &Value) -> Value {
    json!({"type": "events", "stream": "user:u1", "epoch": EPOCH, "prev": prev, "seq": seq,
        "entries": [{"seq": seq, "kind": kind, "at": "2026-11-21T08:00:00.000Z", "body": body}]})
}

pub(super) fn command(attempt: i32) -> Value {
    json!({"command_id": COMMAND, "attempt": attempt, "data_type": "steps", "value": {"n": 1},
        "priority": "normal", "expires_at": "2099-01-01T00:00:00.000Z"})
}

pub(super) fn record(id: &str) -> Value {
    json!({"collection": "c", "id": id, "version": 1, "op": "put", "data": {}})
}

pub(super) fn results_ok() -> Value {
    json!({"type": "results_ok",
        "results": [{"command_id": COMMAND, "status": "applied", "accepted": true}]})
}

/// Runs the device beside the script; the script's end cancels it.
pub(super) async fn play<H: Handler, T: crate::token::TokenProvider>(
    device: &Device<H, T>,
    script: impl Future<Output = ()>,
) -> Result<(), StopReason> {
    let cancel = CancellationToken::new();
    let script = async {
        timeout(PATIENCE, script).await.expect("the script does not end");
        cancel.cancel();
    };
    // Boxed: what runs a device is large, and each script holds it.
    tokio::join!(Box::pin(device.run(cancel.clone())), script).0
}

/// Gives the token that stands here; the test changes it.
pub(super) type Given = Arc<Mutex<String>>;

pub(super) fn given(
    token: &Given,
) -> impl Fn() -> std::future::Ready<Result<Token, crate::token::TokenError>> + Send + Sync + use<>
{
    let token = Arc::clone(token);
    move || std::future::ready(Ok(Token::new(token.lock().unwrap().clone())))
}
