//! Tokens that are missing, bad, or somebody else's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::bad_input::{Scene, refused};
use crate::support::Token;

/// Nobody signed it.
fn unsigned(user: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({ "alg": "none", "typ": "JWT" }));
    format!("{header}.{}.", part(json!({ "sub": user, "exp": 99_999_999_999_i64 })))
}

/// Tokens that nobody may come in with.
fn bad(now_ms: i64) -> Vec<(&'static str, String)> {
    let good = Token::device("u1");
    let signed = good.sign();
    vec![
        ("not a token", "letmein".to_owned()),
        ("empty", String::new()),
        ("expired", good.clone().expires_at_s(now_ms / 1000 - 1).sign()),
        ("not valid yet", good.clone().claim("nbf", now_ms / 1000 + 60).sign()),
        ("alg none", unsigned("u1")),
        ("another key", good.sign_with("another secret, which is as long as it must be")),
        ("signature cut", signed[..signed.len() - 4].to_owned()),
        ("no such role", good.clone().claim("role", "root").sign()),
        ("no user", good.clone().claim("sub", "").sign()),
        ("too long", good.claim("x", "x".repeat(9_000)).sign()),
    ]
}

/// On the upgrade it is 401, in `hello` and in `auth` 4401, over HTTP 401.
#[tokio::test]
async fn bad_tokens_open_nothing() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    for (what, token) in bad(scene.gateway.now_ms()) {
        scene.say(&format!("-- {what}"));
        let answer = refused(&device, device.request_with(Some(&token))).await;
        assert_eq!(answer, (401, "unauthenticated".to_owned()), "{what}");
        let caller = scene.gateway.caller("device", &token).quiet();
        caller.get("/api/v1/devices").await.expect_error(401, "unauthenticated");

        let mut hello = device.hello();
        hello["token"] = json!(token);
        let mut socket = device.connect_with(device.request_with(None)).await.unwrap();
        socket.send(&hello).await;
        socket.expect_close(4401, "unauthenticated").await;
        let mut socket = device.connect().await;
        socket.send(&hello).await;
        socket.expect_close(4401, "unauthenticated").await;

        let mut socket = device.open().await;
        socket.send(&json!({ "type": "auth", "token": token })).await;
        socket.expect_close(4401, "unauthenticated").await;
        scene.nobody_noticed().await;
    }
}

#[tokio::test]
async fn no_token_opens_nothing() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    let mut socket = device.connect_with(device.request_with(None)).await.unwrap();
    socket.send(&device.hello()).await;
    socket.expect_close(4401, "unauthenticated").await;
    let mut request = device.request_with(None);
    request.headers_mut().insert("authorization", "Basic dTE6dTE=".parse().unwrap());
    assert_eq!(refused(&device, request).await.0, 401);
    let caller = scene.gateway.calls_of(&device).quiet().without_token();
    caller.get("/api/v1/devices").await.expect_error(401, "unauthenticated");
    scene.nobody_noticed().await;
}

/// Only devices have a socket.
#[tokio::test]
async fn other_roles_have_no_socket() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    for token in [Token::service("u1").sign(), Token::admin("u1").sign()] {
        let mut socket = device.connect_with(device.request_with(Some(&token))).await.unwrap();
        socket.expect_close(4403, "forbidden").await;
        let mut hello = device.hello();
        hello["token"] = json!(token);
        let mut socket = device.connect_with(device.request_with(None)).await.unwrap();
        socket.send(&hello).await;
        socket.expect_close(4403, "forbidden").await;
        let mut socket = device.open().await;
        socket.send(&json!({ "type": "auth", "token": token })).await;
        socket.expect_close(4403, "forbidden").await;
    }
    let caller = scene.gateway.calls_of(&device).quiet();
    let command = json!({ "user_id": "u1", "data_type": "steps", "value": 1 });
    caller.post("/api/v1/commands", &command).await.expect_error(403, "forbidden");
    scene.nobody_noticed().await;
}

/// A session belongs to one user and one device, whatever comes later.
#[tokio::test]
async fn tokens_of_others_end_the_session() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    let bound = |id: &str| Token::device("u1").claim("device_id", id).sign();
    let other_device = bound("00000000-0000-4000-8000-00000000000b");
    for (token, reason) in
        [(Token::device("u2").sign(), "forbidden"), (other_device.clone(), "device_mismatch")]
    {
        let mut hello = device.hello();
        hello["token"] = json!(token);
        let mut socket = device.connect().await;
        socket.send(&hello).await;
        socket.expect_close(4403, reason).await;
        let mut socket = device.open().await;
        socket.send(&json!({ "type": "auth", "token": token })).await;
        socket.expect_close(4403, reason).await;
        scene.nobody_noticed().await;
    }
    let request = device.request_with(Some(&other_device));
    let mut socket = device.connect_with(request).await.unwrap();
    socket.send(&device.hello()).await;
    socket.expect_close(4403, "device_mismatch").await;
    let caller = scene.gateway.caller("device", &other_device).quiet();
    let poll = format!("/api/v1/sync/poll?device_id={}", device.id);
    caller.get(&poll).await.expect_error(403, "device_mismatch");

    let mut hello = device.hello();
    hello["token"] = json!(bound(&device.id));
    let (mut socket, _) = device.open_with(&hello).await;
    socket.snapshot().await;
    socket.send(&json!({ "type": "auth", "token": bound(&device.id) })).await;
    socket.expect("auth_ok").await;
    scene.nobody_noticed().await;
}
