//! Many commands in one call, judged one by one.

use serde_json::json;

use crate::support::{Gateway, check};

const PATH: &str = "/api/v1/commands/batch";

/// Each row has the status its command would have had alone; the good ones
/// are made, in order.
#[tokio::test]
async fn each_command_is_judged_by_itself() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    gateway.said();
    let batch = json!({ "commands": [
        { "user_id": "u1", "data_type": "first", "value": 1 },
        { "user_id": "u1", "data_type": "", "value": 2 },
        { "user_id": "u1", "value": 3 },
        { "user_id": "u1", "data_type": "t", "value": 4,
          "device_id": "00000000-0000-4000-8000-000000000001" },
        7,
        { "user_id": "u2", "data_type": "other user", "value": 5 },
        { "user_id": "u1", "data_type": "last", "value": 6, "priority": "low" },
    ]});
    backend.post(PATH, &batch).await.expect(207);
    socket.entries(2).await;
    check!("rows", gateway.said());
}

/// A row's key counts however its name is written in JSON.
#[tokio::test]
async fn a_key_may_be_named_with_escapes() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend().quiet();
    let mut ids = Vec::new();
    for name in ["idempotency_key", r"idempotency\u005fkey", r"\u0069dempotency_key"] {
        let row = format!(r#"{{"user_id":"u1","data_type":"t","value":1,"{name}":"k"}}"#);
        let batch = format!(r#"{{"commands":[{row}]}}"#);
        let answer = backend.post_text(PATH, &batch).await.expect(207);
        ids.push(answer["results"][0]["command"]["command_id"].as_str().unwrap().to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

/// What JSON must not hold refuses the command that holds it, not the others.
#[tokio::test]
async fn unacceptable_json_refuses_only_its_row() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend().quiet();
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let values = ["1", r#""\u0000""#, &deep(63), &deep(64), &deep(10_000), r#""\ud800""#, "2"];
    let rows: Vec<String> = values
        .iter()
        .map(|value| format!(r#"{{"user_id":"u1","data_type":"t","value":{value}}}"#))
        .collect();
    let batch = format!(r#"{{"commands":[{}]}}"#, rows.join(","));
    let answer = backend.post_text(PATH, &batch).await.expect(207);
    let statuses: Vec<i64> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["status"].as_i64().unwrap())
        .collect();
    assert_eq!(statuses, [202, 422, 202, 422, 422, 422, 202]);
}

/// An empty batch is done at once; one too large is refused as a whole.
#[tokio::test]
async fn a_batch_has_bounds() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend().quiet();
    let empty = backend.post(PATH, &json!({ "commands": [] })).await.expect(207);
    assert_eq!(empty, json!({ "results": [] }));
    let command = json!({ "user_id": "u1", "data_type": "t", "value": 1 });
    let many = json!({ "commands": vec![command; 501] });
    backend.post(PATH, &many).await.expect_error(422, "invalid");
    for body in ["{}", r#"{"commands":{}}"#, "[]"] {
        backend.post_text(PATH, body).await.expect_error(422, "invalid");
    }
    let list = backend.get("/api/v1/commands?user_id=u1").await.expect(200);
    assert_eq!(list["items"], json!([]));
}
