//! Clients behind a proxy, and what requests are told of them.

use super::*;
use crate::hub::peer::{Origin, Peer};

/// Clients behind a proxy are counted by their own addresses: for as long as a
/// request takes, and a socket for as long as it lives. A request that only
/// asks for an upgrade is a request.
#[tokio::test]
async fn clients_behind_a_proxy_have_their_own_limit() {
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let options = ServeOptions { connections_per_address: 1, trusted_proxies, ..patient() };
    let closed = Arc::new(Notify::new());
    let router =
        upgrading(Arc::clone(&closed)).merge(Router::new().route("/plain", get(async || "hello")));
    let server = start(options, router).await;
    let asks = async |path: &str, client: &str| {
        let mut stream = server.connect().await;
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {client}\r\n\
             x-request-id: mine\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_some(&mut stream).await;
        (stream, answer)
    };
    let (_answered, answer) = asks("/plain", "203.0.113.9").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (mut socket, answer) = asks("/", "203.0.113.9").await;
    assert!(answer.starts_with("HTTP/1.1 101"), "the request before has ended: {answer}");
    for path in ["/", "/plain"] {
        let (_refused, answer) = asks(path, "203.0.113.9").await;
        assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
        assert!(answer.contains("too_many_connections"), "{answer}");
        assert!(answer.contains("\r\nx-request-id: mine\r\n"), "{answer}");
    }
    assert_eq!(server.refused(ConnectionRefusal::PerAddress), 2);
    let (_other, answer) = asks("/plain", "203.0.113.8").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    closed.notify_one();
    assert_eq!(read_all(&mut socket).await, "");
    let (_again, answer) = asks("/plain", "203.0.113.9").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Handlers learn who asks, as the proxy tells it.
#[tokio::test]
async fn a_request_knows_what_its_client_counts_as() {
    let told = async |axum::Extension(peer): axum::Extension<Peer>| format!("{:?}", peer.origin);
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let options = ServeOptions { trusted_proxies, ..patient() };
    let server = start(options, Router::new().route("/", get(told))).await;
    let mut stream = server.connect().await;
    let network = format!("{:?}", Origin::of("203.0.113.9".parse().unwrap()));
    for (header, origin) in [
        ("x-forwarded-for: 203.0.113.9:51234", &*network),
        ("forwarded: for=\"203.0.113.9:51234\"", &*network),
        ("x-forwarded-for: who knows", "Unreadable"),
        ("accept: */*", "Many"),
    ] {
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\n{header}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_some(&mut stream).await;
        assert!(answer.ends_with(origin), "{header}: {answer}");
    }
}

/// Whoever cannot be told apart has one share for all.
#[tokio::test]
async fn clients_that_a_proxy_names_unreadably_are_one_client() {
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let options = ServeOptions { connections_per_address: 1, trusted_proxies, ..patient() };
    let close = Arc::new(Notify::new());
    let server = start(options, upgrading(Arc::clone(&close))).await;
    let asks = async |name: &str| {
        let mut stream = server.connect().await;
        let head = format!(
            "GET / HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {name}\r\n\
             connection: upgrade\r\nupgrade: x\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_some(&mut stream).await;
        (stream, answer)
    };
    let (_socket, answer) = asks("unknown").await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let (_refused, answer) = asks("_another").await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    let (_socket, answer) = asks("203.0.113.9:1").await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    close.notify_waiters();
}
