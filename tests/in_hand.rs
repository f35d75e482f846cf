//! A session while one of its frames waits for the writer: a commit that takes
//! long holds up answers, and nothing else.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Device, Gateway, Setup, Socket, Token, cursor, eventually};

const HEARTBEAT: Duration = Duration::from_secs(10);

/// A gateway whose writer waits for as long as a test holds it.
async fn patient() -> Gateway {
    let setup = ["acquire_timeout_ms", "statement_timeout_ms", "lock_timeout_ms"]
        .into_iter()
        .fold(Setup::new(), |setup, name| setup.set(&format!("database.{name}"), "60000"));
    setup.start().await
}

/// A session that has 500 of these commands and no room for the others.
async fn with_full_window(
    gateway: &Gateway,
    phone: &Device,
    count: usize,
) -> (Socket, Value, Vec<String>) {
    let (socket, welcome) = phone.open_with(&phone.hello()).await;
    socket.close().await;
    let epoch = welcome["streams"]["user:u1"]["epoch"].clone();
    let ids = gateway.backend().make_many("u1", count, 1).await;
    let mut hello = phone.hello();
    hello["cursors"] = cursor("user:u1", &epoch, 0);
    hello["heartbeat_s"] = json!(10);
    let (mut socket, _) = phone.open_with(&hello).await;
    socket.entries(500).await;
    (socket, epoch, ids)
}

fn applied(id: &str, reference: impl Into<Value>) -> Value {
    let row = json!({ "command_id": id, "status": "applied" });
    json!({ "type": "results", "results": [row], "ref": reference.into() })
}

/// Acks are heard, what they make room for is delivered, and pings come.
#[tokio::test]
async fn the_session_goes_on() {
    let gateway = patient().await;
    let phone = gateway.device("phone", "u1");
    let (mut socket, epoch, ids) = with_full_window(&gateway, &phone, 520).await;
    let held = gateway.hold_commits("user:u1").await;
    socket.send(&applied(&ids[0], "r")).await;
    socket.send(&json!({ "type": "ack", "cursors": cursor("user:u1", &epoch, 10) })).await;
    assert_eq!(socket.entries(10).await[9]["seq"], 510);
    for _ in 0..2 {
        gateway.pass_time(HEARTBEAT).await;
        socket.expect("ping").await;
        socket.send(&json!({ "type": "pong" })).await;
        socket.send(&json!({ "type": "ack", "cursors": cursor("user:u1", &epoch, 10) })).await;
    }
    drop(held);
    let answer = socket.expect("results_ok").await;
    assert_eq!((&answer["ref"], &answer["results"][0]["accepted"]), (&json!("r"), &json!(true)));
}

/// Whatever has an answer waits for its turn.
#[tokio::test]
async fn answers_keep_the_order_of_the_frames() {
    let gateway = patient().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    let id = backend.make("u1", "steps").await;
    socket.entries(1).await;
    let held = gateway.hold_commits("user:u1").await;
    socket.send(&applied(&id, 0)).await;
    socket.send(&json!({ "type": "unsubscribe", "streams": ["news"], "ref": 1 })).await;
    socket.send(&json!({ "type": "dance", "ref": 2 })).await;
    socket.send(&json!({ "type": "results", "results": [], "ref": 3 })).await;
    socket.send(&json!({ "type": "subscribe", "streams": ["news"], "ref": 4 })).await;
    let token = Token::device("u1").sign();
    socket.send(&json!({ "type": "auth", "token": token, "ref": 5 })).await;
    socket.send(&json!({ "type": "unsubscribe", "streams": ["news"], "ref": 6 })).await;
    gateway.pass_time(Duration::from_secs(30)).await;
    socket.expect("ping").await;
    drop(held);
    let mut answers = Vec::new();
    while answers.len() < 7 {
        let frame = socket.receive().await;
        if frame["ref"] != json!(null) {
            answers.push((frame["type"].as_str().unwrap().to_owned(), frame["ref"].clone()));
        }
    }
    let types = ["results_ok", "streams", "error", "results_ok", "streams", "auth_ok", "streams"];
    let expected = types.iter().enumerate().map(|(n, name)| ((*name).to_owned(), json!(n)));
    assert_eq!(answers, expected.collect::<Vec<_>>());
}

/// A client that goes on and on is not read at last, and is not taken for
/// silent then; nothing of it is lost.
#[tokio::test]
async fn what_waits_is_bounded() {
    let gateway = patient().await;
    let phone = gateway.device("phone", "u1");
    let (mut socket, epoch, ids) = with_full_window(&gateway, &phone, 520).await;
    let held = gateway.hold_commits("user:u1").await;
    for (n, id) in ids.iter().take(40).enumerate() {
        socket.send(&applied(id, n)).await;
    }
    socket.send(&json!({ "type": "ack", "cursors": cursor("user:u1", &epoch, 10) })).await;
    for _ in 0..4 {
        gateway.pass_time(HEARTBEAT).await;
        socket.expect("ping").await;
    }
    drop(held);
    let mut answers = 0;
    while answers < 40 {
        let frame = socket.receive().await;
        if frame["type"] == "results_ok" {
            assert_eq!(frame["ref"], answers);
            answers += 1;
        }
    }
}

/// What the writer was given is done, however the session ends meanwhile. The
/// device says it again, and hears what became of it.
#[tokio::test]
async fn what_was_handed_over_is_done() {
    let mut gateway = patient().await;
    let phone = gateway.device("phone", "u1");
    for end in ["gone", "replaced", "drain"] {
        let phone = gateway.device_with_id("phone", "u1", &phone.id);
        let mut socket = phone.open().await;
        let id = gateway.backend().make("u1", end).await;
        socket.entries(1).await;
        let held = gateway.hold_commits("user:u1").await;
        socket.send(&applied(&id, end)).await;
        // It is heard after the results, and has no answer.
        socket.send_raw(Message::Ping("x".into())).await;
        assert!(matches!(socket.message().await, Message::Pong(_)));
        match end {
            "gone" => {
                socket.close().await;
                drop(held);
            }
            "replaced" => {
                let mut newer = phone.connect().await;
                newer.send(&phone.hello()).await;
                socket.expect_close(4409, "replaced").await;
                drop(held);
                newer.expect("welcome").await;
            }
            _ => {
                tokio::join!(gateway.stop(), async {
                    socket.expect("drain").await;
                    socket.expect_close(1012, "drain").await;
                    drop(held);
                });
                gateway.restart().await;
            }
        }
        let backend = gateway.backend();
        eventually("the outcome", async || {
            (backend.command(&id).await["status"] == "applied").then_some(())
        })
        .await;
        let phone = gateway.device_with_id("phone", "u1", &phone.id);
        let mut socket = phone.open().await;
        socket.send(&applied(&id, "again")).await;
        let answer = socket.expect("results_ok").await;
        assert_eq!(answer["results"][0]["accepted"], true, "{end}");
        socket.close().await;
    }
}
