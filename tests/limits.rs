//! Proves that every limit holds, says so in a way that clients can act on,
//! and is given back.

use serde_json::{Value, json};
use tidegate_protocol::id::UserId;

use crate::support::{Answer, Gateway, Setup, eventually};

mod answers;
mod bodies;
mod connections;
mod devices;
mod overload;

/// Requires a refusal that says when to try again.
fn expect_busy(answer: Answer, status: u16, code: &str) {
    let wait_s = answer.header("retry-after").map(str::parse::<u32>);
    assert!(matches!(wait_s, Some(Ok(1..=60))), "{answer:?}");
    answer.expect_error(status, code);
}

/// One of the figures.
async fn figure(gateway: &Gateway, name: &str) -> u64 {
    let figures = gateway.backend().quiet().get("/metrics").await;
    let line = figures.text().lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap().parse().unwrap()
}

/// Polls that are held count; the next one is refused, and another user's is
/// not.
#[tokio::test]
async fn a_user_has_so_many_polls() {
    let gateway = Setup::new().set("limits.pollers_per_user", "2").start().await;
    let phone = gateway.device("phone", "u1");
    phone.open().await;
    let caller = gateway.calls_of(&phone).quiet();
    let poll = |wait_s: u32| {
        let cursors = "%7B%7D";
        format!("/api/v1/sync/poll?device_id={}&wait_s={wait_s}&cursors={cursors}", phone.id)
    };
    let cursor = caller.get(&poll(0)).await.expect(200)["cursor"].clone();
    let held = format!(
        "/api/v1/sync/poll?device_id={}&wait_s=20&cursor={}",
        phone.id,
        cursor.as_str().unwrap()
    );
    let user = UserId::parse("u1").unwrap();
    let refused = async {
        eventually("both polls are held", async || {
            let held = gateway.running().state().pollers.get(&user).map(|held| *held);
            (held == Some(2)).then_some(())
        })
        .await;
        expect_busy(caller.get(&poll(0)).await, 429, "too_many_pollers");
        let stranger = gateway.device("stranger", "u2");
        stranger.open().await;
        let path = format!("/api/v1/sync/poll?device_id={}", stranger.id);
        gateway.calls_of(&stranger).quiet().get(&path).await.expect(200);
        gateway.backend().quiet().make("u1", "steps").await;
    };
    let (one, two, ()) = tokio::join!(caller.get(&held), caller.get(&held), refused);
    for answer in [one, two] {
        assert_eq!(answer.expect(200)["frames"].as_array().unwrap().len(), 1);
    }
    caller.get(&poll(0)).await.expect(200);
}

/// Streams of a session, the user's own included, on all three ways to ask.
#[tokio::test]
async fn a_session_follows_so_many_streams() {
    let gateway = Setup::new().set("limits.streams_per_session", "2").start().await;
    let phone = gateway.device("phone", "u1");
    let mut hello = phone.hello();
    hello["subscribe"] = json!(["news", "prices"]);
    let mut socket = phone.connect().await;
    socket.send(&hello).await;
    assert_eq!(socket.expect("error").await["code"], "invalid");
    socket.expect_close(4400, "invalid_field").await;

    hello["subscribe"] = json!(["news"]);
    let (mut socket, _) = phone.open_with(&hello).await;
    socket.snapshot().await;
    socket.snapshot().await;
    let subscribe = json!({ "type": "subscribe", "streams": ["prices"] });
    socket.send(&subscribe).await;
    assert_eq!(socket.expect("error").await["code"], "invalid");
    socket.send(&json!({ "type": "unsubscribe", "streams": ["news"] })).await;
    socket.expect("streams").await;
    socket.send(&subscribe).await;
    assert_eq!(socket.expect("streams").await["streams"]["prices"]["verdict"], "reset");

    let path =
        |streams: &str| format!("/api/v1/sync/poll?device_id={}&subscribe={streams}", phone.id);
    let caller = gateway.calls_of(&phone).quiet();
    caller.get(&path("news,prices")).await.expect_error(422, "invalid");
    caller.get(&path("news")).await.expect(200);
}

#[tokio::test]
async fn a_body_has_so_many_bytes() {
    let gateway = Setup::new().set("limits.body_bytes", "2048").start().await;
    let backend = gateway.backend().quiet();
    let body = |bytes: usize| {
        let body = json!({ "user_id": "u1", "data_type": "steps", "value": "" }).to_string();
        body.replace(r#""""#, &format!("\"{}\"", "x".repeat(bytes - body.len())))
    };
    backend.post_text("/api/v1/commands", &body(2048)).await.expect(202);
    backend.post_text("/api/v1/commands", &body(2049)).await.expect_error(413, "too_large");
}

/// Commands without a final status; the place is free again with the status.
#[tokio::test]
async fn a_user_has_so_many_pending_commands() {
    let gateway = Setup::new().set("limits.pending_per_user", "2").start().await;
    let backend = gateway.backend().quiet();
    let body = |user: &str| json!({ "user_id": user, "data_type": "steps", "value": 1 });
    let first = backend.make("u1", "steps").await;
    backend.make("u1", "steps").await;
    backend.post("/api/v1/commands", &body("u1")).await.expect_error(429, "too_many_pending");
    backend.post("/api/v1/commands", &body("u2")).await.expect(202);
    let batch = json!({ "commands": [body("u1"), body("u2")] });
    let rows = backend.post("/api/v1/commands/batch", &batch).await.expect(207);
    let statuses: Vec<&Value> =
        rows["results"].as_array().unwrap().iter().map(|row| &row["status"]).collect();
    assert_eq!(statuses, [&json!(429), &json!(202)]);
    backend.delete(&format!("/api/v1/commands/{first}")).await;
    backend.post("/api/v1/commands", &body("u1")).await.expect(202);
}
