//! Limits on connections: in all, of an address, of a user, before hello.

use std::net::UdpSocket;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Gateway, Setup, Socket, Token, bounded, eventually, skip};

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
        return skip("limits for each address: this machine has only loopback");
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

/// Silent sockets turn nobody away: the one that has been silent for longest
/// makes room, of the same address where that has its share, and a socket with
/// a good token in its header does not count among them.
#[tokio::test]
async fn silent_sockets_make_room() {
    let gateway = Setup::new()
        .set("http.trusted_proxies", r#"["127.0.0.0/8"]"#)
        .set("limits.sockets_before_hello", "4")
        .set("limits.sockets_before_hello_per_address", "2")
        .start()
        .await;
    let device = gateway.device("phone", "u1");
    let silent = &gateway.running().state().silent;
    let from = async |address: &str| {
        let mut request = device.request_with(None);
        request.headers_mut().insert("x-forwarded-for", address.parse().unwrap());
        device.connect_with(request).await.unwrap()
    };
    let known = device.connect().await;
    let mut attacker = Vec::new();
    for _ in 0..20 {
        attacker.push(from("203.0.113.66").await);
    }
    assert_eq!(silent.len(), 3, "its share, and the one with a token");
    for socket in attacker.drain(..18) {
        turned_out(socket).await;
    }
    // Others have the rest.
    let mut others = vec![from("203.0.113.1").await, from("203.0.113.2").await];
    assert_eq!(silent.len(), 5);
    others.push(from("203.0.113.3").await);
    assert_eq!(silent.len(), 5);
    turned_out(attacker.remove(0)).await;
    for (number, mut socket) in others.into_iter().enumerate() {
        let other = gateway.device("other", &format!("user-{number}"));
        let mut hello = other.hello();
        hello["token"] = json!(Token::device(&other.user).sign());
        socket.begin(&hello).await;
    }
    assert_eq!(silent.len(), 2, "the last of the attacker, and the one with a token");
    let mut known = known;
    known.begin(&device.hello()).await;
    drop(attacker);
    eventually("places are given back", async || silent.is_empty().then_some(())).await;
}

async fn turned_out(mut socket: Socket) {
    socket.expect_close(4429, "too_many_connections").await;
}

/// A good token is no key to all places: its user has a share.
#[tokio::test]
async fn silent_sockets_of_a_user_make_room_for_each_other() {
    let gateway = Setup::new()
        .set("limits.sockets_before_hello", "1")
        .set("limits.connections_per_user", "2")
        .start()
        .await;
    let device = gateway.device("phone", "u1");
    let unknown = device.connect_with(device.request_with(None)).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(device.connect().await);
    }
    turned_out(held.remove(0)).await;
    gateway.device("stranger", "u2").open().await;
    held[1].begin(&device.hello()).await;
    drop(unknown);
}
