//! Compressed frames, both ways.

use serde_json::{Value, json};
use tidegate_protocol::encoding::Encoding;

use crate::support::{Device, Gateway, Socket};

async fn open(device: &Device, encoding: &str) -> Socket {
    let mut hello = device.hello();
    hello["encodings"] = json!([encoding]);
    let mut socket = device.connect().await;
    let welcome = socket.begin(&hello).await;
    assert_eq!(welcome["encoding"], encoding);
    assert!(!socket.last_was_binary, "welcome is text");
    assert!(socket.last_text.len() < 512);
    socket.snapshot().await;
    socket
}

const BOTH: [(&str, Encoding); 2] =
    [("zstd", Encoding::Zstd), ("deflate-raw", Encoding::DeflateRaw)];

/// Frames of 512 bytes and more come compressed; smaller ones as text.
#[tokio::test]
async fn large_frames_come_compressed() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend();
    for (name, _) in BOTH {
        let phone = gateway.device(name, name);
        let mut socket = open(&phone, name).await;
        backend.make(name, "small").await;
        socket.entries(1).await;
        assert!(!socket.last_was_binary && socket.last_text.len() < 512);
        backend.make_many(name, 1, 5_000).await;
        let entries = socket.entries(1).await;
        assert!(socket.last_was_binary);
        assert_eq!(entries[0]["body"]["value"], "x".repeat(5_000));
    }
}

/// A snapshot is compressed like everything after `welcome`.
#[tokio::test]
async fn snapshots_come_compressed() {
    let gateway = Gateway::start().await;
    gateway.backend().make_many("u1", 20, 100).await;
    let mut socket = open(&gateway.device("phone", "u1"), "zstd").await;
    assert!(socket.last_was_binary);
    socket.expect_nothing_pending().await;
}

/// Clients may send such frames, too, whatever their size.
#[tokio::test]
async fn clients_may_compress() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend();
    for (name, encoding) in BOTH {
        let mut socket = open(&gateway.device(name, name), name).await;
        let ids = backend.make_many(name, 30, 1).await;
        socket.entries(30).await;
        let results: Vec<Value> =
            ids.iter().map(|id| json!({ "command_id": id, "status": "applied" })).collect();
        let frame = json!({ "type": "results", "results": results });
        socket.send_packed(encoding, &frame).await;
        let answer = socket.expect("results_ok").await;
        assert!(socket.last_was_binary);
        let rows = answer["results"].as_array().unwrap();
        assert!(rows.len() == 30 && rows.iter().all(|row| row["accepted"] == true));
        socket.entries(30).await;
        socket.send_packed(encoding, &json!({ "type": "pong" })).await;
        socket.expect_nothing_pending().await;
    }
}
