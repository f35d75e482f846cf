//! Whose clock decides: commands run and expire by the gateway's.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_clock::Hands;
use tidegate_protocol::id::{CommandId, StreamName};
use tidegate_protocol::time::Timestamp;

use super::script::{
    COMMAND, EPOCH, Gateway, Http, Recorder, command, event, play, results_ok, welcome,
};
use crate::clock::Clock;
use crate::device::Device;
use crate::executor;
use crate::handler::Outcome;
use crate::inbox::Arrival;
use crate::push::{Ignored, Push, PushHandled};
use crate::token::StaticToken;

/// More than any command lives.
const CENTURY_MS: i64 = 100 * 365 * 24 * 3_600_000;

/// The scripted gateway lives at 2026-11-21T08:00Z.
const GATEWAY: Timestamp = Timestamp::from_millis(1_795_248_000_000);
const ALIVE: &str = "2026-11-21T08:30:00.000Z";
const OVER: &str = "2026-11-21T07:59:59.000Z";

fn pushed(expires_at: &str) -> BTreeMap<String, String> {
    let map = json!({"action": "write_health", "stream": "user:u1", "command_id": COMMAND,
        "data_type": "steps", "value": "{\"n\": 1}", "expires_at": expires_at});
    serde_json::from_value(map).unwrap()
}

fn nothing_new() -> Value {
    json!({"streams": {"user:u1": {"epoch": EPOCH, "head": 0, "verdict": "reset"}},
        "frames": [{"type": "snapshot", "stream": "user:u1", "epoch": EPOCH, "seq": 0,
            "items": [], "last": true}],
        "cursor": "opaque", "more": false})
}

/// A device of the user, with a clock that the test sets.
async fn device(gateway: &Gateway) -> (Device<Recorder, StaticToken>, Hands) {
    let (local, hands) = tidegate_clock::Clock::movable();
    let device = gateway.builder().clock(Clock::on(local)).build().await.unwrap();
    device.store().set_owner(&StreamName::parse("user:u1").unwrap()).await.unwrap();
    (device, hands)
}

/// Puts a command into the inbox, as an earlier run left it.
async fn leave(device: &Device<Recorder, StaticToken>, expires_at: &str) {
    let Ok(Push::Command(command)) = Push::read(&pushed(expires_at)) else { panic!() };
    device.store().arrive_by_push(&command).await.unwrap();
}

fn executed(device: &Device<Recorder, StaticToken>) -> usize {
    device.handler().executed.lock().unwrap().len()
}

/// A phone whose clock is set to another century while it is connected.
#[tokio::test]
async fn a_clock_that_jumps_under_way_expires_nothing() {
    for jump_ms in [CENTURY_MS, -CENTURY_MS] {
        let gateway = Gateway::bind().await;
        let (device, hands) = device(&gateway).await;
        play(&device, async {
            let (mut peer, _) = gateway.accept_live().await;
            hands.go_ahead_ms(jump_ms);
            let mut body = command(1);
            body["expires_at"] = json!(ALIVE);
            peer.send(&event(0, 1, "command", &body)).await;
            while peer.recv().await["type"] != "results" {}
        })
        .await
        .unwrap();
        assert_eq!(executed(&device), 1);
    }
}

/// What an earlier run left waits until the gateway has said its time,
/// whatever this device's clock says; then it runs or is reported.
#[tokio::test]
async fn what_was_left_is_judged_by_the_gateways_time() {
    for jump_ms in [CENTURY_MS, 0, -CENTURY_MS] {
        for (expires_at, status) in [(ALIVE, "applied"), (OVER, "failed")] {
            let gateway = Gateway::bind().await;
            let (device, hands) = device(&gateway).await;
            leave(&device, expires_at).await;
            hands.go_ahead_ms(jump_ms);
            play(&device, async {
                let (mut peer, hello) = gateway.accept().await;
                assert_eq!(executed(&device), 0, "nothing before it is known");
                assert!(device.handler().expired.lock().unwrap().is_empty());
                peer.send(&welcome(&hello, "reset")).await;
                let report = peer.recv().await;
                assert_eq!(report["results"][0]["status"], status, "{report}");
                peer.send(&results_ok()).await;
            })
            .await
            .unwrap();
            let is_over = expires_at == OVER;
            assert_eq!(executed(&device), usize::from(!is_over));
            let expired = device.handler().expired.lock().unwrap().clone();
            assert_eq!(expired, vec![COMMAND.to_owned(); usize::from(is_over)]);
        }
    }
}

/// An app that a push started asks for the time before it carries anything
/// out: pushes come late too. One that is late ends in the same way where the
/// time was known before.
#[tokio::test]
async fn a_push_is_judged_by_the_gateways_time() {
    for (expires_at, is_known, status) in
        [(ALIVE, false, "applied"), (OVER, false, "failed"), (OVER, true, "failed")]
    {
        let gateway = Gateway::bind().await;
        let (device, hands) = device(&gateway).await;
        hands.go_ahead_ms(-CENTURY_MS);
        if is_known {
            device.clock().hear(GATEWAY);
        }
        let script = gateway.http(|target, body: Value| {
            if target.starts_with("/api/v1/sync/poll") {
                assert!(!is_known);
                return Http::Json(nothing_new());
            }
            assert_eq!(body["results"][0]["status"], status, "{body}");
            Http::Last(json!({"results": results_ok()["results"]}))
        });
        let (handled, ()) = tokio::join!(device.handle_push(pushed(expires_at)), script);
        let id = CommandId::parse(COMMAND).unwrap();
        let is_over = expires_at == OVER;
        let expected = if is_over {
            PushHandled::Ignored(Ignored::Expired)
        } else {
            PushHandled::Executed(id)
        };
        assert_eq!(handled.unwrap(), expected);
        assert_eq!(executed(&device), usize::from(!is_over));
        let told = device.handler().expired.lock().unwrap().len();
        assert_eq!(told, usize::from(is_over));
    }
}

/// A late push of a command that was carried out is answered with its outcome.
#[tokio::test]
async fn a_late_push_of_what_is_done_is_answered() {
    let gateway = Gateway::bind().await;
    let (device, _) = device(&gateway).await;
    device.clock().hear(GATEWAY);
    leave(&device, OVER).await;
    let id = CommandId::parse(COMMAND).unwrap();
    device.store().finish(&id, &Outcome::Applied).await.unwrap();
    device.store().confirm(&[(id.clone(), 0)]).await.unwrap();
    let script = gateway.http(|_, body| {
        assert_eq!(body["results"][0]["status"], "applied", "{body}");
        Http::Last(json!({"results": results_ok()["results"]}))
    });
    let (handled, ()) = tokio::join!(device.handle_push(pushed(OVER)), script);
    assert_eq!(handled.unwrap(), PushHandled::Repeated(id));
}

/// Something on the way takes the date off answers. This device's clock then
/// lets commands begin, and neither ends one nor forgets one.
#[tokio::test]
async fn without_a_date_no_command_ends() {
    for (jump_ms, runs) in [(CENTURY_MS, false), (-CENTURY_MS, true)] {
        let gateway = Gateway::bind().await;
        let (device, hands) = device(&gateway).await;
        leave(&device, ALIVE).await;
        hands.go_ahead_ms(jump_ms);
        let undated = gateway.http(|target, _| {
            let is_poll = target.starts_with("/api/v1/sync/poll");
            match (is_poll, runs) {
                (true, false) => Http::LastUndated(nothing_new()),
                (true, true) => Http::Status("200 OK", nothing_new()),
                (false, _) => Http::Last(json!({"results": results_ok()["results"]})),
            }
        });
        let (synced, ()) = tokio::join!(device.sync_once(0), undated);
        synced.unwrap();
        assert_eq!(executed(&device), usize::from(runs));
        assert!(device.handler().expired.lock().unwrap().is_empty());
        assert_eq!(device.store().has_open_commands().await.unwrap(), !runs);
        if !runs {
            let dated = gateway.http(|target, body| {
                if target.starts_with("/api/v1/sync/poll") {
                    return Http::Json(nothing_new());
                }
                assert_eq!(body["results"][0]["status"], "applied", "{body}");
                Http::Last(json!({"results": results_ok()["results"]}))
            });
            let (synced, ()) = tokio::join!(device.sync_once(0), dated);
            synced.unwrap();
            assert_eq!(executed(&device), 1);
        }
    }
}

/// An id forgotten too early would be carried out twice.
#[tokio::test]
async fn without_a_date_no_id_is_forgotten() {
    let gateway = Gateway::bind().await;
    let (device, hands) = device(&gateway).await;
    leave(&device, ALIVE).await;
    let store = device.store();
    let id = CommandId::parse(COMMAND).unwrap();
    store.finish(&id, &Outcome::Applied).await.unwrap();
    store.confirm(&[(id, 0)]).await.unwrap();
    hands.go_ahead_ms(CENTURY_MS);
    let undated = gateway.http(|_, _| Http::LastUndated(nothing_new()));
    let (synced, ()) = tokio::join!(device.sync_once(0), undated);
    synced.unwrap();
    let Ok(Push::Command(again)) = Push::read(&pushed(ALIVE)) else { panic!() };
    assert_eq!(device.store().arrive_by_push(&again).await.unwrap(), Arrival::Answer);
}

/// The app hears of an end when that is durable, not at every try to store it.
#[tokio::test]
async fn what_expired_is_told_when_it_is_stored() {
    let gateway = Gateway::bind().await;
    let (device, _) = device(&gateway).await;
    leave(&device, OVER).await;
    device.clock().hear(GATEWAY);
    let told = || device.handler().expired.lock().unwrap().clone();
    device.store().refuse_outcomes(true).await;
    for _ in 0..2 {
        executor::drain(&device).await.unwrap_err();
        assert!(told().is_empty());
    }
    device.store().refuse_outcomes(false).await;
    executor::drain(&device).await.unwrap();
    assert_eq!(told(), [COMMAND]);
}
