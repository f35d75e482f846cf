//! Trying again: failures that may pass, and results that never come.

use std::time::Duration;

use serde_json::{Value, json};

use crate::results::report;
use crate::support::{Gateway, Socket, check};

async fn fail(socket: &mut Socket, id: &str, attempt: u64) -> Value {
    let result = json!({
        "command_id": id, "attempt": attempt, "status": "failed", "retryable": true,
        "error": "locked",
    });
    report(socket, result).await
}

/// A failure that may pass brings the command again with the next attempt;
/// at the fifth it is final.
#[tokio::test]
async fn a_failure_is_tried_five_times() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    gateway.said();
    let id = backend.make("u1", "steps").await;
    for attempt in 1..=5 {
        let entries = socket.entries(1).await;
        assert_eq!(entries[0]["kind"], "command");
        assert_eq!(entries[0]["body"]["attempt"], attempt);
        assert_eq!(fail(&mut socket, &id, attempt).await["accepted"], true);
    }
    let entries = socket.entries(1).await;
    assert_eq!(entries[0]["body"], json!({ "command_id": id, "status": "failed" }));
    let command = backend.timeline(&id, 11).await;
    assert_eq!(command["attempts"], 5);
    assert_eq!(command["result"]["attempt"], 5);
    assert_eq!(command["seq"], 1);
    check!("five_attempts", gateway.said());
}

/// A result of an earlier attempt is late and changes nothing, unless it says
/// that the command was carried out.
#[tokio::test]
async fn earlier_attempts_count_only_when_applied() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    let id = backend.make("u1", "steps").await;
    socket.entries(1).await;
    fail(&mut socket, &id, 1).await;
    socket.entries(1).await;
    backend.timeline(&id, 4).await;
    gateway.said();
    gateway.move_clock(Duration::from_secs(1));
    let late = json!({ "command_id": id, "attempt": 1, "status": "rejected" });
    report(&mut socket, late).await;
    socket.expect_nothing_pending().await;
    gateway.move_clock(Duration::from_secs(1));
    let applied = json!({ "command_id": id, "attempt": 1, "status": "applied" });
    report(&mut socket, applied).await;
    socket.entries(1).await;
    check!("earlier_attempts", gateway.said());
    let command = backend.command(&id).await;
    assert_eq!((&command["attempts"], &command["result"]["attempt"]), (&json!(2), &json!(1)));
    let results = command["timeline"].as_array().unwrap().iter();
    let results: Vec<_> = results
        .filter(|row| row["event"] == "result")
        .map(|row| (row["status"].as_str().unwrap(), row["late"] == true))
        .collect();
    assert_eq!(results, [("failed", false), ("rejected", true), ("applied", false)]);
}

/// No result for twice the ack time-out after the first ack: tried again.
#[tokio::test]
async fn a_command_that_is_acked_and_forgotten_is_tried_again() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    let id = backend.make("u1", "steps").await;
    let mut events = socket.expect("events").await;
    // Not acked: nothing happens, however long it takes.
    gateway.move_clock(Duration::from_mins(5));
    gateway.pass_time(Duration::from_secs(1)).await;
    socket.expect_nothing_pending().await;
    for attempt in 2..=5 {
        socket.ack(&events).await;
        backend.timeline(&id, 2 * attempt - 1).await;
        gateway.move_clock(Duration::from_secs(20));
        events = socket.expect("events").await;
        assert_eq!(events["entries"][0]["body"]["attempt"], attempt);
    }
    socket.ack(&events).await;
    backend.timeline(&id, 11).await;
    gateway.move_clock(Duration::from_hours(1));
    gateway.pass_time(Duration::from_secs(1)).await;
    socket.expect_nothing_pending().await;
    assert_eq!(backend.command(&id).await["status"], "sent");
}

/// The wait begins with the ack, however long after the command it came.
#[tokio::test]
async fn the_wait_begins_with_the_ack() {
    let gateway = Gateway::start().await;
    gateway.stop_clock();
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    let pass = async |seconds| {
        gateway.move_clock(Duration::from_secs(seconds));
        gateway.pass_time(Duration::from_secs(1)).await;
    };
    for acked_s in [8, 15, 25] {
        let id = backend.make("u1", "steps").await;
        let events = socket.expect("events").await;
        pass(acked_s).await;
        socket.ack(&events).await;
        backend.timeline(&id, 3).await;
        pass(19).await;
        socket.expect_nothing_pending().await;
        pass(1).await;
        let events = socket.expect("events").await;
        assert_eq!(events["entries"][0]["body"]["attempt"], 2, "acked after {acked_s} s");
        socket.ack(&events).await;
        report(&mut socket, json!({ "command_id": id, "status": "applied" })).await;
        socket.entries(1).await;
    }
}

/// A clock that ran an hour ahead when the command was made delays no attempt.
#[tokio::test]
async fn a_wrong_clock_does_not_delay_another_attempt() {
    let gateway = Gateway::start().await;
    gateway.stop_clock();
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    gateway.move_clock(Duration::from_hours(1));
    let id = backend.make("u1", "steps").await;
    let events = socket.expect("events").await;
    gateway.set_clock_back(Duration::from_hours(1));
    socket.ack(&events).await;
    backend.timeline(&id, 3).await;
    gateway.move_clock(Duration::from_secs(20));
    gateway.pass_time(Duration::from_secs(1)).await;
    let events = socket.expect("events").await;
    assert_eq!(events["entries"][0]["body"]["attempt"], 2);
}

/// A device that refused for good does not get later attempts.
#[tokio::test]
async fn a_device_that_refused_is_left_out_of_later_attempts() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    let backend = gateway.backend();
    let (mut phones, mut tablets) = (phone.open().await, tablet.open().await);
    let id = backend.make("u1", "steps").await;
    phones.entries(1).await;
    tablets.entries(1).await;
    report(&mut phones, json!({ "command_id": id, "status": "rejected" })).await;
    fail(&mut tablets, &id, 1).await;
    tablets.entries(1).await;
    phones.expect_nothing_pending().await;
    drop(phones);
    let (mut phones, _) = phone.open_with(&phone.hello()).await;
    assert_eq!(phones.snapshot().await, Vec::<Value>::new());
}
