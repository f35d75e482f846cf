//! What every call is told when there are too many: 429 by address, 503 in
//! all.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::openapi::call::{Call, Seen, entitled};
use crate::support::{Answer, Operation, Setup, bounded, eventually, is_documented};

/// One client of a trusted proxy, which has its only connection already.
async fn by_address(seen: &mut Seen) {
    let gateway = Setup::new()
        .set("http.trusted_proxies", r#"["127.0.0.0/8"]"#)
        .set("limits.connections_per_address", "1")
        .start()
        .await;
    let device = gateway.device("phone", "u1");
    let mut request = device.request();
    request.headers_mut().insert("x-forwarded-for", HeaderValue::from_static("203.0.113.9"));
    let mut socket = device.connect_with(request).await.unwrap();
    socket.begin(&device.hello()).await;
    for operation in Operation::all() {
        let caller = entitled(&gateway, &operation).with_header("x-forwarded-for", "203.0.113.9");
        Call::of(&operation).by(&caller).await.expect_error(429, "too_many_connections");
    }
    drop(socket);
    seen.extend(gateway.transcript().answers());
}

/// Asks on a connection that may be answered before it has asked: a client of
/// HTTP takes that for an error.
async fn ask(address: &str, operation: &Operation) -> Answer {
    let mut peer = TcpStream::connect(address).await.unwrap();
    let (method, path) = (operation.method(), Call::of(operation).path());
    let head = format!("{method} {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n");
    let _ = peer.write_all(head.as_bytes()).await;
    let mut said = String::new();
    bounded("an answer", peer.read_to_string(&mut said)).await.unwrap();
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap();
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    });
    Answer {
        status: status.parse().unwrap(),
        headers: headers.collect::<HeaderMap>(),
        bytes: body.as_bytes().to_vec(),
        body: serde_json::from_str(body).unwrap(),
    }
}

/// A gateway that has all the connections that it may.
async fn in_all(seen: &mut Seen) {
    let gateway = Setup::new()
        .set("limits.connections_total", "1")
        .set("http.header_timeout_ms", "60000")
        .start()
        .await;
    let mut held = TcpStream::connect(gateway.address()).await.unwrap();
    held.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    let metrics = &gateway.running().state().metrics;
    eventually("the connection", async || (metrics.connections.get() == 1).then_some(())).await;
    for operation in Operation::all() {
        let answer = ask(&gateway.address(), &operation).await;
        let path = Call::of(&operation).path();
        seen.extend(
            is_documented(&operation.method(), &path, None, &answer)
                .map(|name| (name, answer.status.as_u16())),
        );
        answer.expect_error(503, "unavailable");
    }
}

pub(super) async fn all() -> Seen {
    let mut seen = Seen::new();
    by_address(&mut seen).await;
    in_all(&mut seen).await;
    seen
}
