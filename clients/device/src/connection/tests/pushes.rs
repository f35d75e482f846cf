//! Pushes between runs, beside a run, and those that are not followed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_protocol::id::{CommandId, StreamName};
use tidegate_protocol::time::Timestamp;

use super::script::{
    COMMAND, EPOCH, Gateway, Http, Recorder, command, event, play, quick, results_ok,
};
use crate::device::Device;
use crate::push::{Ignored, PushHandled};
use crate::settings::Settings;
use crate::state::State;
use crate::token::StaticToken;

type TestDevice = Device<Recorder, StaticToken>;

fn write_health() -> BTreeMap<String, String> {
    map(&json!({"action": "write_health", "stream": "user:u1", "command_id": COMMAND,
        "data_type": "steps", "value": "{\"n\": 1}", "timestamp": "2026-11-21T08:00:00.000Z",
        "expires_at": "2099-01-01T00:00:00.000Z"}))
}

fn wake_up(stream: &str, seq: &str) -> BTreeMap<String, String> {
    map(&json!({"action": "sync", "stream": stream, "seq": seq}))
}

fn map(fields: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(fields.clone()).unwrap()
}

fn answer(frames: &[Value]) -> Value {
    json!({"streams": {"user:u1": {"epoch": EPOCH, "head": 9, "verdict": "reset"}},
        "frames": frames, "cursor": "opaque", "more": false})
}

/// An answer that ends at seq 9, with the command as an item.
fn snapshot(items: &Value) -> Value {
    json!({"type": "snapshot", "stream": "user:u1", "epoch": EPOCH, "seq": 9,
        "items": items, "last": true})
}

fn results() -> Value {
    json!({"results": results_ok()["results"]})
}

fn id() -> CommandId {
    CommandId::parse(COMMAND).unwrap()
}

async fn owned(gateway: &Gateway) -> TestDevice {
    let device = gateway.builder().build().await.unwrap();
    device.store().set_owner(&StreamName::parse("user:u1").unwrap()).await.unwrap();
    device.clock().hear(Timestamp::from_millis(1_795_248_000_000));
    device
}

fn executed(device: &TestDevice) -> usize {
    device.handler().executed.lock().unwrap().len()
}

/// By push, by push again, and by poll: carried out once, reported each time,
/// and without an attempt where the push did not name one.
#[tokio::test]
async fn a_command_by_push_and_by_poll_runs_once() {
    let gateway = Gateway::bind().await;
    let device = owned(&gateway).await;
    let mut reports = Vec::new();
    let script = gateway.http(|target, body| {
        if target.starts_with("/api/v1/sync/poll") {
            let items = json!([{"kind": "command", "body": command(1)}]);
            return Http::Json(answer(&[snapshot(&items)]));
        }
        reports.push(body["results"][0].clone());
        if reports.len() == 3 { Http::Last(results()) } else { Http::Json(results()) }
    });
    let pushes = async {
        let first = device.handle_push(write_health()).await.unwrap();
        assert_eq!(first, PushHandled::Executed(id()));
        let second = device.handle_push(write_health()).await.unwrap();
        assert_eq!(second, PushHandled::Repeated(id()));
        let third = device.handle_push(wake_up("user:u1", "9")).await.unwrap();
        assert_eq!(third, PushHandled::CaughtUp);
    };
    tokio::join!(script, pushes);
    assert_eq!(executed(&device), 1);
    assert_eq!(device.handler().executed.lock().unwrap()[0], "{\"n\": 1}", "as it was sent");
    let attempts: Vec<_> = reports.iter().map(|report| report.get("attempt").cloned()).collect();
    assert_eq!(attempts, [None, None, Some(json!(1))]);
    assert!(reports.iter().all(|report| report["status"] == "applied"));
}

/// An outcome that could not be reported goes with the next push, though that
/// announces nothing new.
#[tokio::test]
async fn an_outcome_is_kept_until_it_is_answered() {
    let gateway = Gateway::bind().await;
    let device = owned(&gateway).await;
    let mut calls = Vec::new();
    let script = gateway.http(|target, _| {
        calls.push(target.split('?').next().unwrap().to_owned());
        match calls.len() {
            1 => Http::Json(answer(&[snapshot(&json!([]))])),
            2 => Http::Status("503 Service Unavailable", json!({})),
            _ => Http::Last(results()),
        }
    });
    let pushes = async {
        device.handle_push(wake_up("user:u1", "9")).await.unwrap();
        assert!(device.handle_push(write_health()).await.is_err());
        let again = device.handle_push(wake_up("user:u1", "9")).await.unwrap();
        assert_eq!(again, PushHandled::UpToDate);
    };
    tokio::join!(script, pushes);
    assert_eq!(calls, ["/api/v1/sync/poll", "/api/v1/sync/results", "/api/v1/sync/results"]);
    assert_eq!(executed(&device), 1);
}

/// None of these reaches the network, the inbox or the app.
#[tokio::test]
async fn pushes_that_are_not_for_this_device_do_nothing() {
    let gateway = Gateway::bind().await;
    let device = owned(&gateway).await;
    let with = |name: &str, text: &str| {
        let mut map = write_health();
        map.insert(name.to_owned(), text.to_owned());
        map
    };
    for (map, reason) in [
        (BTreeMap::new(), Ignored::Malformed("action")),
        (with("action", "chat"), Ignored::UnknownAction),
        (with("value", "{"), Ignored::Malformed("value")),
        (with("stream", "user:u2"), Ignored::AnotherUser),
        (wake_up("user:u2", "9"), Ignored::AnotherUser),
        (wake_up("news", "9"), Ignored::NotFollowed),
    ] {
        let handled = device.handle_push(map).await.unwrap();
        assert_eq!(handled, PushHandled::Ignored(reason));
    }
    assert!(!gateway.is_called_within(Duration::from_millis(50)).await);
    assert_eq!(executed(&device), 0);
}

/// Before the gateway has said whose device this is, it is asked; the map is
/// not believed.
#[tokio::test]
async fn a_device_without_an_owner_polls_instead() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    let script = gateway.http(|target, _| {
        assert!(target.starts_with("/api/v1/sync/poll"), "{target}");
        Http::Last(answer(&[snapshot(&json!([]))]))
    });
    let mut map = write_health();
    map.insert("stream".to_owned(), "user:u2".to_owned());
    let (handled, ()) = tokio::join!(device.handle_push(map), script);
    assert_eq!(handled.unwrap(), PushHandled::CaughtUp);
    assert_eq!(executed(&device), 0);
}

/// A run executes what a push brings and reports it by socket; the entry that
/// follows is answered from the store.
#[tokio::test]
async fn a_run_takes_over_what_a_push_brings() {
    let gateway = Gateway::bind().await;
    let device = owned(&gateway).await;
    play(&device, async {
        let (mut peer, _) = gateway.accept_live().await;
        let handled = device.handle_push(write_health()).await.unwrap();
        assert_eq!(handled, PushHandled::HandedOver);
        let report = peer.recv().await;
        assert_eq!(report["type"], "results");
        assert_eq!(report["results"][0].get("attempt"), None);
        peer.send(&results_ok()).await;
        peer.send(&event(0, 1, "command", &command(1))).await;
        let mut frame = peer.recv().await;
        if frame["type"] == "ack" {
            frame = peer.recv().await;
        }
        assert_eq!(frame["results"][0]["attempt"], 1, "answered from the store");
    })
    .await
    .unwrap();
    assert_eq!(executed(&device), 1);
}

/// A run that waits for its next attempt connects at once.
#[tokio::test]
async fn a_wake_up_ends_the_wait_between_attempts() {
    let gateway = Gateway::bind().await;
    let device = owned(&gateway).await;
    play(&device, async {
        let (mut peer, _) = gateway.accept_live().await;
        peer.send(&json!({"type": "drain", "reconnect_after_ms": 60_000})).await;
        peer.close(1012).await;
        device.state().wait_for(|state| *state == State::Offline).await.unwrap();
        let handled = device.handle_push(wake_up("user:u1", "1")).await.unwrap();
        assert_eq!(handled, PushHandled::HandedOver);
        gateway.accept_live().await;
    })
    .await
    .unwrap();
}

/// A push that the socket should have brought ends a socket that is silent;
/// the result goes out on the next one.
#[tokio::test]
async fn a_push_past_a_silent_socket_ends_it() {
    let gateway = Gateway::bind().await;
    let settings = Settings { doubt_after: Duration::ZERO, ..quick() };
    let device = gateway.builder().settings(settings).build().await.unwrap();
    play(&device, async {
        let (peer, _) = gateway.accept_live().await;
        device.handle_push(wake_up("user:u1", "0")).await.unwrap();
        assert!(!gateway.is_called_within(Duration::from_millis(50)).await, "it is here");
        device.handle_push(write_health()).await.unwrap();
        peer.gone().await;
        let (mut peer, _) = gateway.accept_live().await;
        assert_eq!(peer.recv().await["results"][0]["command_id"], COMMAND);
        peer.send(&results_ok()).await;
        device.handle_push(wake_up("user:u1", "7")).await.unwrap();
        peer.gone().await;
        gateway.accept_live().await;
    })
    .await
    .unwrap();
}
