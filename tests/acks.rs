//! Acks: cumulative, and only of what was sent.

use serde_json::{Value, json};
use tidegate::ingest::behind::BehindBatch;

use crate::support::{Caller, Device, Gateway, NO_EPOCH, check, cursor, eventually};

/// The position stored for the device in its own stream.
async fn stored(calls: &Caller, device: &Device, epoch: &Value) -> Value {
    let body = json!({ "device_id": device.id, "cursors": cursor(&device.stream(), epoch, 0) });
    let answer = calls.quiet().post("/api/v1/sync/ack", &body).await.expect(200);
    answer["cursors"][device.stream()]["seq"].clone()
}

/// An ack covers everything up to it; lower ones, other epochs and streams
/// not followed are ignored.
#[tokio::test]
async fn acks_are_cumulative_and_stray_ones_ignored() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let calls = gateway.calls_of(&phone);
    let (mut socket, welcome) = phone.open_with(&phone.hello()).await;
    socket.snapshot().await;
    let epoch = &welcome["streams"]["user:u1"]["epoch"];
    backend.make_many("u1", 3, 1).await;
    socket.entries(3).await;
    for (cursors, expected) in [
        (cursor("user:u1", epoch, 2), 2),
        (cursor("user:u1", epoch, 1), 2),
        (cursor("user:u1", &json!(NO_EPOCH), 3), 2),
        (cursor("user:u1", &json!(NO_EPOCH), 99), 2),
        (cursor("news", epoch, 99), 2),
        (cursor("user:u2", epoch, 99), 2),
        (json!({}), 2),
        (cursor("user:u1", epoch, 3), 3),
    ] {
        socket.send(&json!({ "type": "ack", "cursors": cursors })).await;
        socket.expect_nothing_pending().await;
        eventually("the stored position", async || {
            (stored(&calls, &phone, epoch).await == expected).then_some(())
        })
        .await;
    }
}

/// An ack beyond what was sent ends the session.
#[tokio::test]
async fn an_ack_beyond_what_was_sent_closes() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    backend.make("u1", "steps").await;
    let mut events = socket.expect("events").await;
    events["seq"] = json!(2);
    socket.ack(&events).await;
    socket.expect_close(4400, "ack_beyond_sent").await;
    check!("beyond_sent", gateway.said());
}

/// What a database that is away did not take waits for it.
#[tokio::test]
async fn acks_wait_for_a_database_that_is_away() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    backend.make("u1", "steps").await;
    let state = gateway.running().state();
    state.ingest.flush_behind().await.unwrap();
    state.store.clone().close().await.unwrap();
    let events = socket.expect("events").await;
    socket.ack(&events).await;
    let behind = state.ingest.behind();
    eventually("the ack", async || (!behind.is_empty()).then_some(())).await;
    // The gateway tries every second by itself, perhaps at this very moment.
    state.ingest.write_behind(BehindBatch::default()).await.unwrap_err();
    eventually("what was not taken", async || {
        (!behind.is_being_written() && !behind.is_empty()).then_some(())
    })
    .await;
}

/// Positions read silently were not sent: they cannot be acked yet.
#[tokio::test]
async fn a_silent_position_cannot_be_acked() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    gateway.calls_of(&tablet).register(&tablet).await;
    let (mut socket, welcome) = phone.open_with(&phone.hello()).await;
    socket.snapshot().await;
    gateway.backend().make_for(&tablet, "steps").await;
    socket.expect_nothing_pending().await;
    let epoch = &welcome["streams"]["user:u1"]["epoch"];
    socket.send(&json!({ "type": "ack", "cursors": cursor("user:u1", epoch, 1) })).await;
    socket.expect_close(4400, "ack_beyond_sent").await;
}

/// Over HTTP the answer tells what is stored: the highest position acked.
#[tokio::test]
async fn acks_over_http_answer_what_is_stored() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let calls = gateway.calls_of(&phone);
    let (_, welcome) = phone.open_with(&phone.hello()).await;
    let epoch = &welcome["streams"]["user:u1"]["epoch"];
    backend.make_many("u1", 3, 1).await;
    gateway.said();
    let ack = |cursors: Value| json!({ "device_id": phone.id, "cursors": cursors });
    for seq in [2, 1, 3] {
        let body = ack(cursor("user:u1", epoch, seq));
        calls.post("/api/v1/sync/ack", &body).await.expect(200);
    }
    let stray =
        json!({ "user:u2": { "epoch": epoch, "seq": 1 }, "prices": { "epoch": epoch, "seq": 1 } });
    calls.post("/api/v1/sync/ack", &ack(stray)).await.expect(200);
    let beyond = ack(cursor("user:u1", epoch, 4));
    calls.post("/api/v1/sync/ack", &beyond).await.expect_error(422, "invalid");
    let other = ack(cursor("user:u1", &json!(NO_EPOCH), 1));
    calls.post("/api/v1/sync/ack", &other).await.expect_error(409, "epoch_changed");
    let mut unknown = ack(json!({}));
    unknown["device_id"] = json!("00000000-0000-4000-8000-000000000001");
    calls.post("/api/v1/sync/ack", &unknown).await.expect_error(404, "device_not_found");
    assert_eq!(stored(&calls, &phone, epoch).await, 3);
    check!("over_http", gateway.said());
}

/// A cursor in `hello` acks what it claims, where it is one of this stream.
#[tokio::test]
async fn hello_acks_what_it_claims() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let calls = gateway.calls_of(&phone);
    let (_, welcome) = phone.open_with(&phone.hello()).await;
    let epoch = &welcome["streams"]["user:u1"]["epoch"];
    backend.make_many("u1", 3, 1).await;
    for (claimed, seq, expected) in [
        (epoch.clone(), 2, 2),
        (json!(NO_EPOCH), 3, 2),
        (epoch.clone(), 4, 2),
        (epoch.clone(), 1, 2),
        (epoch.clone(), 3, 3),
    ] {
        let mut hello = phone.hello();
        hello["cursors"] = cursor("user:u1", &claimed, seq);
        phone.open_with(&hello).await;
        eventually("the stored position", async || {
            (stored(&calls, &phone, epoch).await == expected).then_some(())
        })
        .await;
    }
}
