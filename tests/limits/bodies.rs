//! Bodies take so much memory, and so much time.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::limits::figure;
use crate::support::{Gateway, Setup, Token, bounded, eventually};

const REGISTER: &str = "/api/v1/devices/register";

/// A call whose body of so many bytes has begun and does not go on.
async fn begin(gateway: &Gateway, token: &str, length: usize, sent: usize) -> TcpStream {
    let mut peer = TcpStream::connect(gateway.address()).await.unwrap();
    let head = format!(
        "POST {REGISTER} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    peer.write_all(head.as_bytes()).await.unwrap();
    // It may be refused before it is sent.
    let _ = peer.write_all(&vec![b' '; sent]).await;
    peer
}

/// The beginning of the answer.
async fn answer(mut peer: TcpStream) -> String {
    let mut said = vec![0; 4096];
    let read = bounded("an answer", peer.read(&mut said)).await.unwrap_or_default();
    String::from_utf8_lossy(&said[..read]).into_owned()
}

/// Unfinished bodies of one user take what that user may take; what is beyond
/// is refused and told when to come again, and everybody else is served.
#[tokio::test]
async fn unfinished_bodies_of_one_user_take_so_much() {
    // None is given up for standing still while the others come.
    let setup = Setup::new()
        .set("limits.bodies_per_user_bytes", "262144")
        .set("http.body_stall_ms", "30000");
    let gateway = setup.start().await;
    let token = Token::device("u1").sign();
    let mut peers = Vec::new();
    for count in 1..=4 {
        peers.push(begin(&gateway, &token, 65_536, 65_535).await);
        eventually("the body to be held", async || {
            (figure(&gateway, "tidegate_body_bytes").await == count * 65_536).then_some(())
        })
        .await;
    }
    for _ in 0..16 {
        let said = answer(begin(&gateway, &token, 65_536, 100).await).await;
        assert!(said.starts_with("HTTP/1.1 429 "), "{said}");
        assert!(said.contains("\r\nretry-after: 1\r\n"), "{said}");
    }
    assert_eq!(figure(&gateway, "tidegate_bodies_refused_total").await, 16);
    assert_eq!(figure(&gateway, "tidegate_body_bytes").await, 4 * 65_536);
    let stranger = gateway.device("stranger", "u2");
    gateway.calls_of(&stranger).quiet().register(&stranger).await;

    drop(peers);
    eventually("the memory to be given back", async || {
        (figure(&gateway, "tidegate_body_bytes").await == 0).then_some(())
    })
    .await;
    gateway
        .caller("phone", &token)
        .quiet()
        .post(REGISTER, &json!({ "platform": "ios" }))
        .await
        .expect(200);
}

/// One that makes no progress is given up, and its connection with it.
#[tokio::test]
async fn a_body_that_stands_still_is_given_up() {
    let gateway = Setup::new().set("http.body_stall_ms", "150").start().await;
    let mut peer = begin(&gateway, &Token::device("u1").sign(), 1000, 10).await;
    let mut said = Vec::new();
    bounded("the end of the connection", peer.read_to_end(&mut said)).await.unwrap();
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    assert!(said.contains("\"body_timeout\""), "{said}");
    assert_eq!(figure(&gateway, "tidegate_bodies_stalled_total").await, 1);
    assert_eq!(figure(&gateway, "tidegate_body_bytes").await, 0);
}

/// A device sends 64 KiB, and as results what a frame holds; one command is
/// more, and a batch is the largest.
#[tokio::test]
async fn each_route_takes_what_it_needs() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let calls = gateway.calls_of(&phone).quiet();
    calls.register(&phone).await;
    let backend = gateway.backend().quiet();
    let device = json!({ "device_id": phone.id, "platform": "ios" });
    let ack = json!({ "device_id": phone.id, "cursors": {} });
    let results = json!({ "device_id": phone.id, "results": [] });
    let command = json!({ "user_id": "u1", "data_type": "steps", "value": 1 });
    let batch = json!({ "commands": [] });
    for (caller, path, body, most, status) in [
        (&calls, REGISTER, &device, 64 * 1024, 200),
        (&calls, "/api/v1/sync/ack", &ack, 64 * 1024, 200),
        (&calls, "/api/v1/sync/results", &results, 256 * 1024, 200),
        (&backend, "/api/v1/commands", &command, 256 * 1024, 202),
        (&backend, "/api/v1/commands/batch", &batch, 2 * 1024 * 1024, 207),
    ] {
        let body = body.to_string();
        let padded = |bytes: usize| format!("{body}{}", " ".repeat(bytes - body.len()));
        caller.post_text(path, &padded(most)).await.expect(status);
        caller.post_text(path, &padded(most + 1)).await.expect_error(413, "too_large");
    }
}
