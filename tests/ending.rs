//! How commands end without a device: taken back, or out of time.

use std::time::Duration;

use serde_json::json;

use crate::results::{delivered, report};
use crate::support::{Gateway, check};

/// A command taken back is closed for the devices it concerned; what is final
/// stays so.
#[tokio::test]
async fn a_command_is_taken_back() {
    let gateway = Gateway::start().await;
    let (backend, mut socket, id) = delivered(&gateway).await;
    gateway.said();
    let path = format!("/api/v1/commands/{id}");
    backend.delete(&path).await.expect(200);
    socket.entries(1).await;
    backend.delete(&path).await.expect_error(409, "command_final");
    gateway.move_clock(Duration::from_secs(1));
    report(&mut socket, json!({ "command_id": id, "status": "applied" })).await;
    backend.get(&path).await.expect(200);
    check!("cancelled", gateway.said());
}

/// The end of a life shows at once, and is journalled by the next sweep.
#[tokio::test]
async fn a_command_runs_out_of_time() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    gateway.said();
    let command = json!({ "user_id": "u1", "data_type": "steps", "value": 1, "ttl_s": 60 });
    let id = backend.make_with(&command).await;
    socket.entries(1).await;
    backend.timeline(&id, 2).await;
    let path = format!("/api/v1/commands/{id}");
    gateway.move_clock(Duration::from_mins(1));
    backend.get(&path).await.expect(200);
    gateway.pass_time(Duration::from_secs(1)).await;
    socket.entries(1).await;
    gateway.move_clock(Duration::from_secs(1));
    report(&mut socket, json!({ "command_id": id, "status": "applied" })).await;
    backend.delete(&path).await.expect_error(409, "command_final");
    backend.get(&path).await.expect(200);
    check!("expired", gateway.said());
}

/// A wait for a final status ends with the command's life.
#[tokio::test]
async fn a_wait_ends_with_the_life() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend().quiet();
    let command = json!({ "user_id": "u1", "data_type": "steps", "value": 1, "ttl_s": 1 });
    let id = backend.make_with(&command).await;
    let watched = backend.get(&format!("/api/v1/commands/{id}?wait_s=9")).await.expect(200);
    assert_eq!(watched["status"], "expired");
}

/// A command is not delivered past its life, though nothing has closed it yet.
#[tokio::test]
async fn nothing_is_delivered_past_its_life() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    gateway.calls_of(&phone).register(&phone).await;
    let command = json!({ "user_id": "u1", "data_type": "steps", "value": 1, "ttl_s": 1 });
    backend.make_with(&command).await;
    gateway.move_clock(Duration::from_secs(1));
    let (mut socket, _) = phone.open_with(&phone.hello()).await;
    assert!(socket.snapshot().await.is_empty());
}
