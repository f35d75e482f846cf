//! Making commands: every field, and every refusal.

use serde_json::{Value, json};

use crate::support::{Gateway, Setup, check};

const PATH: &str = "/api/v1/commands";

/// All fields come back in the command and in its entry.
#[tokio::test]
async fn all_fields_are_kept() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut hello = phone.hello();
    hello["device"]["capabilities"] = json!(["healthkit"]);
    let (mut socket, _) = phone.open_with(&hello).await;
    socket.snapshot().await;
    gateway.said();
    let now = gateway.stop_clock();
    let id = backend
        .make_with(&json!({
            "user_id": "u1", "device_id": phone.id, "data_type": "nutrition",
            "value": { "kcal": 512.5, "list": [1, null, "x"] }, "priority": "high", "ttl_s": 3600,
            "requires": "healthkit",
        }))
        .await;
    socket.entries(1).await;
    backend.timeline(&id, 2).await;
    let command = backend.get(&format!("{PATH}/{id}")).await.expect(200);
    let parse =
        |name: &str| chrono::DateTime::parse_from_rfc3339(command[name].as_str().unwrap()).unwrap();
    let (created, expires) = (parse("created_at"), parse("expires_at"));
    assert_eq!(created.timestamp_millis(), now);
    assert_eq!(expires.timestamp_millis(), now + 3_600_000);
    check!("all_fields", gateway.said());
}

/// A life is 24 h unless it is named, from 1 s to 4 weeks.
#[tokio::test]
async fn a_life_has_bounds() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend();
    let now = gateway.stop_clock();
    let command =
        |ttl_s: Value| json!({ "user_id": "u1", "data_type": "t", "value": 1, "ttl_s": ttl_s });
    for (ttl_s, seconds) in [(json!(null), 86_400), (json!(1), 1), (json!(2_419_200), 2_419_200)] {
        let accepted = backend.post(PATH, &command(ttl_s)).await.expect(202);
        let expires = accepted["expires_at"].as_str().unwrap();
        let expires = chrono::DateTime::parse_from_rfc3339(expires).unwrap().timestamp_millis();
        assert_eq!(expires, now + seconds * 1000);
    }
    for ttl_s in [json!(0), json!(-1), json!(2_419_201), json!(1.5), json!("60")] {
        backend.post(PATH, &command(ttl_s)).await.expect_error(422, "invalid");
    }
}

/// Valid JSON with a wrong value: 422 with the field.
#[tokio::test]
async fn wrong_values_are_named() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend();
    let right = json!({ "user_id": "u1", "data_type": "t", "value": 1 });
    for (field, value) in [
        ("user_id", json!("")),
        ("user_id", json!("two words")),
        ("user_id", json!(7)),
        ("device_id", json!("6f1c2a4e0b7d4c559a3e2f8f4f1f0d11")),
        ("data_type", json!("")),
        ("data_type", json!("t".repeat(256))),
        ("priority", json!("urgent")),
        ("requires", json!("")),
        ("value", json!("nul \0")),
    ] {
        let mut command = right.clone();
        command[field] = value;
        backend.post(PATH, &command).await.expect_error(422, "invalid");
    }
    for field in ["user_id", "data_type", "value"] {
        let mut command = right.clone();
        command.as_object_mut().unwrap().remove(field);
        backend.post(PATH, &command).await.expect_error(422, "invalid");
    }
    check!("wrong_values", gateway.said());
}

/// Who may not make commands, and for which devices there are none.
#[tokio::test]
async fn callers_and_devices_are_checked() {
    let gateway = Gateway::start().await;
    let (phone, stranger) = (gateway.device("phone", "u1"), gateway.device("stranger", "u2"));
    let backend = gateway.backend();
    gateway.calls_of(&stranger).register(&stranger).await;
    let command = json!({ "user_id": "u1", "data_type": "t", "value": 1 });
    backend.clone().without_token().post(PATH, &command).await.expect_error(401, "unauthenticated");
    let nonsense = backend.clone().with_token("nonsense");
    nonsense.post(PATH, &command).await.expect_error(401, "unauthenticated");
    gateway.calls_of(&phone).post(PATH, &command).await.expect_error(403, "forbidden");
    for id in [&phone.id, &stranger.id] {
        let mut command = command.clone();
        command["device_id"] = json!(id);
        backend.post(PATH, &command).await.expect_error(404, "device_not_found");
    }
    let unknown = format!("{PATH}/{}", phone.id);
    for path in [unknown.as_str(), "/api/v1/commands/not-an-id"] {
        backend.get(path).await.expect_error(404, "not_found");
        backend.delete(path).await.expect_error(404, "not_found");
    }
    gateway.calls_of(&phone).get(&unknown).await.expect_error(403, "forbidden");
    check!("refused", gateway.said());
}

/// An operator may do what a backend may.
#[tokio::test]
async fn an_admin_may_make_commands() {
    let gateway = Gateway::start().await;
    let admin = gateway.caller("admin", &crate::support::Token::admin("root").sign());
    let id = admin.make("u1", "steps").await;
    admin.delete(&format!("{PATH}/{id}")).await.expect(200);
}

/// An entry holds 128 KiB at most; what is larger is refused where it comes.
#[tokio::test]
async fn a_command_has_a_largest_size() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend().quiet());
    let mut socket = phone.open().await;
    let command =
        |bytes: usize| json!({ "user_id": "u1", "data_type": "t", "value": "x".repeat(bytes) });
    backend.post(PATH, &command(128 * 1024)).await.expect_error(413, "too_large");
    // The largest that passes fits a frame.
    let (mut fits, mut too_large) = (120 * 1024, 128 * 1024);
    while too_large - fits > 1 {
        let middle = usize::midpoint(fits, too_large);
        match backend.post(PATH, &command(middle)).await.status.as_u16() {
            202 => {
                fits = middle;
                let events = socket.expect("events").await;
                socket.ack(&events).await;
                assert!(events["entries"][0].to_string().len() <= 128 * 1024);
            }
            status => {
                assert_eq!(status, 413);
                too_large = middle;
            }
        }
    }
    assert!(fits > 128 * 1024 - 1024, "{fits}");
}

/// A user has a bounded number of commands without a final status.
#[tokio::test]
async fn a_user_has_a_bounded_number_of_open_commands() {
    let gateway = Setup::new().set("limits.pending_per_user", "2").start().await;
    let backend = gateway.backend();
    let command = json!({ "user_id": "u1", "data_type": "t", "value": 1 });
    let first = backend.make_with(&command).await;
    let batch = json!({ "commands": [command, command] });
    backend.post("/api/v1/commands/batch", &batch).await.expect(207);
    let answer = backend.post(PATH, &command).await;
    answer.expect_error(429, "too_many_pending");
    backend.make("u2", "another user").await;
    backend.quiet().delete(&format!("{PATH}/{first}")).await.expect(200);
    backend.make_with(&command).await;
    check!("too_many_pending", gateway.said());
}
