//! Who may open a socket: tokens in the header and in `hello`.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::support::{Device, Gateway, Token, check};

/// Opens without a header and says hello with this token.
async fn hello_with(device: &Device, header: Option<&str>, token: &str) -> crate::support::Socket {
    let mut socket = device.connect_with(device.request_with(header)).await.unwrap();
    let mut hello = device.hello();
    hello["token"] = json!(token);
    socket.send(&hello).await;
    socket
}

/// Browsers cannot set headers: the token may come with `hello` instead, and
/// with both the user must agree.
#[tokio::test]
async fn a_token_may_come_with_hello() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let (own, other) = (Token::device("u1").sign(), Token::device("u2").sign());
    for header in [None, Some(own.as_str())] {
        let mut socket = hello_with(&phone, header, &own).await;
        socket.expect("welcome").await;
    }
    let mut socket = hello_with(&phone, Some(&other), &own).await;
    socket.expect_close(4403, "forbidden").await;
    check!("with_hello", gateway.said());
}

/// Without a good token the socket closes 4401; the reason tells nothing more.
#[tokio::test]
async fn a_hello_without_a_good_token_is_refused() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let expired = Token::device("u1").expires_at_s(gateway.now_ms() / 1000 - 1).sign();
    let forged = Token::device("u1").sign_with("another secret, also long enough for HS256");
    for token in [expired, forged, "nonsense".to_owned(), String::new()] {
        let mut socket = hello_with(&phone, None, &token).await;
        socket.expect_close(4401, "unauthenticated").await;
    }
    let mut socket = phone.connect_with(phone.request_with(None)).await.unwrap();
    socket.send(&phone.hello()).await;
    socket.expect_close(4401, "unauthenticated").await;
}

/// Backends and operators have no socket.
#[tokio::test]
async fn only_devices_have_a_socket() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    for token in [Token::service("u1").sign(), Token::admin("u1").sign()] {
        let mut socket = hello_with(&phone, None, &token).await;
        socket.expect_close(4403, "forbidden").await;
        let request = phone.request_with(Some(&token));
        let mut socket = phone.connect_with(request).await.unwrap();
        socket.expect_close(4403, "forbidden").await;
    }
}

/// A token bound to a device opens a socket for that device only.
#[tokio::test]
async fn a_bound_token_is_for_one_device() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    let bound = Token::device("u1").claim("device_id", phone.id.clone()).sign();
    let mut socket = hello_with(&phone, None, &bound).await;
    socket.expect("welcome").await;
    let unbound = Token::device("u1").sign();
    for (header, token) in [(None, &bound), (Some(&*bound), &unbound), (Some(&*unbound), &bound)] {
        let mut socket = hello_with(&tablet, header, token).await;
        socket.expect_close(4403, "device_mismatch").await;
    }
}

/// The upgrade itself is refused over HTTP, with a named error.
#[tokio::test]
async fn a_bad_upgrade_is_refused_by_name() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let mut without = phone.request();
    without.headers_mut().remove("sec-websocket-protocol");
    let mut other = phone.request();
    other.headers_mut().insert("sec-websocket-protocol", "tidegate.v2, chat".parse().unwrap());
    let bad_token = phone.request_with(Some("nonsense"));
    for (request, status, code) in [
        (without, 400, "subprotocol_required"),
        (other, 400, "subprotocol_required"),
        (bad_token, 401, "unauthenticated"),
    ] {
        let Err(Error::Http(response)) = phone.connect_with(request).await else {
            panic!("the upgrade was accepted")
        };
        assert_eq!(response.status(), status);
        let body = response.body().clone().unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"]["code"], code);
    }
    let answer = gateway.calls_of(&phone).get("/api/v1/sync/ws").await;
    answer.expect_error(426, "upgrade_required");
}
