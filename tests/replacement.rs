//! A device that connects twice.

use serde_json::json;

use crate::results::report;
use crate::support::{Gateway, cursor, eventually};

/// The older session closes; what it still says changes nothing, and its end
/// does not touch the newer one.
#[tokio::test]
async fn the_newest_session_wins() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let (mut older, welcome) = phone.open_with(&phone.hello()).await;
    older.snapshot().await;
    let id = backend.make("u1", "steps").await;
    older.entries(1).await;
    let mut newer = phone.open().await;
    // Said before the older one has read its close.
    let epoch = &welcome["streams"]["user:u1"]["epoch"];
    older.send(&json!({ "type": "ack", "cursors": cursor("user:u1", epoch, 1) })).await;
    let results = json!([{ "command_id": id, "status": "failed" }]);
    older.send(&json!({ "type": "results", "results": results })).await;
    older.expect_close(4409, "replaced").await;
    drop(older);
    let devices = backend.quiet();
    let online = async || {
        let page = devices.get("/api/v1/users/u1/devices").await.expect(200);
        page["items"][0]["online"].clone()
    };
    newer.expect_nothing_pending().await;
    assert_eq!(online().await, true);
    let command = backend.command(&id).await;
    assert!(["pending", "sent"].contains(&command["status"].as_str().unwrap()), "{command}");
    assert_eq!(
        report(&mut newer, json!({ "command_id": id, "status": "applied" })).await["accepted"],
        true
    );
    newer.entries(1).await;
    newer.close().await;
    eventually("the device to be offline", async || (online().await == false).then_some(())).await;
}

/// Other devices, and the same id under another user, are not replaced.
#[tokio::test]
async fn only_the_same_device_is_replaced() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let tablet = gateway.device("tablet", "u1");
    let same = gateway.device_with_id("same", "u2", &phone.id);
    let mut socket = phone.open().await;
    tablet.open().await;
    same.open().await;
    socket.expect_nothing_pending().await;
}
