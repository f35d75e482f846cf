//! `events`: the journal after a position, for this device.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Device, Gateway, Socket, check, cursor};

/// Registers the device, and the epoch of its stream.
async fn epoch_of(device: &Device) -> Value {
    let (socket, welcome) = device.open_with(&device.hello()).await;
    socket.close().await;
    welcome["streams"][device.stream()]["epoch"].clone()
}

async fn resume(device: &Device, epoch: &Value, seq: i64) -> Socket {
    let mut hello = device.hello();
    hello["cursors"] = cursor(&device.stream(), epoch, seq);
    device.open_with(&hello).await.0
}

/// What piled up comes in one frame; live entries follow on it without a gap.
#[tokio::test]
async fn every_frame_follows_on_the_one_before() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let epoch = epoch_of(&phone).await;
    gateway.said();
    backend.make("u1", "steps").await;
    backend.make("u1", "weight").await;
    let mut socket = resume(&phone, &epoch, 0).await;
    socket.entries(2).await;
    backend.make("u1", "sleep").await;
    socket.entries(1).await;
    check!("chain", gateway.said());
}

/// A page ends at 200 entries.
#[tokio::test]
async fn pages_end_at_200_entries() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let epoch = epoch_of(&phone).await;
    backend.make_many("u1", 450, 1).await;
    let mut socket = resume(&phone, &epoch, 0).await;
    for (prev, seq, count) in [(0, 200, 200), (200, 400, 200), (400, 450, 50)] {
        let events = socket.expect("events").await;
        assert_eq!((&events["prev"], &events["seq"]), (&json!(prev), &json!(seq)));
        assert_eq!(events["entries"].as_array().unwrap().len(), count);
    }
    socket.expect_nothing_pending().await;
}

/// A page ends at the entry that reaches 64 KiB, and holds at least one.
#[tokio::test]
async fn pages_end_at_64_kib() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let epoch = epoch_of(&phone).await;
    backend.make_many("u1", 8, 20_000).await;
    backend.make_many("u1", 2, 120_000).await;
    let mut socket = resume(&phone, &epoch, 0).await;
    for count in [4, 4, 1, 1] {
        let events = socket.expect("events").await;
        assert_eq!(events["entries"].as_array().unwrap().len(), count);
        assert!(socket.last_text.len() <= 256 * 1024);
    }
}

/// Entries addressed to others are skipped, and cause no frame of their own.
#[tokio::test]
async fn entries_for_other_devices_are_skipped() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    let backend = gateway.backend();
    gateway.calls_of(&tablet).register(&tablet).await;
    let mut socket = phone.open().await;
    gateway.said();
    backend.make_for(&tablet, "steps").await;
    backend
        .make_with(&json!({ "user_id": "u1", "data_type": "scan", "value": 1, "requires": "nfc" }))
        .await;
    socket.expect_nothing_pending().await;
    backend.make("u1", "weight").await;
    let entries = socket.entries(1).await;
    assert_eq!(entries[0]["seq"], 3);
    check!("skipped", gateway.said());
}

/// Positions read silently are announced by empty events at the heartbeat,
/// before the ping that names the head.
#[tokio::test]
async fn silent_positions_are_announced_at_the_heartbeat() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    let backend = gateway.backend();
    gateway.calls_of(&tablet).register(&tablet).await;
    let mut hello = phone.hello();
    hello["heartbeat_s"] = json!(10);
    let (mut socket, _) = phone.open_with(&hello).await;
    socket.snapshot().await;
    gateway.said();
    backend.make_for(&tablet, "steps").await;
    backend.make_for(&tablet, "weight").await;
    socket.expect_nothing_pending().await;
    gateway.pass_time(Duration::from_secs(10)).await;
    let events = socket.expect("events").await;
    socket.expect("ping").await;
    socket.ack(&events).await;
    backend.make("u1", "sleep").await;
    socket.entries(1).await;
    check!("silent_positions", gateway.said());
}

/// A command that was closed before it was read is left out; its closing is not.
#[tokio::test]
async fn closed_commands_are_left_out_and_their_closing_is_not() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let epoch = epoch_of(&phone).await;
    gateway.said();
    let id = backend.make("u1", "steps").await;
    backend.delete(&format!("/api/v1/commands/{id}")).await.expect(200);
    let mut socket = resume(&phone, &epoch, 0).await;
    socket.entries(1).await;
    check!("closed_left_out", gateway.said());
}

/// Payloads are delivered as received: key order, numbers and escapes kept.
#[tokio::test]
async fn payloads_arrive_as_they_were_spelled() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    for value in [
        r#"{"b":1.0,"a":1e3,"c":12345678901234567890123,"z":-0}"#,
        r#"{"e":"\u00e9é\/\n😀","b":[ 1 , 2 ]}"#,
        r#""just text""#,
        "null",
        "[]",
    ] {
        let body = format!(r#"{{"user_id":"u1","data_type":"t","value":{value}}}"#);
        backend.post_text("/api/v1/commands", &body).await.expect(202);
        socket.entries(1).await;
        assert!(socket.last_text.contains(&format!(r#""value":{value},"#)), "{}", socket.last_text);
    }
}

/// No device sees another user's entries.
#[tokio::test]
async fn users_do_not_see_each_other() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend();
    let (alice, bob) = (gateway.device("alice", "u1"), gateway.device("bob", "u10"));
    let (mut to_alice, mut to_bob) = (alice.open().await, bob.open().await);
    backend.make("u1", "steps").await;
    to_alice.entries(1).await;
    to_bob.expect_nothing_pending().await;
    backend.make("u10", "steps").await;
    to_bob.entries(1).await;
    to_alice.expect_nothing_pending().await;
}
