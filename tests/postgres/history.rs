//! A database that lost commits it had confirmed: positions are never given out
//! again under the epoch that devices know.

use serde_json::json;

use crate::postgres::{impatient, steps, until_accepted};
use crate::support::{Gateway, cursor};

/// Undoes the newest entries of a stream, as a standby that lagged knows it.
async fn lose(gateway: &Gateway, stream: &str, kept: i64) {
    let database = gateway.database().unwrap();
    for statement in [
        format!("DELETE FROM journal_entry WHERE stream = '{stream}' AND seq > {kept}"),
        format!("DELETE FROM command WHERE 'user:' || user_id = '{stream}' AND seq > {kept}"),
        format!("UPDATE stream_head SET seq = {kept} WHERE stream = '{stream}'"),
    ] {
        database.run(&statement).await;
    }
}

/// A write to a stream that went back renews its epoch: the live session is told
/// to come back, begins anew, and gets what was written.
#[tokio::test]
async fn a_stream_that_went_back_begins_anew_when_it_is_written() {
    let Some(gateway) = impatient().await else { return };
    let backend = gateway.backend().quiet();
    let phone = gateway.device("phone", "u1");
    let mut socket = phone.open().await;
    for _ in 0..3 {
        backend.make("u1", "steps").await;
    }
    let mut seen = socket.expect("events").await;
    while seen["seq"] != 3 {
        seen = socket.expect("events").await;
    }
    lose(&gateway, "user:u1", 1).await;
    let accepted = until_accepted(&backend, &steps("u1")).await;
    socket.expect_close_after_frames(4410, "overtaken").await;
    let mut hello = phone.hello();
    hello["cursors"] = cursor("user:u1", &seen["epoch"], 3);
    let (mut socket, welcome) = phone.open_with(&hello).await;
    let stream = &welcome["streams"]["user:u1"];
    assert_eq!((&stream["verdict"], &stream["reason"]), (&json!("reset"), &json!("epoch_changed")));
    let snapshot = socket.snapshot().await;
    let held = json!(snapshot).to_string();
    assert!(held.contains(accepted["command_id"].as_str().unwrap()), "{held}");
}

/// A stream that nobody writes to is noticed as well: its head is read again
/// while somebody follows it.
#[tokio::test]
async fn a_followed_stream_that_went_back_begins_anew() {
    let Some(gateway) = impatient().await else { return };
    let backend = gateway.backend().quiet();
    let phone = gateway.device("phone", "u1");
    let mut socket = phone.open().await;
    backend.make("u1", "steps").await;
    let seen = socket.expect("events").await;
    lose(&gateway, "user:u1", 0).await;
    socket.expect_close_after_frames(4410, "overtaken").await;
    let mut hello = phone.hello();
    hello["cursors"] = cursor("user:u1", &seen["epoch"], 1);
    let (_socket, welcome) = phone.open_with(&hello).await;
    assert_eq!(welcome["streams"]["user:u1"]["reason"], "epoch_changed");
}

/// A node that comes back on another timeline cannot know what it announced: all
/// streams begin anew.
#[tokio::test]
async fn another_timeline_at_the_start_renews_all_epochs() {
    let Some(mut gateway) = impatient().await else { return };
    let backend = gateway.backend().quiet();
    backend.make("u1", "steps").await;
    let phone = gateway.device("phone", "u1");
    let (_socket, before) = phone.open_with(&phone.hello()).await;
    crate::support::eventually("the history is noted", async || {
        let store = &gateway.running().state().store;
        let node = &gateway.running().state().node;
        let row = tidegate::store::probe::read(store.readers(), node).await.unwrap();
        row.and_then(|row| row.history)
    })
    .await;
    gateway.stop().await;
    gateway.database().unwrap().run("UPDATE write_probe SET history = '00000000'").await;
    gateway.restart().await;
    let phone = gateway.device_with_id("phone again", "u1", &phone.id);
    let (_socket, after) = phone.open_with(&phone.hello()).await;
    let epoch = |welcome: &serde_json::Value| welcome["streams"]["user:u1"]["epoch"].clone();
    assert_ne!(epoch(&before), epoch(&after));
}
