//! What calls of devices, backends and operators answer when they do their
//! work, and refusals of their own.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::json;

use crate::openapi::call::{NO_DEVICE, Seen, caller};
use crate::support::{Caller, Gateway, NO_EPOCH, Setup, cursor, eventually, put};

const COMMANDS: &str = "/api/v1/commands";

async fn devices(gateway: &Gateway) {
    let phone = caller(gateway, "device");
    let body = json!({ "platform": "android", "push": null, "name": "phone" });
    let known = phone.post("/api/v1/devices/register", &body).await.expect(200);
    let id = known["device_id"].as_str().unwrap();
    phone.get("/api/v1/devices").await.expect(200);
    let backend = caller(gateway, "service");
    backend.get("/api/v1/users/u1/devices").await.expect(200);
    backend.delete("/api/v1/users/u1/sessions").await.expect(204);
    backend.delete("/api/v1/users/a%20b/sessions").await.expect_error(422, "invalid");
    phone.delete(&format!("/api/v1/devices/{id}")).await.expect(204);
    phone.get("/api/v1/push/webpush-key").await.expect_error(404, "not_found");
}

async fn stream_of_a_device(gateway: &Gateway) {
    let device = gateway.device("phone", "u1");
    let mut socket = device.open().await;
    let phone = caller(gateway, "device");
    let made = caller(gateway, "service").make_for(&device, "steps").await;
    let epoch = socket.expect("events").await["epoch"].clone();
    let poll = format!("/api/v1/sync/poll?subscribe=news,nothing&device_id={}", device.id);
    phone.get(&poll).await.expect(200);
    let unknown = format!("/api/v1/sync/poll?device_id={NO_DEVICE}");
    phone.get(&unknown).await.expect_error(404, "device_not_found");
    let results = json!([
        { "command_id": made, "attempt": 1, "status": "applied" },
        { "command_id": NO_DEVICE, "status": "failed", "retryable": true, "error": "busy" },
    ]);
    for (call, field, value) in
        [("ack", "cursors", cursor("user:u1", &epoch, 1)), ("results", "results", results)]
    {
        let path = format!("/api/v1/sync/{call}");
        let known = json!({ "device_id": device.id, field: value });
        phone.post(&path, &known).await.expect(200);
        let unknown = json!({ "device_id": NO_DEVICE, field: value });
        phone.post(&path, &unknown).await.expect_error(404, "device_not_found");
    }
    let other = cursor("user:u1", &json!(NO_EPOCH), 1);
    let other = json!({ "device_id": device.id, "cursors": other });
    phone.post("/api/v1/sync/ack", &other).await.expect_error(409, "epoch_changed");
    phone.post("/api/v1/sync/mutate", &json!({})).await.expect_error(501, "not_supported");
}

/// Twice with one key, then something else with it, then for no device.
async fn with_key(caller: Caller, path: &str, body: serde_json::Value) {
    let caller = caller.with_key(path);
    caller.post(path, &body).await.expect(202);
    caller.post(path, &body).await.expect(200);
    let mut other = body;
    other["value"] = json!({ "n": 2 });
    caller.post(path, &other).await.expect_error(409, "idempotency_mismatch");
    other["device_id"] = NO_DEVICE.into();
    let caller = caller.with_key("another");
    caller.post(path, &other).await.expect_error(404, "device_not_found");
}

async fn commands(gateway: &Gateway) {
    let backend = caller(gateway, "service");
    let body = json!({ "user_id": "u1", "data_type": "steps", "value": { "n": 1 } });
    with_key(backend.clone(), COMMANDS, body).await;
    let body = json!({ "data_type": "steps", "value": { "n": 1 } });
    with_key(caller(gateway, "device"), "/api/v1/dev/trigger-write", body).await;
    let id = backend.make("u1", "steps").await;
    let path = format!("{COMMANDS}/{id}");
    backend.get(&path).await.expect(200);
    backend.delete(&path).await.expect(200);
    backend.delete(&path).await.expect_error(409, "command_final");
    backend.get(&format!("{COMMANDS}?user_id=u1&status=cancelled")).await.expect(200);
    let rows = json!({ "commands": [{ "user_id": "u1", "data_type": "t", "value": 1 }, {}] });
    backend.post(&format!("{COMMANDS}/batch"), &rows).await.expect(207);
}

async fn records(gateway: &Gateway) {
    let backend = caller(gateway, "service").with_key("records");
    let path = "/api/v1/streams/news/records";
    let body = json!({ "records": [put("a", &json!({ "n": 1 }))] });
    backend.post(path, &body).await.expect(202);
    backend.post(path, &body).await.expect(200);
    let mut stale = body;
    stale["records"][0]["base_version"] = 7.into();
    backend.with_key("stale").post(path, &stale).await.expect_error(409, "version_conflict");
}

/// What can be asked of a marketplace, where there is none.
async fn without_marketplace(gateway: &Gateway) {
    let operator = caller(gateway, "admin");
    for work in
        ["sync/trigger", "sync/ratings", "websocket/reconnect", "ratings/failed/nobody/retry"]
    {
        let path = format!("/api/v1/admin/{work}");
        let answer = operator.call(Method::POST, &path, None).await;
        answer.expect_error(501, "not_supported");
    }
}

async fn operation(mut gateway: Gateway) -> Seen {
    let operator = caller(&gateway, "admin").without_token();
    for path in ["/healthz", "/readyz", "/metrics", "/api/v1/openapi.json"] {
        operator.get(path).await.expect(200);
    }
    let transcript = gateway.transcript().clone();
    let phone = gateway.device("phone", "u1");
    let mut socket = phone.open().await;
    tokio::join!(gateway.stop(), async {
        eventually("readiness to tell", async || {
            (operator.get("/readyz").await.status == 503).then_some(())
        })
        .await;
        socket.expect_close_after_frames(1012, "drain").await;
    });
    transcript.answers()
}

async fn web_push() -> Seen {
    let files = tempfile::tempdir().unwrap();
    let key = files.path().join("vapid.key");
    std::fs::write(&key, URL_SAFE_NO_PAD.encode([7; 32])).unwrap();
    let gateway = Setup::new()
        .set("push.webpush.private_key_file", key.to_str().unwrap())
        .set("push.webpush.subject", "mailto:ops@example.org")
        .start()
        .await;
    caller(&gateway, "device").get("/api/v1/push/webpush-key").await.expect(200);
    gateway.transcript().answers()
}

pub(super) async fn all() -> Seen {
    let mut seen = web_push().await;
    let gateway = Setup::new().set("drain.spread_ms", "500").start().await;
    devices(&gateway).await;
    stream_of_a_device(&gateway).await;
    commands(&gateway).await;
    records(&gateway).await;
    without_marketplace(&gateway).await;
    seen.extend(operation(gateway).await);
    seen
}
