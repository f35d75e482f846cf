//! Answers that clients do not read take so much memory.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::limits::figure;
use crate::support::{Gateway, Setup, Token, bounded, eventually};

/// Sends a call and reads the beginning of its answer, and no more.
async fn ask(gateway: &Gateway, token: &str) -> (TcpStream, String) {
    let mut peer = TcpStream::connect(gateway.address()).await.unwrap();
    let head = format!(
        "GET /api/v1/commands?user_id=u1&limit=100 HTTP/1.1\r\nhost: g\r\n\
         authorization: Bearer {token}\r\n\r\n"
    );
    peer.write_all(head.as_bytes()).await.unwrap();
    let mut said = vec![0; 512];
    let read = bounded("an answer", peer.read(&mut said)).await.unwrap();
    (peer, String::from_utf8_lossy(&said[..read]).into_owned())
}

/// What one backend does not read is bounded; others are answered, and it too
/// as soon as it has read.
#[tokio::test]
async fn answers_that_nobody_reads_take_so_much() {
    let setup = Setup::new().set("limits.answers_per_backend_bytes", "12000000");
    let gateway = setup.start().await;
    let backend = gateway.backend().quiet();
    let value = "x".repeat(100_000);
    for _ in 0..80 {
        let command = json!({ "user_id": "u1", "data_type": "note", "value": value });
        backend.post("/api/v1/commands", &command).await.expect(202);
    }
    let (greedy, other) = (Token::service("greedy").sign(), Token::service("other").sign());
    let (first, said) = ask(&gateway, &greedy).await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    let one = figure(&gateway, "tidegate_answer_bytes").await;
    assert!(one > 8_000_000, "{one}");
    let (_second, said) = ask(&gateway, &greedy).await;
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("\r\nretry-after: 1\r\n"), "{said}");
    assert_eq!(figure(&gateway, "tidegate_answers_refused_total").await, 1);
    let (_others, said) = ask(&gateway, &other).await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");

    drop(first);
    eventually("the memory to be given back", async || {
        (figure(&gateway, "tidegate_answer_bytes").await == one).then_some(())
    })
    .await;
    let (_again, said) = ask(&gateway, &greedy).await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
}
