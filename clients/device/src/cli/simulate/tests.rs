//! The load generator against a small gateway in memory: it finds nothing
//! wrong where nothing is, resumes through cuts, and sees planted faults.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures_util::{SinkExt, StreamExt};
use jsonwebtoken::{DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_protocol::id::CommandId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::*;

const SECRET: &str = "a secret only for this test, long enough";
const AT: &str = "2026-11-21T08:00:00.000Z";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The second entry of each user is never delivered.
    Lose,
    /// The second entry of each user is journalled twice.
    Double,
}

struct Fake {
    fault: Fault,
    /// Command bodies by user; the position is the index plus one.
    journal: Mutex<BTreeMap<String, Vec<Value>>>,
    changed: watch::Sender<()>,
}

impl Fake {
    async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let fake = Arc::clone(&self);
            connections.spawn(async move {
                let mut method = [0; 4];
                stream.peek(&mut method).await.unwrap();
                // A device that is cut ends this task with an error: its right.
                let _ = if &method == b"POST" {
                    fake.http(stream).await
                } else {
                    fake.socket(stream).await
                };
            });
        }
    }

    async fn http(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
        let commands: Value = loop {
            let read = stream.read(&mut chunk).await?;
            request.extend_from_slice(&chunk[..read]);
            let text = String::from_utf8_lossy(&request);
            let Some((_, body)) = text.split_once("\r\n\r\n") else { continue };
            if let Ok(body) = serde_json::from_str(body) {
                break body;
            }
        };
        let rows: Vec<_> =
            commands["commands"].as_array().unwrap().iter().map(|c| self.accept(c)).collect();
        self.changed.send_replace(());
        let body = json!({"results": rows}).to_string();
        let length = body.len();
        let head =
            format!("HTTP/1.1 207 M\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        Ok(stream.write_all(format!("{head}{body}").as_bytes()).await?)
    }

    fn accept(&self, command: &Value) -> Value {
        let id = CommandId::generate();
        let user = command["user_id"].as_str().unwrap();
        let body = json!({"command_id": id, "attempt": 1, "data_type": "x", "priority": "normal",
            "value": command["value"], "expires_at": "2099-01-01T00:00:00.000Z"});
        let mut journal = self.journal.lock().unwrap();
        let entries = journal.entry(user.to_owned()).or_default();
        entries.push(body.clone());
        let seq = entries.len();
        if self.fault == Fault::Double && seq == 2 {
            entries.push(body);
        }
        json!({"status": 202, "command": {"command_id": id, "status": "pending", "seq": seq,
            "stream": format!("user:{user}"), "expires_at": AT}})
    }

    async fn socket(&self, stream: TcpStream) -> anyhow::Result<()> {
        let mut user = String::new();
        #[expect(clippy::result_large_err, reason = "the type of the callback")]
        let check = |request: &Request, mut response: Response| {
            user = subject(request.headers()["authorization"].to_str().unwrap());
            let protocol = HeaderValue::from_static("tidegate.v1");
            response.headers_mut().insert("sec-websocket-protocol", protocol);
            Ok::<Response, ErrorResponse>(response)
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(stream, check).await?;
        let mut changed = self.changed.subscribe();
        let own = format!("user:{user}");
        let Some(hello) = socket.next().await else { return Ok(()) };
        let hello: Value = serde_json::from_str(hello?.to_text()?)?;
        let held = hello["cursors"][&own]["seq"].as_u64();
        for frame in opening(&hello, &own, held) {
            socket.send(Message::text(frame.to_string())).await?;
        }
        let mut position = usize::try_from(held.unwrap_or(0))?;
        loop {
            if let Some(events) = self.events(&user, &own, &mut position) {
                socket.send(Message::text(events.to_string())).await?;
            }
            tokio::select! {
                _ = changed.changed() => {}
                frame = socket.next() => {
                    let Some(frame) = frame else { return Ok(()) };
                    let frame: Value = serde_json::from_str(frame?.to_text()?)?;
                    if frame["type"] == "results" {
                        socket.send(Message::text(confirmation(&frame).to_string())).await?;
                    }
                }
            }
        }
    }

    fn events(&self, user: &str, own: &str, position: &mut usize) -> Option<Value> {
        let journal = self.journal.lock().unwrap();
        let entries = journal.get(user).filter(|entries| entries.len() > *position)?;
        let mut page = Vec::new();
        for (seq, body) in (1..).zip(entries).skip(*position) {
            if self.fault != Fault::Lose || seq != 2 {
                page.push(json!({"seq": seq, "kind": "command", "at": AT, "body": body}));
            }
        }
        let prev = std::mem::replace(position, entries.len());
        Some(json!({"type": "events", "stream": own, "epoch": "0a1b2c3d", "prev": prev,
            "seq": entries.len(), "entries": page}))
    }
}

fn subject(bearer: &str) -> String {
    #[derive(Deserialize)]
    struct Sub {
        sub: String,
    }
    let token = bearer.strip_prefix("Bearer ").unwrap();
    let key = DecodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::decode::<Sub>(token, &key, &Validation::default()).unwrap().claims.sub
}

fn opening(hello: &Value, own: &str, held: Option<u64>) -> Vec<Value> {
    let verdict = if held.is_some() { "resumed" } else { "reset" };
    let welcome = json!({"type": "welcome", "session_id": "s", "heartbeat_s": 30,
        "device_id": hello["device"]["id"], "server_time": AT,
        "limits": {"frame_bytes": 1, "entry_bytes": 1, "page_entries": 1, "window_entries": 1},
        "streams": {own: {"epoch": "0a1b2c3d", "head": 0, "verdict": verdict}}});
    let snapshot = json!({"type": "snapshot", "stream": own, "epoch": "0a1b2c3d", "seq": 0,
        "items": [], "last": true});
    if held.is_some() { vec![welcome] } else { vec![welcome, snapshot] }
}

fn confirmation(results: &Value) -> Value {
    let row = |result: &Value| {
        json!({"command_id": result["command_id"], "status": "applied",
        "accepted": true})
    };
    let rows: Vec<_> = results["results"].as_array().unwrap().iter().map(row).collect();
    json!({"type": "results_ok", "results": rows})
}

async fn simulate(fault: Fault, cut_every_ms: Option<u64>) -> Report {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let simulate = Simulate {
        url: format!("http://{}", listener.local_addr().unwrap()),
        devices: 20,
        rate: 400,
        duration_s: 1,
        settle_s: if fault == Fault::Lose { 1 } else { 10 },
        service_token: None,
        hs256_secret: SECRET.to_owned(),
        cut_every_ms,
        seed: Some(7),
    };
    let fake = Fake { fault, journal: Mutex::default(), changed: watch::Sender::new(()) };
    let report = tokio::select! {
        report = account(&simulate, 7) => report.unwrap(),
        () = Arc::new(fake).serve(listener) => unreachable!("serves for ever"),
    };
    assert!(report.accepted >= 200, "{report:?}");
    report
}

/// Cuts cost reconnects and nothing else.
#[tokio::test]
async fn a_sound_gateway_gets_a_clean_account() {
    let report = simulate(Fault::None, Some(10)).await;
    assert!(report.is_clean(), "{report:?}");
    assert!(report.reconnects > 10, "{report:?}");
    assert_eq!(report.delivered, report.accepted);
    assert_eq!(report.results_ok, report.accepted);
}

#[tokio::test]
async fn lost_commands_are_found() {
    let report = simulate(Fault::Lose, None).await;
    assert_eq!((report.missing, report.duplicate), (20, 0), "one for each user: {report:?}");
}

#[tokio::test]
async fn doubled_commands_are_found() {
    let report = simulate(Fault::Double, None).await;
    assert_eq!((report.missing, report.duplicate), (0, 20), "one for each user: {report:?}");
}
