//! Heartbeats: pings with the heads, and the end of sessions that are silent.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Device, Gateway, Socket, check, put};

const HEARTBEAT: Duration = Duration::from_secs(10);

async fn open(device: &Device, subscribe: Value) -> Socket {
    let mut hello = device.hello();
    hello["heartbeat_s"] = json!(10);
    let streams = 1 + subscribe.as_array().unwrap().len();
    hello["subscribe"] = subscribe;
    let (mut socket, _) = device.open_with(&hello).await;
    for _ in 0..streams {
        socket.snapshot().await;
    }
    socket
}

/// Each ping names the head of every stream followed; `pong` keeps it alive.
#[tokio::test]
async fn pings_name_the_heads() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = open(&phone, json!(["news"])).await;
    gateway.said();
    for n in 1..=3 {
        gateway.pass_time(HEARTBEAT).await;
        socket.expect("ping").await;
        socket.send(&json!({ "type": "pong" })).await;
        socket.expect_nothing_pending().await;
        backend.publish("news", json!([put("a", &json!({ "n": n }))])).await;
        let events = socket.expect("events").await;
        socket.ack(&events).await;
    }
    check!("pings", gateway.said());
}

/// Two intervals without a frame of any kind end the session.
#[tokio::test]
async fn silence_ends_a_session() {
    let gateway = Gateway::start().await;
    let mut socket = open(&gateway.device("phone", "u1"), json!([])).await;
    gateway.pass_time(HEARTBEAT).await;
    socket.expect("ping").await;
    gateway.pass_time(HEARTBEAT).await;
    socket.expect_close(4408, "heartbeat_timeout").await;
}

/// Any frame counts, those of the WebSocket itself included.
#[tokio::test]
async fn any_frame_keeps_a_session_alive() {
    let gateway = Gateway::start().await;
    let mut socket = open(&gateway.device("phone", "u1"), json!([])).await;
    for n in 0..4 {
        gateway.pass_time(HEARTBEAT).await;
        socket.expect("ping").await;
        if n % 2 == 0 {
            socket.send_raw(Message::Ping("alive".into())).await;
            assert_eq!(socket.message().await, Message::Pong("alive".into()));
        } else {
            socket.send(&json!({ "type": "ack", "cursors": {} })).await;
            socket.expect_nothing_pending().await;
        }
    }
}
