//! Polling: the fallback, the way back, and the short wake-up.

use serde_json::{Value, json};
use tidegate_protocol::id::StreamName;

use super::script::{COMMAND, EPOCH, Gateway, Http, command, event, play, quick, record};
use crate::settings::{Settings, Transport};
use crate::state::State;

fn answer(verdict: &str, frames: &[Value], cursor: &str, more: bool) -> Value {
    json!({"streams": {"user:u1": {"epoch": EPOCH, "head": 9, "verdict": verdict}},
        "frames": frames, "cursor": cursor, "more": more})
}

fn snapshot(items: &Value, last: bool) -> Value {
    json!({"type": "snapshot", "stream": "user:u1", "epoch": EPOCH, "seq": 9,
        "items": items, "last": last})
}

const UNAVAILABLE: &str = "503 Service Unavailable";

/// Three failed sockets, then polls and HTTP results, then a socket again that
/// resumes where polling stood.
#[tokio::test]
async fn without_a_socket_the_device_polls_and_returns() {
    let gateway = Gateway::bind().await;
    // On a disk: a store in memory is gone once a write is given up half-way, and
    // a poll that fails does that to a report beside it.
    let folder = tempfile::TempDir::new().unwrap();
    let store = folder.path().join("device.db");
    let device = gateway.builder().store(store).build().await.unwrap();
    let (mut dials, mut polls) = (0, 0);
    play(&device, async {
        gateway
            .http(|target, body| {
                if target == "/api/v1/sync/ws" {
                    dials += 1;
                    return Http::Status(UNAVAILABLE, json!({}));
                }
                if target == "/api/v1/sync/results" {
                    assert_eq!(dials, 3);
                    let row = json!({"command_id": COMMAND, "status": "applied", "accepted": true});
                    assert_eq!(body["results"][0]["command_id"], COMMAND);
                    return Http::Last(json!({"results": [row]}));
                }
                polls += 1;
                if polls > 1 {
                    assert!(target.contains("cursor=opaque"), "{target}");
                    return Http::Json(answer("resumed", &[], "opaque", false));
                }
                assert!(!target.contains("cursor"), "{target}");
                assert!(target.contains("wait_s=0"), "{target}");
                let frames = [snapshot(&json!([]), true), event(9, 10, "command", &command(1))];
                Http::Json(answer("reset", &frames, "opaque", false))
            })
            .await;
        device.state().wait_for(|state| *state == State::Polling).await.unwrap();
        // Whatever is still polled is refused, until the socket is tried again.
        let hello = loop {
            let stream = gateway.tcp().await;
            let mut head = [0; 24];
            stream.peek(&mut head).await.unwrap();
            if head.starts_with(b"GET /api/v1/sync/ws ") {
                break super::script::Peer::upgrade(stream).await.1;
            }
        };
        assert_eq!(hello["cursors"]["user:u1"]["seq"], 10);
    })
    .await
    .unwrap();
    assert_eq!(device.handler().executed.lock().unwrap().len(), 1);
}

/// A device registers itself, and again when it is unknown; a snapshot goes on
/// over several polls; commands are carried out and reported before the round
/// ends.
#[tokio::test]
async fn one_round_registers_applies_and_reports() {
    let gateway = Gateway::bind().await;
    let settings = Settings { transport: Transport::PollOnly, ..quick() };
    let device = gateway.builder().settings(settings).name("n").build().await.unwrap();
    let mut calls = Vec::new();
    let script = gateway.http(|target, _| {
        let path = target.split('?').next().unwrap();
        calls.push(path.rsplit('/').next().unwrap().to_owned());
        match calls.len() {
            1 => {
                let error = json!({"code": "device_not_found", "message": "no such device"});
                Http::Status("404 Not Found", json!({"error": error}))
            }
            2 => {
                let items = json!([{"kind": "record", "body": record("1")}]);
                Http::Json(answer("reset", &[snapshot(&items, false)], "half", true))
            }
            3 => {
                assert!(target.contains("cursor=half"), "{target}");
                let items = json!([{"kind": "command", "body": command(1)}]);
                Http::Json(answer("reset", &[snapshot(&items, true)], "whole", false))
            }
            _ => {
                let row = json!({"command_id": COMMAND, "status": "applied", "accepted": true});
                Http::Last(json!({"results": [row]}))
            }
        }
    });
    let (synced, ()) = tokio::join!(device.sync_once(0), script);
    synced.unwrap();
    assert_eq!(calls, ["poll", "poll", "poll", "results"]);
    let own = StreamName::parse("user:u1").unwrap();
    assert_eq!(device.replica(&own).await.unwrap()[0].id, "1");
    let registered = gateway.registered.lock().unwrap();
    assert_eq!(registered.len(), 2);
    assert_eq!(registered[1]["name"], "n");
}

/// The answer that ends a snapshot is cut after it: the next poll does not ask
/// for the last page again, which alone would pass for the whole.
#[tokio::test]
async fn a_cut_after_the_last_page_keeps_the_whole_snapshot() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    *device.handler().refusals.lock().unwrap() = 1;
    let item = |id| json!([{"kind": "record", "body": record(id)}]);
    let script = gateway.http(|target, _| {
        if !target.contains("cursor=half") {
            return Http::Json(answer("reset", &[snapshot(&item("1"), false)], "half", true));
        }
        let frames = [snapshot(&item("2"), true), event(9, 10, "record", &record("3"))];
        Http::Last(answer("reset", &frames, "whole", false))
    });
    let (synced, ()) = tokio::join!(device.sync_once(0), script);
    synced.unwrap_err();
    let again = gateway.http(|target, _| {
        assert!(target.contains("cursors=%7B%22user%3Au1"), "{target}");
        Http::Last(answer("resumed", &[event(9, 10, "record", &record("3"))], "next", false))
    });
    let (synced, ()) = tokio::join!(device.sync_once(0), again);
    synced.unwrap();
    let replica = device.replica(&StreamName::parse("user:u1").unwrap()).await.unwrap();
    assert_eq!(replica.iter().map(|change| &change.id).collect::<Vec<_>>(), ["1", "2", "3"]);
}

/// Where no socket can be had, polling tells of a new push token.
#[tokio::test]
async fn a_changed_device_is_registered_again() {
    let gateway = Gateway::bind().await;
    let folder = tempfile::TempDir::new().unwrap();
    for (name, registrations) in [("a", 1), ("a", 1), ("b", 2)] {
        let store = folder.path().join("device.db");
        let device = gateway.builder().store(store).name(name).build().await.unwrap();
        let script = gateway
            .http(|_, _| Http::Last(answer("reset", &[snapshot(&json!([]), true)], "next", false)));
        let (synced, ()) = tokio::join!(device.sync_once(0), script);
        synced.unwrap();
        device.close().await.unwrap();
        assert_eq!(gateway.registered.lock().unwrap().len(), registrations, "{name}");
    }
}

/// A cursor the gateway cannot read is given up; the durable ones are sent.
#[tokio::test]
async fn an_unreadable_cursor_is_replaced_by_what_is_held() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    let mut polls = 0;
    let script = gateway.http(|target, _| {
        polls += 1;
        match polls {
            1 => Http::Json(answer("reset", &[snapshot(&json!([]), true)], "old", true)),
            2 => {
                let error = json!({"code": "invalid", "message": "cursor"});
                Http::Status("422 Unprocessable Entity", json!({"error": error}))
            }
            _ => {
                assert!(target.contains("cursors=%7B%22user%3Au1"), "{target}");
                Http::Last(answer("resumed", &[], "new", false))
            }
        }
    });
    let (synced, ()) = tokio::join!(device.sync_once(0), script);
    synced.unwrap();
}
