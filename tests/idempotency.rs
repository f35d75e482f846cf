//! Idempotency-Key: a request that is repeated is done once.

use std::time::Duration;

use serde_json::json;

use crate::support::{Gateway, Setup, Token, check};

const PATH: &str = "/api/v1/commands";

/// The same key and body: 200 with the command as it stands now. Another
/// body: 409. White space around the fields does not make another body.
#[tokio::test]
async fn a_repeated_request_makes_one_command() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend().with_key("key-1");
    let body = r#"{"user_id":"u1","data_type":"t","value":{"a":1}}"#;
    let made = backend.post_text(PATH, body).await.expect(202);
    backend.post_text(PATH, body).await.expect(200);
    let spaced = "{ \"user_id\" : \"u1\",\n \"data_type\": \"t\", \"value\":{\"a\":1} }";
    let again = backend.quiet().post_text(PATH, spaced).await.expect(200);
    assert_eq!(again["command_id"], made["command_id"]);
    let other = r#"{"user_id":"u1","data_type":"t","value":{"a":2}}"#;
    backend.post_text(PATH, other).await.expect_error(409, "idempotency_mismatch");
    let path = format!("{PATH}/{}", made["command_id"].as_str().unwrap());
    gateway.backend().quiet().delete(&path).await.expect(200);
    let standing = backend.post_text(PATH, body).await.expect(200);
    assert_eq!(standing["status"], "cancelled");
    check!("repeated", gateway.said());
}

/// Twins that come at the same time make one command; all but one wait for it.
#[tokio::test]
async fn concurrent_twins_make_one_command() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend().quiet().with_key("twin");
    let body = json!({ "user_id": "u1", "data_type": "t", "value": 1 });
    let posts: Vec<_> = (0..8).map(|_| backend.post(PATH, &body)).collect();
    let answers = futures_util::future::join_all(posts).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 202]);
    let id = &answers[0].body["command_id"];
    assert!(answers.iter().all(|answer| answer.body["command_id"] == *id));
    let list = backend.get("/api/v1/commands?user_id=u1").await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

/// A key belongs to its caller.
#[tokio::test]
async fn callers_do_not_share_keys() {
    let gateway = Gateway::start().await;
    let body = json!({ "user_id": "u1", "data_type": "t", "value": 1 });
    for sub in ["backend-1", "backend-2"] {
        let caller = gateway.caller(sub, &Token::service(sub).sign()).with_key("same");
        caller.post(PATH, &body).await.expect(202);
    }
}

/// A key is 1 to 255 visible ASCII characters.
#[tokio::test]
async fn a_key_has_a_form() {
    let gateway = Gateway::start().await;
    let body = json!({ "user_id": "u1", "data_type": "t", "value": 1 });
    let longest = "k".repeat(255);
    gateway.backend().with_key(&longest).post(PATH, &body).await.expect(202);
    for key in ["", "two words", &"k".repeat(256)] {
        let answer = gateway.backend().with_key(key).post(PATH, &body).await;
        let error = answer.expect_error(422, "invalid");
        assert_eq!(error["details"][0]["field"], "Idempotency-Key");
    }
}

/// In a batch each command has its own key.
#[tokio::test]
async fn keys_work_in_a_batch() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend();
    let command = |key: &str, value: i32| json!({ "user_id": "u1", "data_type": "t", "value": value, "idempotency_key": key });
    let batch = json!({ "commands": [
        command("a", 1), command("b", 2), command("a", 1), command("b", 3), command("", 4),
    ]});
    backend.post("/api/v1/commands/batch", &batch).await.expect(207);
    let single = json!({ "user_id": "u1", "data_type": "t", "value": 1 });
    backend.clone().with_key("a").post(PATH, &single).await.expect(200);
    check!("batch", gateway.said());
}

/// A key is kept for a day, and as long as its command lives.
#[tokio::test]
async fn keys_are_kept() {
    let gateway = Setup::new().set("journal.trim_interval_s", "1").start().await;
    let backend = gateway.backend();
    let command =
        |ttl_s: u32| json!({ "user_id": "u1", "data_type": "t", "value": 1, "ttl_s": ttl_s });
    let (brief, long) = (command(1), command(3 * 86_400));
    backend.clone().with_key("brief").post(PATH, &brief).await.expect(202);
    backend.clone().with_key("long").post(PATH, &long).await.expect(202);
    for hours in [23, 48] {
        gateway.move_clock(Duration::from_hours(hours));
        gateway.pass_time(Duration::from_secs(1)).await;
        if hours == 23 {
            let standing = backend.clone().with_key("brief").post(PATH, &brief).await.expect(200);
            assert_eq!(standing["status"], "expired");
        }
        let standing = backend.clone().with_key("long").post(PATH, &long).await.expect(200);
        assert_ne!(standing["status"], "expired");
    }
}
