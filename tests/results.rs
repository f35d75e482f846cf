//! Outcomes that devices report on the socket.

use serde_json::{Value, json};

use crate::support::{Caller, Gateway, Socket, check};

/// Reports one outcome; the answer's row.
pub(crate) async fn report(socket: &mut Socket, result: Value) -> Value {
    socket.send(&json!({ "type": "results", "results": [result], "ref": "r" })).await;
    let answer = socket.expect("results_ok").await;
    assert_eq!(answer["ref"], "r");
    answer["results"][0].clone()
}

/// A socket that has got a command, with the caller that made it and its id.
pub(crate) async fn delivered(gateway: &Gateway) -> (Caller, Socket, String) {
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    let id = backend.make("u1", "steps").await;
    socket.entries(1).await;
    backend.timeline(&id, 2).await;
    (backend, socket, id)
}

/// A command carried out is closed at once, with its way in the timeline.
#[tokio::test]
async fn a_command_is_carried_out() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    gateway.said();
    let id = backend.make("u1", "steps").await;
    let events = socket.expect("events").await;
    socket.ack(&events).await;
    backend.timeline(&id, 3).await;
    report(&mut socket, json!({ "command_id": id, "attempt": 1, "status": "applied" })).await;
    socket.entries(1).await;
    backend.timeline(&id, 4).await;
    backend.get(&format!("/api/v1/commands/{id}")).await.expect(200);
    check!("applied", gateway.said());
}

/// A final refusal or failure of the only device closes with it, the device's
/// words included.
#[tokio::test]
async fn the_only_device_refuses() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    gateway.said();
    for status in ["rejected", "failed"] {
        let id = backend.make("u1", "steps").await;
        socket.entries(1).await;
        let result = json!({ "command_id": id, "status": status, "error": "no permission" });
        report(&mut socket, result).await;
        socket.entries(1).await;
        let command = backend.command(&id).await;
        assert_eq!(command["status"], status);
        let outcome = json!({
            "device_id": phone.id, "attempt": 1, "status": status, "error": "no permission",
        });
        assert_eq!(command["result"], outcome);
    }
    check!("refused", gateway.said());
}

/// A resend gets the same answer and leaves no row of its own.
#[tokio::test]
async fn a_resend_changes_nothing() {
    let gateway = Gateway::start().await;
    let (backend, mut socket, id) = delivered(&gateway).await;
    let result = json!({ "command_id": id, "status": "applied" });
    let first = report(&mut socket, result.clone()).await;
    socket.entries(1).await;
    assert_eq!(report(&mut socket, result).await, first);
    socket.expect_nothing_pending().await;
    let command = backend.timeline(&id, 3).await;
    assert_eq!(command["timeline"][2]["event"], "result");
}

/// Of two outcomes in one frame the first decides, and stands first.
#[tokio::test]
async fn the_outcome_that_decided_stands_before_late_ones() {
    let gateway = Gateway::start().await;
    let (backend, mut socket, id) = delivered(&gateway).await;
    let results = ["rejected", "failed", "applied"]
        .map(|status| json!({ "command_id": id, "status": status }));
    socket.send(&json!({ "type": "results", "results": results })).await;
    socket.expect("results_ok").await;
    let command = backend.timeline(&id, 5).await;
    assert_eq!(command["status"], "rejected");
    let rows = command["timeline"].as_array().unwrap().iter().skip(2);
    let rows: Vec<_> = rows.map(|row| (row["status"].clone(), row["late"].clone())).collect();
    assert_eq!(rows[0], (json!("rejected"), json!(null)), "{rows:?}");
    assert!(rows[1..].iter().all(|(_, late)| *late == json!(true)), "{rows:?}");
}

/// Results that cannot be taken are answered by row; the others count.
#[tokio::test]
async fn strange_results_are_answered_by_row() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    let (stranger, backend) = (gateway.device("stranger", "u2"), gateway.backend());
    let (mut socket, mut strangers) = (phone.open().await, stranger.open().await);
    gateway.calls_of(&tablet).register(&tablet).await;
    let own = backend.make("u1", "steps").await;
    let other = backend.make_for(&tablet, "steps").await;
    socket.entries(1).await;
    gateway.said();
    let unknown = "00000000-0000-7000-8000-000000000001";
    let results = json!([
        { "command_id": unknown, "status": "applied" },
        { "command_id": other, "status": "failed", "retryable": true },
        { "command_id": own, "attempt": 2, "status": "applied" },
        { "command_id": own, "status": "applied" },
        { "command_id": own, "status": "rejected" },
    ]);
    socket.send(&json!({ "type": "results", "results": results })).await;
    socket.expect("results_ok").await;
    strangers
        .send(
            &json!({ "type": "results", "results": [{ "command_id": own, "status": "applied" }] }),
        )
        .await;
    strangers.expect("results_ok").await;
    socket.send(&json!({ "type": "results", "results": [], "ref": "empty" })).await;
    socket.entries(1).await;
    socket.expect("results_ok").await;
    check!("strange", gateway.said());
}

/// More than 100 results, or texts too long, are refused as a whole; the
/// session stays.
#[tokio::test]
async fn results_have_bounds() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    let id = backend.make("u1", "steps").await;
    socket.entries(1).await;
    let one = json!({ "command_id": id, "status": "applied" });
    let mut long = one.clone();
    long["error"] = json!("x".repeat(2001));
    let mut zeroth = one.clone();
    zeroth["attempt"] = json!(0);
    for results in [vec![one; 101], vec![long], vec![zeroth]] {
        socket.send(&json!({ "type": "results", "results": results, "ref": 5 })).await;
        let error = socket.expect("error").await;
        assert_eq!((&error["code"], &error["ref"]), (&json!("invalid"), &json!(5)));
    }
    assert_eq!(backend.timeline(&id, 2).await["status"], "sent");
}
