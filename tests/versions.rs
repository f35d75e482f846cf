//! What earlier versions left works with this one.

use serde_json::json;

use crate::support::{Setup, cursor, named_server, skip};

/// A database as the version of 2026-11-21 left it: two commands for `ann`, the
/// first acked and applied by her phone, the second one waiting; and a record in
/// the shared stream `news`.
const LIVE_PATH: &str = include_str!("versions/2026-11-21.sql");

/// The epoch of `user:ann` in it.
const LIVE_PATH_EPOCH: &str = "et7vf2z3";

/// The same as the version of 2026-11-26 left it, before health data.
const BEFORE_HEALTH: &str = include_str!("versions/2026-11-26.sql");

/// The epoch of `user:ann` in it.
const BEFORE_HEALTH_EPOCH: &str = "3ofppuja";

const PHONE: &str = "6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11";

#[tokio::test]
async fn a_database_of_the_first_version_is_taken_over() {
    take_over(LIVE_PATH, LIVE_PATH_EPOCH).await;
}

#[tokio::test]
async fn a_database_from_before_health_data_is_taken_over() {
    take_over(BEFORE_HEALTH, BEFORE_HEALTH_EPOCH).await;
}

/// It is opened without another epoch: the phone resumes where it was, gets what
/// waited, and what comes now.
async fn take_over(dump: &'static str, epoch: &str) {
    if named_server().is_some() {
        return skip("the databases of earlier versions are SQLite");
    }
    let gateway = Setup::new().on(dump).start().await;
    let backend = gateway.backend().quiet();
    let list = backend.get("/api/v1/commands?user_id=ann").await.expect(200);
    let commands = list["items"].as_array().unwrap();
    assert_eq!(commands.len(), 2, "{list}");
    let statuses = |status: &str| commands.iter().filter(|one| one["status"] == status).count();
    assert_eq!((statuses("applied"), statuses("pending") + statuses("sent")), (1, 1), "{list}");

    let phone = gateway.device_with_id("phone", "ann", PHONE);
    let mut hello = phone.hello();
    hello["cursors"] = cursor("user:ann", &json!(epoch), 2);
    let (mut socket, welcome) = phone.open_with(&hello).await;
    assert_eq!(welcome["streams"]["user:ann"]["verdict"], "resumed", "{welcome}");
    let waiting = socket.entries(1).await.remove(0);
    assert_eq!((&waiting["kind"], &waiting["seq"]), (&json!("command"), &json!(3)));
    let new = backend.make("ann", "steps").await;
    let held = json!(socket.entries(1).await).to_string();
    assert!(held.contains(&new), "{held}");
    socket.send(&json!({ "type": "subscribe", "streams": ["news"] })).await;
    socket.expect("streams").await;
    let snapshot = socket.expect("snapshot").await;
    assert_eq!(snapshot["items"][0]["body"]["data"], json!({ "title": "old news" }));
}
