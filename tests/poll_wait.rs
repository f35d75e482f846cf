//! Polls that wait.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Caller, Device, Gateway, Setup, Token, bounded, put};

/// A first poll, to wait from; the path of the next one.
async fn waiting(calls: &Caller, device: &Device, query: &str) -> String {
    calls.register(device).await;
    let path = format!("/api/v1/sync/poll?device_id={}&subscribe=news{query}", device.id);
    let answer = calls.get(&path).await.expect(200);
    format!("{path}&cursor={}", answer["cursor"].as_str().unwrap())
}

fn entries(answer: &Value) -> usize {
    let frames = answer["frames"].as_array().unwrap().iter();
    frames.map(|frame| frame["entries"].as_array().unwrap().len()).sum()
}

/// A command, a record and a closing each end the wait.
#[tokio::test]
async fn something_new_ends_the_wait() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let calls = gateway.calls_of(&phone);
    let path = waiting(&calls, &phone, "&wait_s=9").await;
    let (answer, _) = tokio::join!(calls.get(&path), backend.make("u1", "steps"));
    assert_eq!(entries(&answer.expect(200)), 1);
    let path = waiting(&calls, &phone, "&wait_s=9").await;
    let records = json!([put("a", &json!({}))]);
    let (answer, _) = tokio::join!(calls.get(&path), backend.publish("news", records));
    assert_eq!(entries(&answer.expect(200)), 1);
}

/// What is for another device or another user does not.
#[tokio::test]
async fn what_is_for_others_does_not_end_the_wait() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    let backend = gateway.backend();
    let calls = gateway.calls_of(&phone);
    gateway.calls_of(&tablet).register(&tablet).await;
    let path = waiting(&calls, &phone, "&wait_s=9").await;
    let (answer, ()) = tokio::join!(calls.get(&path), async {
        backend.make("u2", "steps").await;
        backend.make_for(&tablet, "steps").await;
        backend.make("u1", "weight").await;
    });
    let answer = answer.expect(200);
    assert_eq!(answer["frames"][0]["seq"], 2);
    assert_eq!(answer["streams"]["user:u1"]["head"], 2, "the one at the answer");
    assert_eq!(answer["frames"][0]["entries"][0]["body"]["data_type"], "weight");
}

/// With nothing new the answer comes at the end of the wait, empty.
#[tokio::test]
async fn a_wait_ends() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let calls = gateway.calls_of(&phone);
    let path = waiting(&calls, &phone, "&wait_s=1").await;
    let start = tokio::time::Instant::now();
    let answer = calls.get(&path).await.expect(200);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!((&answer["frames"], &answer["more"]), (&json!([]), &json!(false)));
}

/// A held poll judges by what the device can do when it is answered: what it
/// became eligible for meanwhile is in the answer, not behind its cursor.
#[tokio::test]
async fn a_gained_capability_ends_the_wait() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let calls = gateway.calls_of(&phone);
    let path = waiting(&calls, &phone, "&wait_s=9").await;
    let scan = json!({ "user_id": "u1", "data_type": "scan", "value": 1, "requires": "ble" });
    let id = backend.make_with(&scan).await;
    let state = gateway.running().state();
    let (answer, ()) = tokio::join!(calls.get(&path), async {
        let held = async || state.hub.topic("user:u1");
        crate::support::eventually("the poll to wait", held).await;
        let able = json!({ "device_id": phone.id, "platform": "ios", "capabilities": ["ble"] });
        calls.quiet().post("/api/v1/devices/register", &able).await.expect(200);
    });
    let answer = answer.expect(200);
    assert_eq!(answer["frames"][0]["entries"][0]["body"]["command_id"], json!(id), "{answer}");
}

/// A node that goes away answers at once.
#[tokio::test]
async fn a_drain_ends_the_wait() {
    let mut gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let calls = gateway.calls_of(&phone);
    let path = waiting(&calls, &phone, "&wait_s=55").await;
    let metrics = gateway.caller("operator", "");
    let answer = tokio::join!(calls.get(&path), async {
        crate::support::eventually("the poll to wait", async || {
            let figures = metrics.quiet().get("/metrics").await;
            figures.text().contains("poll_waiters 1").then_some(())
        })
        .await;
        gateway.stop().await;
    });
    assert_eq!(answer.0.expect(200)["frames"], json!([]));
}

/// A client that sends nothing more while its poll waits may have gone: the
/// poll ends at once, with its answer for who is still there, and keeps no
/// place.
#[tokio::test]
async fn a_client_that_sends_nothing_more_is_answered_at_once() {
    let gateway = Setup::new().set("limits.pollers_per_user", "1").start().await;
    let phone = gateway.device("phone", "u1");
    let calls = gateway.calls_of(&phone).quiet();
    calls.register(&phone).await;
    let path = format!("/api/v1/sync/poll?device_id={}", phone.id);
    let cursor = calls.get(&path).await.expect(200)["cursor"].clone();
    let (cursor, token) = (cursor.as_str().unwrap(), Token::device("u1").sign());
    let request = format!(
        "GET {path}&wait_s=55&cursor={cursor} HTTP/1.1\r\nhost: x\r\n\
         authorization: Bearer {token}\r\n\r\n"
    );
    for _ in 0..3 {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        bounded("the answer", stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert!(gateway.running().state().pollers.is_empty());
}
