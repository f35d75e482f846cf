//! Following and leaving shared streams in the middle of a session.

use serde_json::{Value, json};

use crate::support::{Gateway, Setup, Socket, check, cursor, put};

async fn subscribe(socket: &mut Socket, streams: Value, cursors: Value) -> Value {
    let frame = json!({ "type": "subscribe", "streams": streams, "cursors": cursors, "ref": "s" });
    socket.send(&frame).await;
    socket.expect("streams").await
}

/// A stream begins with its snapshot, goes on live, and ends when it is left.
#[tokio::test]
async fn streams_are_followed_and_left() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    backend.publish("news", json!([put("a", &json!({ "t": 1 }))])).await;
    gateway.said();
    subscribe(&mut socket, json!(["news"]), json!({})).await;
    socket.snapshot().await;
    backend.publish("news", json!([put("b", &json!({ "t": 2 }))])).await;
    socket.entries(1).await;
    socket.send(&json!({ "type": "unsubscribe", "streams": ["news"], "ref": "u" })).await;
    socket.expect("streams").await;
    backend.publish("news", json!([put("c", &json!({ "t": 3 }))])).await;
    socket.expect_nothing_pending().await;
    check!("followed_and_left", gateway.said());
}

/// A cursor resumes; without one a stream that is followed begins anew.
#[tokio::test]
async fn cursors_resume_and_their_absence_begins_anew() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    backend.publish("news", json!([put("a", &json!({}))])).await;
    backend.publish("news", json!([put("b", &json!({}))])).await;
    let answer = subscribe(&mut socket, json!(["news"]), json!({})).await;
    let snapshot = socket.snapshot().await;
    assert_eq!(snapshot.len(), 2);
    gateway.said();
    let epoch = &answer["streams"]["news"]["epoch"];
    subscribe(&mut socket, json!(["news"]), cursor("news", epoch, 1)).await;
    socket.entries(1).await;
    subscribe(&mut socket, json!(["news"]), json!({})).await;
    socket.snapshot().await;
    socket.expect_nothing_pending().await;
    check!("resume_and_anew", gateway.said());
}

/// What cannot be followed is named with its verdict; the session stays.
#[tokio::test]
async fn streams_that_cannot_be_followed_are_named() {
    let gateway = Gateway::start().await;
    let mut socket = gateway.device("phone", "u1").open().await;
    gateway.said();
    subscribe(&mut socket, json!(["user:u2", "nowhere"]), json!({})).await;
    subscribe(&mut socket, json!([]), json!({})).await;
    check!("refused", gateway.said());
}

/// The user's own stream is not left.
#[tokio::test]
async fn the_own_stream_always_comes() {
    let gateway = Gateway::start().await;
    let mut socket = gateway.device("phone", "u1").open().await;
    socket.send(&json!({ "type": "unsubscribe", "streams": ["user:u1", "news"] })).await;
    let answer = socket.expect("streams").await;
    assert_eq!(answer["streams"]["user:u1"]["verdict"], "resumed");
    gateway.backend().make("u1", "steps").await;
    socket.entries(1).await;
}

/// One stream too many is refused, and nothing of the frame is done.
#[tokio::test]
async fn a_session_follows_a_bounded_number_of_streams() {
    let gateway = Setup::new().set("limits.streams_per_session", "2").start().await;
    let mut socket = gateway.device("phone", "u1").open().await;
    gateway.said();
    let both = json!({ "type": "subscribe", "streams": ["news", "prices"], "ref": 1 });
    socket.send(&both).await;
    socket.expect("error").await;
    subscribe(&mut socket, json!(["prices"]), json!({})).await;
    socket.snapshot().await;
    check!("too_many", gateway.said());
}
