//! Limits on connections: in all, of an address, of a user, before hello.

use std::net::UdpSocket;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;

use crate::support::{Gateway, Setup, bounded, eventually};

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n";

/// A connection that has begun to ask, so that it stays for a while.
async fn hold(address: &str) -> TcpStream {
    let mut peer = TcpStream::connect(address).await.unwrap();
    peer.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    peer
}

/// Asks on a connection of its own: the status and the whole answer.
async fn ask(address: &str) -> (u16, String) {
    let mut peer = TcpStream::connect(address).await.unwrap();
    // One that is turned away may be told before it has asked.
    let _ = peer.write_all(REQUEST).await;
    let mut said = String::new();
    bounded("an answer", peer.read_to_string(&mut said)).await.unwrap();
    let status = said.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_default(), said)
}

/// Until the gateway has accepted so many: they wait in the kernel's queue.
async fn open_connections(gateway: &Gateway, count: i64) {
    let metrics = &gateway.running().state().metrics;
    eventually("connections", async || (metrics.connections.get() == count).then_some(())).await;
}

fn expect_refusal(said: &str, code: &str) {
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("retry-after: 1"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["error"]["code"], code);
}

#[tokio::test]
async fn connections_in_all_are_limited() {
    let gateway = Setup::new().set("limits.connections_total", "3").start().await;
    let address = gateway.address();
    let device = gateway.device("phone", "u1");
    // A socket counts as long as it lives.
    let socket = device.open().await;
    let mut held = vec![hold(&address).await, hold(&address).await];
    open_connections(&gateway, 3).await;
    let (status, said) = ask(&address).await;
    assert_eq!(status, 503, "{said}");
    expect_refusal(&said, "unavailable");
    held.pop();
    open_connections(&gateway, 2).await;
    assert_eq!(ask(&address).await.0, 200);
    socket.close().await;
    open_connections(&gateway, 1).await;
}

/// The address of this machine that is not loopback, if it has one. Nothing
/// is sent.
fn own_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
}

/// Loopback is not counted; another address is.
#[tokio::test]
async fn connections_of_an_address_are_limited() {
    let setup = Setup::new().set("listen", "0.0.0.0:0").set("limits.connections_per_address", "2");
    let gateway = setup.start().await;
    let port = gateway.running().address().port();
    let loopback = format!("127.0.0.1:{port}");
    let held = [hold(&loopback).await, hold(&loopback).await, hold(&loopback).await];
    open_connections(&gateway, 3).await;
    assert_eq!(ask(&loopback).await.0, 200);
    drop(held);
    let Some(own) = own_address() else {
        crate::seed::say("limits: this machine has only loopback; the rest is not tried");
        return;
    };
    open_connections(&gateway, 0).await;
    let own = format!("{own}:{port}");
    let mut held = vec![hold(&own).await, hold(&own).await];
    open_connections(&gateway, 2).await;
    let (status, said) = ask(&own).await;
    assert_eq!(status, 429, "{said}");
    expect_refusal(&said, "too_many_connections");
    assert_eq!(ask(&loopback).await.0, 200);
    held.pop();
    open_connections(&gateway, 1).await;
    assert_eq!(ask(&own).await.0, 200);
}

/// A device that comes back takes the place of its older session.
#[tokio::test]
async fn sockets_of_a_user_are_limited() {
    let gateway = Setup::new().set("limits.connections_per_user", "2").start().await;
    let [phone, tablet, watch] =
        ["phone", "tablet", "watch"].map(|name| gateway.device(name, "u1"));
    let first = phone.open().await;
    let mut second = tablet.open().await;
    let mut third = watch.connect().await;
    third.send(&watch.hello()).await;
    assert_eq!(third.expect("error").await["code"], "too_many_connections");
    third.expect_close(4429, "too_many_connections").await;
    let again = tablet.open().await;
    second.expect_close(4409, "replaced").await;
    gateway.device("stranger", "u2").open().await;

    first.close().await;
    watch.open().await;
    drop(again);
}

#[tokio::test]
async fn sockets_before_hello_are_limited() {
    let gateway = Setup::new().set("limits.sockets_before_hello", "2").start().await;
    let device = gateway.device("phone", "u1");
    let mut first = device.connect().await;
    let second = device.connect().await;
    match device.connect_with(device.request()).await.map(drop) {
        Err(Error::Http(response)) => {
            assert_eq!(response.status().as_u16(), 429);
            assert!(response.headers().contains_key("retry-after"));
            let body = response.body().as_deref().unwrap_or_default();
            let body: Value = serde_json::from_slice(body).unwrap();
            assert_eq!(body["error"]["code"], "too_many_connections");
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
    first.begin(&device.hello()).await;
    first.snapshot().await;
    let third = device.connect().await;
    drop((second, third));
    let state = gateway.running().state();
    let waiting = || state.before_hello.load(std::sync::atomic::Ordering::Acquire);
    eventually("places are given back", async || (waiting() == 0).then_some(())).await;
}
