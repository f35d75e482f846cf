//! Peers that say nothing, half of something, or never read.

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::bad_input::Scene;
use crate::support::{Device, Setup, bounded, eventually};

/// Reads to the end: what the gateway said.
async fn until_closed(mut peer: TcpStream) -> String {
    let mut said = Vec::new();
    bounded("the end of the connection", peer.read_to_end(&mut said)).await.unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

/// A connection that says nothing, or half a request, does not stay.
#[tokio::test]
async fn half_open_connections_are_let_go() {
    let setup =
        Setup::new().set("http.first_byte_timeout_ms", "150").set("http.header_timeout_ms", "150");
    let mut scene = Scene::with(setup).await;
    for half in ["", "G", "GET /healthz HTTP/1.1\r\nHost: g", "\r\n\r\n\r\n"] {
        let mut peer = TcpStream::connect(scene.gateway.address()).await.unwrap();
        peer.write_all(half.as_bytes()).await.unwrap();
        let said = until_closed(peer).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{half:?}: {said}");
        scene.nobody_noticed().await;
    }
}

/// Heads that no client sends are refused without holding on to them.
#[tokio::test]
async fn requests_that_are_no_requests_are_let_go() {
    let mut scene = Scene::start().await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: g\r\n\r\n", "x".repeat(40_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    for head in ["\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}", "SSH-2.0-x\r\n\r\n", &long, &many] {
        let mut peer = TcpStream::connect(scene.gateway.address()).await.unwrap();
        // The gateway may hang up before it has read all of it.
        let _ = peer.write_all(head.as_bytes()).await;
        let mut said = Vec::new();
        let _ = bounded("an answer", peer.read_to_end(&mut said)).await;
        let said = String::from_utf8_lossy(&said);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
        scene.nobody_noticed().await;
    }
}

/// A session whose peer vanished with a reset leaves nothing behind.
#[tokio::test]
async fn a_reset_ends_the_session() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    let socket = device.open().await;
    assert_eq!(online(&scene).await, json!([true]));
    socket.ws.get_ref().set_zero_linger().unwrap();
    drop(socket);
    eventually("offline", async || (online(&scene).await == json!([false])).then_some(())).await;
    scene.nobody_noticed().await;
}

async fn online(scene: &Scene) -> Value {
    let devices = scene.backend.get("/api/v1/users/u1/devices").await.expect(200);
    devices["items"].as_array().unwrap().iter().map(|device| device["online"].clone()).collect()
}

/// Bytes of the records that a client must take before it is up to date: more
/// than the kernel keeps for a connection on both sides.
const RECORDS: usize = 120;
const RECORD_BYTES: usize = 100 * 1024;

async fn publish(scene: &Scene) {
    let text = "x".repeat(RECORD_BYTES);
    for page in (0..RECORDS).collect::<Vec<_>>().chunks(15) {
        let put = |id: &usize| json!({ "collection": "c", "id": id.to_string(), "op": "put", "data": { "text": text } });
        let records: Vec<Value> = page.iter().map(put).collect();
        let body = json!({ "records": records });
        scene.backend.post("/api/v1/streams/news/records", &body).await.expect(202);
    }
}

/// Opens a session of a client that never reads, with more to take than fits
/// into the connection.
async fn stuck(scene: &Scene, device: &Device) -> WebSocketStream<TcpStream> {
    publish(scene).await;
    let tcp = TcpSocket::new_v4().unwrap();
    tcp.set_recv_buffer_size(4096).unwrap();
    let tcp = tcp.connect(scene.gateway.address().parse().unwrap()).await.unwrap();
    let (mut ws, _) = tokio_tungstenite::client_async(device.request(), tcp).await.unwrap();
    let mut hello = device.hello();
    hello["subscribe"] = json!(["news"]);
    ws.send(Message::text(hello.to_string())).await.unwrap();
    ws
}

/// While a client does not read, everybody else is served.
#[tokio::test]
async fn a_client_that_never_reads_holds_back_only_itself() {
    // Longer than any wait of this test: nothing is served because it ran out.
    let mut scene = Scene::with(Setup::new().set("session.write_timeout_ms", "60000")).await;
    let device = scene.device();
    let _stuck = stuck(&scene, &device).await;
    eventually("online", async || (online(&scene).await == json!([true])).then_some(())).await;
    let command =
        json!({ "user_id": "u1", "device_id": device.id, "data_type": "steps", "value": 1 });
    scene.command(&command).await;
    for _ in 0..3 {
        scene.nobody_noticed().await;
    }
    assert_eq!(online(&scene).await, json!([true]));
}

/// A client that does not read for the write time-out loses its socket and
/// nothing else: its commands are there when it comes back.
#[tokio::test]
async fn a_client_that_never_reads_loses_only_its_socket() {
    let mut scene = Scene::with(Setup::new().set("session.write_timeout_ms", "300")).await;
    let device = scene.device();
    let gone = stuck(&scene, &device).await;
    eventually("ended", async || (online(&scene).await == json!([false])).then_some(())).await;
    let command =
        json!({ "user_id": "u1", "device_id": device.id, "data_type": "steps", "value": 1 });
    let id = scene.command(&command).await;
    drop(gone);

    let mut socket = device.open().await;
    socket.expect_nothing_pending().await;
    let view = scene.backend.get(&format!("/api/v1/commands/{id}")).await.expect(200);
    assert!(["pending", "sent"].contains(&view["status"].as_str().unwrap()), "{view}");
    let row = json!({ "command_id": id, "status": "applied" });
    socket.send(&json!({ "type": "results", "results": [row] })).await;
    assert_eq!(socket.expect("results_ok").await["results"][0]["accepted"], true);
    scene.nobody_noticed().await;
}
