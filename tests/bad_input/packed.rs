//! Compressed frames that are bombs, broken, or were never agreed.

use std::io::Write as _;

use serde_json::json;
use tidegate_protocol::encoding::Encoding;
use tokio_tungstenite::tungstenite::Message;

use crate::bad_input::Scene;

/// Far beyond a frame, and quick to pack.
const BOMB_BYTES: usize = 4 * 1024 * 1024;

const BOTH: [(&str, Encoding); 2] =
    [("zstd", Encoding::Zstd), ("deflate-raw", Encoding::DeflateRaw)];

/// A small frame that would grow beyond the limit is cut there.
#[tokio::test]
async fn a_compression_bomb_ends_its_session_only() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    for (name, encoding) in BOTH {
        let bomb = encoding.encode(&" ".repeat(BOMB_BYTES)).unwrap();
        assert!(bomb.len() < 8 * 1024, "it is small on the wire: {}", bomb.len());
        let mut hello = device.hello();
        hello["encodings"] = json!([name]);
        let (mut socket, _) = device.open_with(&hello).await;
        socket.snapshot().await;
        socket.send_raw(Message::binary(bomb)).await;
        socket.expect_close(1009, "too_large").await;
        scene.nobody_noticed().await;
    }
}

/// A zstd stream whose window is larger than a device must keep.
fn wide_window() -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(24).unwrap();
    encoder.write_all(br#"{"type":"pong"}"#).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn undecodable_frames_end_their_session_only() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    for (name, encoding) in BOTH {
        let whole = encoding.encode(r#"{"type":"pong"}"#).unwrap();
        let cut = whole[..whole.len() - 1].to_vec();
        let twice = [whole.clone(), whole.clone()].concat();
        let other = if name == "zstd" { Encoding::DeflateRaw } else { Encoding::Zstd };
        let other = other.encode(r#"{"type":"pong"}"#).unwrap();
        let mut broken = vec![Vec::new(), b"{}".to_vec(), cut, twice, other];
        if encoding == Encoding::Zstd {
            broken.push(wide_window());
        }
        for bytes in broken {
            let mut hello = device.hello();
            hello["encodings"] = json!([name]);
            let (mut socket, welcome) = device.open_with(&hello).await;
            assert_eq!(welcome["encoding"], name);
            socket.snapshot().await;
            socket.send_raw(Message::binary(whole.clone())).await;
            socket.expect_nothing_pending().await;
            socket.send_raw(Message::binary(bytes)).await;
            socket.expect_close(4400, "undecodable").await;
            scene.nobody_noticed().await;
        }
    }
}

/// Binary frames exist only after an encoding was agreed.
#[tokio::test]
async fn binary_without_an_encoding_ends_its_session_only() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    let frame = Message::binary(Encoding::Zstd.encode(r#"{"type":"pong"}"#).unwrap());
    let mut hello = device.hello();
    hello["encodings"] = json!(["brotli", "gzip"]);
    let (mut socket, welcome) = device.open_with(&hello).await;
    assert!(welcome.get("encoding").is_none(), "{welcome}");
    socket.snapshot().await;
    socket.send_raw(frame.clone()).await;
    socket.expect_close(4400, "undecodable").await;

    let mut socket = device.connect().await;
    socket.send_raw(frame).await;
    socket.expect_close(4400, "undecodable").await;
    scene.nobody_noticed().await;
}
