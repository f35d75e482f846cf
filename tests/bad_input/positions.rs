//! Cursors, acks and results that do not fit what was sent, or to whom.

use serde_json::{Value, json};

use crate::bad_input::Scene;
use crate::support::check;

/// A cursor that cannot be right begins anew, and says why; it ends nothing.
#[tokio::test]
async fn impossible_cursors_begin_anew() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    let (mut socket, welcome) = device.open_with(&device.hello()).await;
    socket.snapshot().await;
    let epoch = welcome["streams"][device.stream()]["epoch"].clone();
    scene.command(&json!({ "user_id": "u1", "data_type": "steps", "value": 1 })).await;
    socket.entries(1).await;
    for (cursor, reason) in [
        (json!({ "epoch": epoch, "seq": 2 }), "ahead"),
        (json!({ "epoch": epoch, "seq": 9_007_199_254_740_991_i64 }), "ahead"),
        (json!({ "epoch": "zzzzzzzz", "seq": 1 }), "epoch_changed"),
        (json!({ "epoch": "zzzzzzzz", "seq": 9 }), "epoch_changed"),
    ] {
        let mut hello = device.hello();
        hello["cursors"] = json!({ device.stream(): cursor, "user:bystander": cursor });
        let (mut socket, welcome) = device.open_with(&hello).await;
        let status = &welcome["streams"][device.stream()];
        assert_eq!((&status["verdict"], &status["reason"]), (&json!("reset"), &json!(reason)));
        assert_eq!(welcome["streams"].as_object().unwrap().len(), 1, "a stranger's is not named");
        assert_eq!(socket.snapshot().await.len(), 1, "the command is in the current state");

        let cursors = json!({ device.stream(): cursor });
        let subscribe = json!({ "type": "subscribe", "streams": [device.stream()] });
        let mut subscribe = subscribe;
        subscribe["cursors"] = cursors;
        socket.send(&subscribe).await;
        let status = socket.expect("streams").await["streams"][device.stream()].clone();
        assert_eq!(status["reason"], json!(reason));
        assert_eq!(socket.snapshot().await.len(), 1);
        scene.nobody_noticed().await;
    }
}

/// An ack of what was never sent shows a broken client: it must not go on.
#[tokio::test]
async fn acks_beyond_what_was_sent_end_their_session_only() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    let (mut socket, welcome) = device.open_with(&device.hello()).await;
    socket.snapshot().await;
    let epoch = welcome["streams"][device.stream()]["epoch"].clone();
    let ack = |seq: i64, epoch: &Value| json!({ "type": "ack", "cursors": { "user:u1": { "epoch": epoch, "seq": seq } } });
    // These say nothing that counts, and are ignored.
    socket.send(&ack(99, &json!("zzzzzzzz"))).await;
    socket
        .send(&json!({ "type": "ack", "cursors": { "news": { "epoch": epoch, "seq": 9 } } }))
        .await;
    let stranger = json!({ "user:bystander": { "epoch": epoch, "seq": 9 } });
    socket.send(&json!({ "type": "ack", "cursors": stranger })).await;
    socket.send(&ack(0, &epoch)).await;
    socket.expect_nothing_pending().await;
    socket.send(&ack(1, &epoch)).await;
    socket.expect_close(4400, "ack_beyond_sent").await;

    // Together with hello, before anything can have been sent.
    let mut socket = device.connect().await;
    socket.send(&device.hello()).await;
    socket.send(&ack(1, &epoch)).await;
    socket.expect_close_after_frames(4400, "ack_beyond_sent").await;

    // Nothing of it was stored.
    let caller = scene.gateway.calls_of(&device).quiet();
    let cursors = json!({ "user:u1": { "epoch": epoch, "seq": 0 } });
    let body = json!({ "device_id": device.id, "cursors": cursors });
    let acked = caller.post("/api/v1/sync/ack", &body).await.expect(200);
    assert_eq!(acked["cursors"], cursors);
    let body =
        json!({ "device_id": device.id, "cursors": { "user:u1": { "epoch": epoch, "seq": 1 } } });
    caller.post("/api/v1/sync/ack", &body).await.expect_error(422, "invalid");
    let body = json!({ "device_id": device.id, "cursors": { "user:u1": { "epoch": "zzzzzzzz", "seq": 0 } } });
    caller.post("/api/v1/sync/ack", &body).await.expect_error(409, "epoch_changed");
    scene.nobody_noticed().await;
}

/// Results of commands that are not this device's change nothing and do not
/// tell whether there is such a command.
#[tokio::test]
async fn results_for_a_strangers_command_are_not_found() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    let mut socket = device.open().await;
    let tablet = scene.gateway.device("tablet", "u1");
    tablet.open().await;
    let stranger =
        scene.command(&json!({ "user_id": "u2", "data_type": "steps", "value": 1 })).await;
    let addressed =
        json!({ "user_id": "u1", "device_id": tablet.id, "data_type": "steps", "value": 1 });
    let addressed = scene.command(&addressed).await;
    scene.gateway.said();
    for (id, name) in [(&stranger, "stranger's"), (&addressed, "tablet's")] {
        scene.gateway.transcript().name_id(id, name);
    }
    let row = |id: &str| json!({ "command_id": id, "attempt": 1, "status": "applied" });
    let unknown = "00000000-0000-7000-8000-000000000001";
    let rows = json!([row(&stranger), row(&addressed), row(unknown)]);
    socket.send(&json!({ "type": "results", "results": rows, "ref": 7 })).await;
    socket.expect("results_ok").await;
    check!("strangers_results", scene.gateway.said());
    let body = json!({ "device_id": device.id, "results": rows });
    let answer = scene.gateway.calls_of(&device).quiet().post("/api/v1/sync/results", &body).await;
    for row in answer.expect(200)["results"].as_array().unwrap() {
        assert_eq!((&row["error"], &row["accepted"]), (&json!("not_found"), &json!(false)));
    }
    for id in [&stranger, &addressed] {
        let view = scene.backend.get(&format!("/api/v1/commands/{id}")).await.expect(200);
        assert!(["pending", "sent"].contains(&view["status"].as_str().unwrap()), "{view}");
        assert!(view.get("result").is_none());
    }
    scene.nobody_noticed().await;
}

#[tokio::test]
async fn results_beyond_their_bounds_are_refused_and_the_session_stays() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    let mut socket = device.open().await;
    let id = scene.command(&json!({ "user_id": "u1", "data_type": "steps", "value": 1 })).await;
    socket.entries(1).await;
    let good = json!({ "command_id": id, "status": "applied" });
    let with = |field: &str, value: Value| {
        let mut row = good.clone();
        row[field] = value;
        row
    };
    for rows in [
        json!(vec![&good; 101]),
        json!([with("attempt", json!(0))]),
        json!([with("attempt", json!(-1))]),
        json!([with("error", json!("x".repeat(2001)))]),
    ] {
        socket.send(&json!({ "type": "results", "results": rows })).await;
        assert_eq!(socket.expect("error").await["code"], "invalid");
        let caller = scene.gateway.calls_of(&device).quiet();
        let body = json!({ "device_id": device.id, "results": rows });
        caller.post("/api/v1/sync/results", &body).await.expect_error(422, "invalid");
    }
    let future = json!([with("attempt", json!(2))]);
    socket.send(&json!({ "type": "results", "results": future })).await;
    let answer = socket.expect("results_ok").await;
    assert_eq!(answer["results"][0]["error"], "invalid");
    socket.send(&json!({ "type": "results", "results": vec![&good; 100] })).await;
    let answer = socket.expect("results_ok").await;
    let rows = answer["results"].as_array().unwrap();
    assert!(rows.len() == 100 && rows.iter().all(|row| row["accepted"] == true), "{answer}");
    scene.nobody_noticed().await;
}

/// The id of a device is its user's own matter: nothing is inherited, and
/// neither notices the other.
#[tokio::test]
async fn two_users_with_one_device_id_share_nothing() {
    let mut scene = Scene::start().await;
    let mine = scene.device();
    let theirs = scene.gateway.device_with_id("device", "u2", &mine.id);
    let mut hello = mine.hello();
    hello["device"]["name"] = json!("my phone");
    hello["device"]["capabilities"] = json!(["steps"]);
    let (mut my_socket, _) = mine.open_with(&hello).await;
    my_socket.snapshot().await;
    let mut their_socket = theirs.open().await;

    let body = |user: &str| json!({ "user_id": user, "device_id": mine.id, "data_type": "steps", "value": user });
    let (to_me, to_them) = (scene.command(&body("u1")).await, scene.command(&body("u2")).await);
    for (socket, id, user) in [(&mut my_socket, &to_me, "u1"), (&mut their_socket, &to_them, "u2")]
    {
        let entries = socket.entries(1).await;
        assert_eq!(entries[0]["body"]["command_id"], json!(id));
        assert_eq!(entries[0]["body"]["value"], user);
    }
    let row = json!({ "command_id": to_me, "status": "rejected" });
    their_socket.send(&json!({ "type": "results", "results": [row] })).await;
    assert_eq!(their_socket.expect("results_ok").await["results"][0]["error"], "not_found");

    let calls = scene.gateway.calls_of(&theirs).quiet();
    let devices = calls.get("/api/v1/devices").await.expect(200);
    assert!(devices["items"][0]["name"].is_null(), "{devices}");
    calls.delete(&format!("/api/v1/devices/{}", mine.id)).await;
    their_socket.expect_close_after_frames(4403, "device_deleted").await;
    my_socket.expect_nothing_pending().await;
    let view = scene.backend.get(&format!("/api/v1/commands/{to_me}")).await.expect(200);
    assert_ne!(view["status"], "cancelled");
    scene.nobody_noticed().await;
}
