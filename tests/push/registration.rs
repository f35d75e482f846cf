//! How tokens come: by hello, by HTTP, under their other name; and which are
//! refused.

use serde_json::{Value, json};

use crate::push::scene::Scene;
use crate::support::{Gateway, Setup, check};

/// By hello, by HTTP and as `fcm_token`: each is pushed. Null takes it back.
#[tokio::test]
async fn tokens_come_by_hello_and_by_http() {
    let scene = Scene::start_with(Scene::patient()).await;
    let (phone, tablet) =
        (scene.gateway.device("phone", "u1"), scene.gateway.device("tablet", "u2"));
    let mut hello = phone.hello();
    hello["device"]["push"] = json!({ "provider": "fcm", "token": "token-phone" });
    let (mut socket, _) = phone.open_with(&hello).await;
    socket.snapshot().await;
    socket.close().await;
    scene.until_figure("tidegate_sessions", 0.0).await;
    let body = json!({ "device_id": tablet.id, "platform": "ios", "fcm_token": "token-tablet" });
    scene.calls(&tablet).post("/api/v1/devices/register", &body).await.expect(200);
    for (user, token) in [("u1", "token-phone"), ("u2", "token-tablet")] {
        scene.backend.make(user, "steps").await;
        scene.pushes(token, 1).await;
    }
    scene.register(&tablet, Value::Null).await;
    assert_eq!(scene.push_state(&tablet).await, "none");
    scene.backend.make("u2", "weight").await;
    scene.idle().await;
    scene.pushes("token-tablet", 1).await;
}

/// A hello without a push object changes nothing of the token.
#[tokio::test]
async fn a_hello_without_a_token_keeps_it() {
    let scene = Scene::start_with(Scene::patient()).await;
    let phone = scene.phone("phone", "u1").await;
    phone.open().await.close().await;
    scene.until_figure("tidegate_sessions", 0.0).await;
    scene.backend.make("u1", "steps").await;
    scene.pushes("token-phone", 1).await;
}

fn subscription(endpoint: &str) -> String {
    json!({ "endpoint": endpoint, "keys": {
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    }})
    .to_string()
}

/// In production no device can make the gateway call into its own network:
/// such endpoints are refused where they are registered, in both ways.
#[tokio::test]
async fn endpoints_inside_are_refused_in_production() {
    let gateway = Setup::new().set("environment", "production").start().await;
    let phone = gateway.device("phone", "u1");
    let calls = gateway.calls_of(&phone);
    let body = |token: &str| {
        json!({ "device_id": phone.id, "platform": "web",
                "push": { "provider": "webpush", "token": token } })
    };
    for endpoint in [
        "http://push.example.com/x",
        "https://localhost/x",
        "https://push.local/x",
        "https://push.internal/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://10.0.0.1/x",
        "https://192.168.1.1:8443/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "file:///etc/passwd",
    ] {
        let body = body(&subscription(endpoint));
        let answer = calls.quiet().post("/api/v1/devices/register", &body).await;
        answer.expect_error(422, "invalid");
    }
    let path = "/api/v1/devices/register";
    calls.post(path, &body(&subscription("https://127.0.0.1/x"))).await.expect(422);
    calls.post(path, &body("not a subscription")).await.expect(422);
    let mut hello = phone.hello();
    hello["device"]["push"] = body(&subscription("https://10.0.0.1/x"))["push"].clone();
    let mut socket = phone.connect().await;
    socket.send(&hello).await;
    socket.expect("error").await;
    socket.expect_close(4400, "invalid_field").await;
    let public = body(&subscription("https://push.example.com/x"));
    calls.quiet().post(path, &public).await.expect(200);
    check!("endpoints_refused", said(&gateway));
}

/// Names that never lead to a push service are refused where they are
/// registered, in development too, and the field is named.
#[tokio::test]
async fn reserved_names_are_refused() {
    for environment in ["development", "production"] {
        let gateway = Setup::new().set("environment", environment).start().await;
        let phone = gateway.device("phone", "u1");
        let calls = gateway.calls_of(&phone).quiet();
        for host in ["push.invalid", "a.b.test", "PUSH.Example", "push.localhost", "example."] {
            let token = subscription(&format!("https://{host}/x"));
            let push = json!({ "provider": "webpush", "token": token });
            let body = json!({ "device_id": phone.id, "platform": "web", "push": push });
            let answer = calls.post("/api/v1/devices/register", &body).await;
            let error = answer.expect_error(422, "invalid");
            assert!(error.to_string().contains("push.token"), "{host}: {error}");
        }
        let mut hello = phone.hello();
        let token = subscription("https://push.invalid/x");
        hello["device"]["push"] = json!({ "provider": "webpush", "token": token });
        let mut socket = phone.connect().await;
        socket.send(&hello).await;
        socket.expect("error").await;
        socket.expect_close(4400, "invalid_field").await;
    }
}

/// Without the tokens, which are long.
fn said(gateway: &Gateway) -> String {
    let lines = gateway.said();
    let short = |line: &str| match line.split_once("\"push\": ") {
        Some((before, _)) => format!("{before}\"push\": …"),
        None => line.to_owned(),
    };
    lines.lines().map(short).collect::<Vec<_>>().join("\n")
}
