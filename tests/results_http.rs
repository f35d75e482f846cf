//! Outcomes over HTTP, for devices without a socket.

use serde_json::json;

use crate::support::{Gateway, check};

/// The answer has a row for each result; the timeline names the channel.
#[tokio::test]
async fn results_over_http_are_the_same() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let calls = gateway.calls_of(&phone);
    calls.register(&phone).await;
    let (done, refused) = (backend.make("u1", "steps").await, backend.make("u1", "weight").await);
    gateway.said();
    let body = json!({ "device_id": phone.id, "results": [
        { "command_id": done, "attempt": 1, "status": "applied" },
        { "command_id": refused, "status": "rejected", "error": "no" },
        { "command_id": "00000000-0000-7000-8000-000000000001", "status": "applied" },
    ]});
    calls.post("/api/v1/sync/results", &body).await.expect(200);
    calls.post("/api/v1/sync/results", &body).await.expect(200);
    for id in [done, refused] {
        backend.get(&format!("/api/v1/commands/{id}")).await.expect(200);
    }
    check!("over_http", gateway.said());
}

/// Wrong requests are refused by name.
#[tokio::test]
async fn wrong_results_are_refused() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let calls = gateway.calls_of(&phone);
    let path = "/api/v1/sync/results";
    let result = json!({ "command_id": phone.id, "status": "applied" });
    let body = |results| json!({ "device_id": phone.id, "results": results });
    calls.post(path, &body(json!([result]))).await.expect_error(404, "device_not_found");
    calls.register(&phone).await;
    let many: Vec<_> = (0..101).map(|_| result.clone()).collect();
    calls.quiet().post(path, &body(json!(many))).await.expect_error(422, "invalid");
    let odd = json!([{ "command_id": phone.id, "status": "sent" }]);
    calls.post(path, &body(odd)).await.expect_error(422, "invalid");
    calls.post(path, &json!({ "device_id": phone.id })).await.expect_error(422, "invalid");
    backend.post(path, &body(json!([result]))).await.expect_error(403, "forbidden");
    calls.without_token().post(path, &body(json!([]))).await.expect_error(401, "unauthenticated");
    check!("refused", gateway.said());
}

/// Offline edits are not part of this gateway yet, on both ways.
#[tokio::test]
async fn offline_edits_are_not_supported() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let mut socket = phone.open().await;
    gateway.said();
    let body = json!({ "device_id": phone.id, "producer_epoch": 0, "mutations": [] });
    let answer = gateway.calls_of(&phone).post("/api/v1/sync/mutate", &body).await;
    answer.expect_error(501, "not_supported");
    socket
        .send(&json!({ "type": "mutate", "producer_epoch": 0, "mutations": [], "ref": "m" }))
        .await;
    socket.expect("error").await;
    socket.expect_nothing_pending().await;
    check!("mutate", gateway.said());
}
