//! The window: how much a session may leave unacked before its stream waits.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Gateway, Setup, Socket, cursor, eventually, put};

/// A session of `u1` that resumed at 0, with so many commands waiting.
async fn with_backlog(gateway: &Gateway, commands: usize, bytes: usize) -> (Socket, Value) {
    let phone = gateway.device("phone", "u1");
    let (socket, welcome) = phone.open_with(&phone.hello()).await;
    socket.close().await;
    let epoch = welcome["streams"]["user:u1"]["epoch"].clone();
    gateway.backend().make_many("u1", commands, bytes).await;
    let mut hello = phone.hello();
    hello["subscribe"] = json!(["news"]);
    hello["cursors"] = cursor("user:u1", &epoch, 0);
    let (socket, _) = phone.open_with(&hello).await;
    (socket, epoch)
}

/// After 500 entries the stream waits; a partial ack lets as many through.
#[tokio::test]
async fn a_stream_waits_after_500_entries() {
    let gateway = Gateway::start().await;
    let (mut socket, epoch) = with_backlog(&gateway, 560, 1).await;
    socket.entries(500).await;
    socket.snapshot().await;
    socket.expect_nothing_pending().await;
    socket.send(&json!({ "type": "ack", "cursors": cursor("user:u1", &epoch, 50) })).await;
    let entries = socket.entries(50).await;
    assert_eq!((&entries[0]["seq"], &entries[49]["seq"]), (&json!(501), &json!(550)));
    socket.expect_nothing_pending().await;
    socket.send(&json!({ "type": "ack", "cursors": cursor("user:u1", &epoch, 550) })).await;
    socket.entries(10).await;
}

/// After 1 MiB the stream waits, too.
#[tokio::test]
async fn a_stream_waits_after_a_mebibyte() {
    let gateway = Gateway::start().await;
    let (mut socket, epoch) = with_backlog(&gateway, 12, 100_000).await;
    socket.entries(11).await;
    socket.snapshot().await;
    socket.expect_nothing_pending().await;
    socket.send(&json!({ "type": "ack", "cursors": cursor("user:u1", &epoch, 1) })).await;
    socket.entries(1).await;
}

/// A full window holds back its own stream only.
#[tokio::test]
async fn a_full_window_holds_back_its_own_stream_only() {
    let gateway = Gateway::start().await;
    let (mut socket, _) = with_backlog(&gateway, 501, 1).await;
    socket.entries(500).await;
    socket.snapshot().await;
    gateway.backend().publish("news", json!([put("a", &json!({}))])).await;
    let events = socket.expect("events").await;
    assert_eq!(events["stream"], "news");
}

/// A full window is not announced at the heartbeat: the ping names the head
/// all the same.
#[tokio::test]
async fn a_full_window_is_not_announced() {
    let gateway = Gateway::start().await;
    let (mut socket, _) = with_backlog(&gateway, 501, 1).await;
    socket.entries(500).await;
    socket.snapshot().await;
    gateway.pass_time(Duration::from_secs(30)).await;
    let ping = socket.expect("ping").await;
    assert_eq!(ping["heads"], json!({ "user:u1": 501, "news": 0 }));
}

/// Without an ack a full window ends the session; what fits exactly does not.
#[tokio::test]
async fn a_window_that_stays_full_closes() {
    let gateway = Setup::new().set("session.ack_timeout_ms", "1000").start().await;
    let (mut socket, _) = with_backlog(&gateway, 500, 1).await;
    socket.entries(500).await;
    socket.snapshot().await;
    gateway.pass_time(Duration::from_secs(2)).await;
    socket.expect_nothing_pending().await;
    gateway.backend().make("u1", "one too many").await;
    socket.expect_nothing_pending().await;
    gateway.pass_time(Duration::from_secs(1)).await;
    socket.expect_close(4408, "ack_timeout").await;
}

/// Items of a snapshot do not count.
#[tokio::test]
async fn snapshots_do_not_fill_the_window() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    backend.make_many("u1", 600, 1).await;
    let (mut socket, _) = phone.open_with(&phone.hello()).await;
    assert_eq!(socket.snapshot().await.len(), 600);
    backend.make("u1", "next").await;
    socket.entries(1).await;
}

/// A session that waits while the journal is trimmed past it is closed, and
/// comes back to a snapshot: never a part of what it missed.
#[tokio::test]
async fn a_session_that_is_overtaken_begins_anew() {
    let trimming = Setup::new().set("journal.retention_entries", "100");
    let gateway = trimming.set("journal.trim_interval_s", "1").start().await;
    let phone = gateway.device("phone", "u1");
    gateway.calls_of(&phone).register(&phone).await;
    let calls = gateway.calls_of(&phone).quiet();
    let poll = format!("/api/v1/sync/poll?device_id={}", phone.id);
    let answer = calls.get(&poll).await.expect(200);
    let epoch = &answer["streams"]["user:u1"]["epoch"];
    let mut hello = phone.hello();
    hello["cursors"] = cursor("user:u1", epoch, 0);
    let (mut socket, _) = phone.open_with(&hello).await;
    for _ in 0..4 {
        // In steps that the retention leaves alone.
        gateway.backend().make_many("u1", 95, 1).await;
        socket.entries(95).await;
    }
    gateway.backend().make_many("u1", 400, 1).await;
    socket.entries(120).await;
    socket.expect_nothing_pending().await;
    let at_window =
        format!("{poll}&cursors=%7B%22user:u1%22:%7B%22epoch%22:{epoch},%22seq%22:500%7D%7D");
    let at_window = at_window.replace('"', "%22");
    gateway.pass_time(Duration::from_secs(1)).await;
    eventually("the trim", async || {
        let answer = calls.get(&at_window).await.expect(200);
        (answer["streams"]["user:u1"]["reason"] == "trimmed").then_some(())
    })
    .await;
    socket.send(&json!({ "type": "ack", "cursors": cursor("user:u1", epoch, 500) })).await;
    socket.expect_close(4410, "overtaken").await;
    hello["cursors"] = cursor("user:u1", epoch, 500);
    let (mut socket, welcome) = phone.open_with(&hello).await;
    assert_eq!(welcome["streams"]["user:u1"]["reason"], "trimmed");
    assert_eq!(socket.snapshot().await.len(), 780);
}
