//! Sessions on a socket.

use std::time::Duration;

use serde_json::json;
use tidegate_protocol::id::{Seq, StreamName};
use tokio::time::Instant;

use super::script::{COMMAND, Gateway, command, event, play, quick, record, results_ok, welcome};
use crate::settings::Settings;
use crate::state::{State, StopReason};

/// Ack only when durable, execute once, resend the outcome until confirmed,
/// answer a repeat from the store.
#[tokio::test]
async fn a_command_is_acked_executed_and_reported() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    play(&device, async {
        let (mut peer, _) = gateway.accept_live().await;
        assert_eq!(*device.state().borrow(), State::Live);
        peer.send(&event(0, 4, "command", &command(1))).await;
        let (mut acked, mut reported) = (false, false);
        while !(acked && reported) {
            let frame = peer.recv().await;
            match frame["type"].as_str().unwrap() {
                "ack" => {
                    assert_eq!(frame["cursors"]["user:u1"]["seq"], 4);
                    let own = StreamName::parse("user:u1").unwrap();
                    assert_eq!(device.cursors().await.unwrap()[&own].seq, Seq::new(4));
                    acked = true;
                }
                "results" => reported = true,
                other => panic!("{other}"),
            }
        }
        // Lost before its confirmation: it comes again, on the next session.
        drop(peer);
        let (mut peer, hello) = gateway.accept_live().await;
        assert_eq!(hello["cursors"]["user:u1"]["seq"], 4);
        let results = peer.recv().await;
        assert_eq!(results["results"][0]["command_id"], COMMAND);
        assert_eq!(results["results"][0]["status"], "applied");
        // And again on this one, when no confirmation comes in time.
        assert_eq!(peer.recv().await["type"], "results");
        peer.send(&results_ok()).await;
        peer.send(&event(4, 5, "command", &command(2))).await;
        let mut frame = peer.recv().await;
        if frame["type"] == "ack" {
            frame = peer.recv().await;
        }
        assert_eq!(frame["results"][0]["attempt"], 2, "answered from the store");
    })
    .await
    .unwrap();
    assert_eq!(device.handler().executed.lock().unwrap().len(), 1);
    assert_eq!(*device.state().borrow(), State::Offline);
}

#[tokio::test]
async fn a_gap_begins_the_stream_anew() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    play(&device, async {
        let (mut peer, _) = gateway.accept_live().await;
        peer.send(&event(3, 4, "record", &record("1"))).await;
        peer.gone().await;
        let (_, hello) = gateway.accept_live().await;
        assert_eq!(hello["cursors"], json!({}), "without the stream's cursor");
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_patch_without_its_base_begins_the_stream_anew() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    play(&device, async {
        let (mut peer, _) = gateway.accept_live().await;
        let patch = json!({"collection": "c", "id": "1", "version": 9, "op": "patch",
            "base_version": 8, "patch": {"a": 1}});
        peer.send(&event(0, 1, "record", &patch)).await;
        peer.gone().await;
        assert_eq!(gateway.accept_live().await.1["cursors"], json!({}));
    })
    .await
    .unwrap();
}

/// What the app did not take is not acked and comes again.
#[tokio::test]
async fn refused_changes_come_again() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    *device.handler().refusals.lock().unwrap() = 1;
    play(&device, async {
        for _ in 0..2 {
            let (mut peer, hello) = gateway.accept_live().await;
            if let Some(seq) = hello["cursors"]["user:u1"]["seq"].as_i64() {
                assert_eq!(seq, 0);
                peer.send(&event(0, 1, "record", &record("1"))).await;
                assert_eq!(peer.recv().await["cursors"]["user:u1"]["seq"], 1);
            } else {
                peer.send(&event(0, 1, "record", &record("1"))).await;
                peer.gone().await;
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(*device.handler().changed.lock().unwrap(), ["1"]);
}

#[tokio::test]
async fn a_drain_says_when_to_come_back() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    play(&device, async {
        let (mut peer, _) = gateway.accept_live().await;
        let begin = Instant::now();
        peer.send(&json!({"type": "drain", "reconnect_after_ms": 400})).await;
        peer.close(1012).await;
        gateway.accept_live().await;
        assert!(begin.elapsed() >= Duration::from_millis(400));
        assert!(begin.elapsed() < Duration::from_secs(3));
    })
    .await
    .unwrap();
}

/// A wake from before the wait does not end it: there was nothing to wake.
#[tokio::test]
async fn after_a_replacement_only_the_app_reconnects() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    play(&device, async {
        let (peer, _) = gateway.accept_live().await;
        device.wake();
        peer.close(4409).await;
        assert!(!gateway.is_called_within(Duration::from_millis(300)).await);
        assert_eq!(*device.state().borrow(), State::Offline);
        device.wake();
        gateway.accept_live().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_close_that_is_not_retried_stops_the_device() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    let ended = play(&device, async {
        let (peer, _) = gateway.accept().await;
        peer.close(4403).await;
    })
    .await;
    let reason = StopReason::Closed { code: 4403, reason: "word".to_owned() };
    assert_eq!(ended, Err(reason.clone()));
    assert_eq!(*device.state().borrow(), State::Stopped { reason });
}

#[tokio::test]
async fn pings_are_answered_and_zombies_left() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    play(&device, async {
        let (mut peer, _) = gateway.accept_live().await;
        let ping = json!({"type": "ping", "heads": {"user:u1": 3}});
        peer.send(&ping).await;
        assert_eq!(peer.recv().await, json!({"type": "pong"}));
        peer.send(&ping).await;
        peer.gone().await;
        gateway.accept_live().await;
    })
    .await
    .unwrap();
}

/// A gateway that accepts and says nothing counts as a failed attempt.
#[tokio::test]
async fn a_welcome_that_never_comes_is_given_up() {
    let gateway = Gateway::bind().await;
    let settings = Settings { connect_timeout: Duration::from_millis(100), ..quick() };
    let device = gateway.builder().settings(settings).build().await.unwrap();
    play(&device, async {
        let (peer, _) = gateway.accept().await;
        peer.gone().await;
        let (mut peer, hello) = gateway.accept().await;
        peer.send(&welcome(&hello, "reset")).await;
    })
    .await
    .unwrap();
}

/// A command is carried out once although its outcome cannot be stored.
#[tokio::test]
async fn an_outcome_that_cannot_be_stored_is_stored_later() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    device.store().refuse_outcomes(true).await;
    play(&device, async {
        let (mut peer, _) = gateway.accept_live().await;
        peer.send(&event(0, 1, "command", &command(1))).await;
        assert_eq!(peer.recv().await["type"], "ack");
        // Many times what a try takes.
        let early = tokio::time::timeout(Duration::from_millis(200), peer.recv()).await;
        assert!(early.is_err(), "{early:?}");
        device.store().refuse_outcomes(false).await;
        assert_eq!(peer.recv().await["results"][0]["status"], "applied");
        peer.send(&results_ok()).await;
    })
    .await
    .unwrap();
    assert_eq!(device.handler().executed.lock().unwrap().len(), 1);
}

/// A reset voids the position also where the session ends before its snapshot:
/// the head may grow past it.
#[tokio::test]
async fn a_reset_forgets_the_position_at_once() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    play(&device, async {
        let (mut peer, _) = gateway.accept_live().await;
        peer.send(&event(0, 4, "record", &record("1"))).await;
        assert_eq!(peer.recv().await["type"], "ack");
        drop(peer);
        let (mut peer, hello) = gateway.accept().await;
        assert_eq!(hello["cursors"]["user:u1"]["seq"], 4);
        peer.send(&welcome(&hello, "reset")).await;
        device.state().wait_for(|state| *state == State::Live).await.unwrap();
        drop(peer);
        let (_, hello) = gateway.accept().await;
        assert_eq!(hello["cursors"], json!({}));
    })
    .await
    .unwrap();
}

/// No socket is opened for a session that the store cannot begin.
#[tokio::test]
async fn without_the_store_nothing_is_dialled() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    device.store().clone().close().await.unwrap();
    play(&device, async {
        assert!(!gateway.is_called_within(Duration::from_millis(50)).await);
    })
    .await
    .unwrap();
}
