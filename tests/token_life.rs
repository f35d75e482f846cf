//! Tokens that end while a session lives, and their successors.

use std::time::Duration;

use serde_json::json;

use crate::support::{Device, Gateway, Socket, Token, bounded, check};

/// A session whose token ends in so many seconds.
async fn open_for(gateway: &Gateway, device: &Device, seconds: i64) -> Socket {
    let token = Token::device(&device.user).expires_at_s(gateway.now_ms() / 1000 + seconds).sign();
    let mut socket = device.connect_with(device.request_with(Some(&token))).await.unwrap();
    socket.begin(&device.hello()).await;
    socket.snapshot().await;
    gateway.said();
    socket
}

/// Moves the wall clock; the session looks at it at its next turn.
async fn wait(gateway: &Gateway, socket: &mut Socket, seconds: u64) {
    gateway.move_clock(Duration::from_secs(seconds));
    socket.quiet(true);
    socket.send(&json!({ "type": "pong" })).await;
    socket.quiet(false);
}

/// A minute before the end the client is warned; at the end it is closed.
#[tokio::test]
async fn a_session_ends_with_its_token() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let mut socket = open_for(&gateway, &phone, 120).await;
    wait(&gateway, &mut socket, 50).await;
    socket.expect_nothing_pending().await;
    wait(&gateway, &mut socket, 11).await;
    socket.expect("auth_expiring").await;
    wait(&gateway, &mut socket, 58).await;
    socket.expect_close(4401, "token_expired").await;
    check!("ended", gateway.said());
}

/// A new token of the same user prolongs it, and is warned of in turn.
#[tokio::test]
async fn a_new_token_prolongs_a_session() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let mut socket = open_for(&gateway, &phone, 90).await;
    let ends = gateway.now_ms() / 1000 + 300;
    let token = Token::device("u1").expires_at_s(ends).sign();
    socket.send(&json!({ "type": "auth", "token": token, "ref": 1 })).await;
    let answer = socket.expect("auth_ok").await;
    let expires = chrono::DateTime::parse_from_rfc3339(answer["expires_at"].as_str().unwrap());
    assert_eq!(expires.unwrap().timestamp(), ends);
    wait(&gateway, &mut socket, 200).await;
    socket.expect_nothing_pending().await;
    wait(&gateway, &mut socket, 50).await;
    socket.expect("auth_expiring").await;
    check!("prolonged", gateway.said());
}

/// Tokens that live for less than two minutes are warned of at half of their
/// life, each once: answered at once, however often, that makes no loop.
#[tokio::test]
async fn a_short_token_is_warned_of_once() {
    let gateway = Gateway::start().await;
    for life_s in [60_u64, 20, 8] {
        let phone = gateway.device("phone", "u1");
        let life = i64::try_from(life_s).unwrap();
        let mut socket = open_for(&gateway, &phone, life).await;
        for _ in 0..3 {
            socket.expect_nothing_pending().await;
            wait(&gateway, &mut socket, life_s / 2).await;
            socket.expect("auth_expiring").await;
            socket.expect_nothing_pending().await;
            let ends = gateway.now_ms() / 1000 + life;
            for _ in 0..2 {
                // Sent twice: the same token is not warned of a second time.
                let token = Token::device("u1").expires_at_s(ends).sign();
                socket.send(&json!({ "type": "auth", "token": token })).await;
                socket.expect("auth_ok").await;
            }
        }
        wait(&gateway, &mut socket, life_s / 2).await;
        socket.expect("auth_expiring").await;
        wait(&gateway, &mut socket, life_s).await;
        socket.expect_close(4401, "token_expired").await;
    }
}

/// A poll is held no longer than its token lives.
#[tokio::test]
async fn a_held_poll_ends_with_its_token() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    gateway.calls_of(&phone).register(&phone).await;
    let ends = gateway.now_ms() / 1000 + 2;
    let calls = gateway.caller("phone", &Token::device("u1").expires_at_s(ends).sign());
    let path = format!("/api/v1/sync/poll?device_id={}", phone.id);
    let answer = calls.get(&path).await.expect(200);
    let path = format!("{path}&wait_s=55&cursor={}", answer["cursor"].as_str().unwrap());
    let held = calls.get(&path);
    let answer = bounded("the token's end", held).await.expect(200);
    assert_eq!(answer["frames"], json!([]));
    gateway.move_clock(Duration::from_secs(2));
    calls.get(&path).await.expect(401);
}

/// A token that is no good, of another user, of another role or for another
/// device ends the session.
#[tokio::test]
async fn a_wrong_token_ends_a_session() {
    let gateway = Gateway::start().await;
    let other = gateway.device("other", "u1");
    for (token, code, reason) in [
        ("nonsense".to_owned(), 4401, "unauthenticated"),
        (Token::device("u1").expires_at_s(1).sign(), 4401, "unauthenticated"),
        (Token::device("u2").sign(), 4403, "forbidden"),
        (Token::service("u1").sign(), 4403, "forbidden"),
        (Token::device("u1").claim("device_id", other.id.clone()).sign(), 4403, "device_mismatch"),
    ] {
        let mut socket = gateway.device("phone", "u1").open().await;
        socket.send(&json!({ "type": "auth", "token": token })).await;
        socket.expect_close(code, reason).await;
    }
}
