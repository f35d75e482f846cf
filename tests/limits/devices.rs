//! A user has so many devices: for another one, the one that is offline and
//! unseen for longest makes room.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::store;
use tidegate::store::device::DeviceKey;
use tidegate::store::portion::Portion;
use tidegate_protocol::time::Timestamp;

use crate::limits::expect_busy;
use crate::support::{Answer, Caller, Device, Gateway, Setup, Socket, eventually};

const ALL: Portion = Portion { rows: 100, bytes: usize::MAX };

/// A gateway where a user has three devices, and one that they call from.
async fn three() -> Gateway {
    Setup::new().set("limits.devices_per_user", "3").start().await
}

async fn register(gateway: &Gateway, device: &Device) -> Answer {
    let body = json!({ "device_id": device.id, "platform": "ios" });
    gateway.calls_of(device).quiet().post("/api/v1/devices/register", &body).await
}

/// Registers a device a minute after what was before.
async fn register_later(gateway: &Gateway, device: &Device) {
    gateway.move_clock(Duration::from_mins(1));
    register(gateway, device).await.expect(200);
}

async fn known(backend: &Caller) -> Vec<Value> {
    let page = backend.get("/api/v1/users/u1/devices").await.expect(200);
    page["items"].as_array().unwrap().clone()
}

async fn ids(backend: &Caller) -> Vec<String> {
    let mut ids: Vec<String> = known(backend)
        .await
        .iter()
        .map(|item| item["device_id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

fn sorted(devices: &[&Device]) -> Vec<String> {
    let mut ids: Vec<String> = devices.iter().map(|device| device.id.clone()).collect();
    ids.sort();
    ids
}

async fn offline(backend: &Caller, device: &Device) {
    eventually("the device to be offline", async || {
        let items = known(backend).await;
        items
            .iter()
            .any(|item| item["device_id"] == device.id && item["online"] == false)
            .then_some(())
    })
    .await;
}

/// Says hello and requires that all places are taken.
async fn refused(device: &Device) {
    let mut socket: Socket = device.connect().await;
    socket.send(&device.hello()).await;
    let error = socket.expect("error").await;
    assert_eq!(error["code"], "too_many_devices");
    assert!(error["retry_after_ms"].as_i64().is_some_and(|wait| wait > 0), "{error}");
    socket.expect_close(4403, "too_many_devices").await;
}

/// The one unseen for longest goes as if it had been deleted, by both ways in,
/// and is counted. What others have stays theirs.
#[tokio::test]
async fn the_one_unseen_for_longest_makes_room() {
    let gateway = three().await;
    let backend = gateway.backend().quiet();
    let [old, middle, young, next, last] =
        ["old", "middle", "young", "next", "last"].map(|name| gateway.device(name, "u1"));
    let body = json!({ "device_id": old.id, "platform": "ios", "fcm_token": "t-old" });
    let calls = gateway.calls_of(&old).quiet();
    calls.post("/api/v1/devices/register", &body).await.expect(200);
    register_later(&gateway, &middle).await;
    register_later(&gateway, &young).await;
    let own = backend.make_for(&old, "steps").await;
    let shared = backend.make("u1", "weight").await;
    let of_another = backend.make_for(&middle, "steps").await;
    // It has a cursor, and acking it makes it no younger than the others.
    let poll = calls.get(&format!("/api/v1/sync/poll?device_id={}", old.id)).await.expect(200);
    let cursor = poll["cursor"].as_str().unwrap();
    calls.get(&format!("/api/v1/sync/poll?device_id={}&cursor={cursor}", old.id)).await.expect(200);
    gateway.running().state().ingest.catch_up_behind().await.unwrap();
    register_later(&gateway, &middle).await;
    register_later(&gateway, &young).await;

    register_later(&gateway, &next).await;
    assert_eq!(ids(&backend).await, sorted(&[&middle, &young, &next]));
    assert_eq!(backend.command(&own).await["status"], "cancelled");
    for id in [&shared, &of_another] {
        assert_ne!(backend.command(id).await["status"], "cancelled");
    }
    let store = &gateway.running().state().store;
    let key = DeviceKey { user_id: "u1".to_owned(), device_id: old.id.clone() };
    let cursors = store::device::cursors(store.readers(), &[key]).await.unwrap();
    assert!(cursors.is_empty(), "{cursors:?}");
    let path = format!("/api/v1/sync/poll?device_id={}", old.id);
    calls.get(&path).await.expect_error(404, "device_not_found");

    gateway.move_clock(Duration::from_mins(1));
    let _session = last.open().await;
    assert_eq!(ids(&backend).await, sorted(&[&young, &next, &last]));
    assert_eq!(backend.command(&of_another).await["status"], "cancelled");
    let figures = backend.get("/metrics").await;
    assert!(figures.text().contains("\ntidegate_devices_replaced_total 2\n"));
    // It comes back as a new device.
    register_later(&gateway, &old).await;
    assert_eq!(ids(&backend).await, sorted(&[&next, &last, &old]));
}

/// The end of a command is journalled for the device that comes back.
#[tokio::test]
async fn a_command_cancelled_so_is_closed_in_the_journal() {
    let gateway = Setup::new().set("limits.devices_per_user", "1").start().await;
    let backend = gateway.backend().quiet();
    let (old, new) = (gateway.device("old", "u1"), gateway.device("new", "u1"));
    register(&gateway, &old).await.expect(200);
    let id = backend.make_for(&old, "steps").await;
    register(&gateway, &new).await.expect(200);
    register(&gateway, &old).await.expect(200);
    let store = &gateway.running().state().store;
    let page = store::journal::page(store.readers(), "user:u1", 0, ALL).await.unwrap().unwrap();
    let kinds: Vec<(&str, Option<&str>)> = page
        .rows
        .iter()
        .map(|row| (row.entry.kind.as_str(), row.entry.command_id.as_deref()))
        .collect();
    assert_eq!(kinds, [("command_closed", Some(&*id))]);
}

/// A device that polled just now is not the one unseen for longest, though its
/// row does not say so yet.
#[tokio::test]
async fn what_is_written_late_counts() {
    let setup = Setup::new().set("limits.devices_per_user", "2").set("session.behind_ms", "10000");
    let gateway = setup.start().await;
    let backend = gateway.backend().quiet();
    let [old, young, new] = ["old", "young", "new"].map(|name| gateway.device(name, "u1"));
    register(&gateway, &old).await.expect(200);
    register_later(&gateway, &young).await;
    gateway.move_clock(Duration::from_mins(1));
    let poll = format!("/api/v1/sync/poll?device_id={}", old.id);
    gateway.calls_of(&old).quiet().get(&poll).await.expect(200);
    register(&gateway, &new).await.expect(200);
    assert_eq!(ids(&backend).await, sorted(&[&old, &new]));
}

/// One that is online never makes room; while all are, a new one is refused on
/// both ways in and told when to come again. One that is known is not refused,
/// and other users are not concerned.
#[tokio::test]
async fn those_that_are_online_stay() {
    let gateway = three().await;
    let backend = gateway.backend().quiet();
    let [one, two, three, new] =
        ["one", "two", "three", "new"].map(|name| gateway.device(name, "u1"));
    let mut first = one.open().await;
    gateway.move_clock(Duration::from_mins(1));
    let mut second = two.open().await;
    register_later(&gateway, &three).await;

    // The only one offline is the one seen last.
    register_later(&gateway, &new).await;
    assert_eq!(ids(&backend).await, sorted(&[&one, &two, &new]));
    let third = new.open().await;
    expect_busy(register(&gateway, &three).await, 429, "too_many_devices");
    refused(&three).await;
    register(&gateway, &one).await.expect(200);
    register(&gateway, &gateway.device("stranger", "u2")).await.expect(200);
    for socket in [&mut first, &mut second] {
        socket.expect_nothing_pending().await;
    }

    third.close().await;
    offline(&backend, &new).await;
    three.open().await;
    assert_eq!(ids(&backend).await, sorted(&[&one, &two, &three]));
}

/// Many that come at once get each a place or a refusal that says to try again;
/// the bound holds, and trying again helps.
#[tokio::test]
async fn the_bound_holds_when_many_come_at_once() {
    let gateway = three().await;
    let backend = gateway.backend().quiet();
    let devices: Vec<Device> = (0..12).map(|n| gateway.device(&format!("d{n}"), "u1")).collect();
    let registering = devices.iter().map(|device| async {
        loop {
            match register(&gateway, device).await.status.as_u16() {
                200 => return,
                503 => {}
                other => panic!("{other}"),
            }
        }
    });
    futures_util::future::join_all(registering).await;
    assert_eq!(known(&backend).await.len(), 3);
}

/// A session that is only silent is noted to be here now and then: after a
/// crash its device must not seem to have been away.
#[tokio::test]
async fn a_silent_session_is_seen() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let mut hello = phone.hello();
    hello["heartbeat_s"] = json!(300);
    let (mut socket, _) = phone.open_with(&hello).await;
    socket.snapshot().await;
    gateway.move_clock(Duration::from_hours(1));
    let moved = gateway.now_ms();
    gateway.pass_time(Duration::from_secs(301)).await;
    let backend = gateway.backend().quiet();
    eventually("the device to be seen", async || {
        let seen = known(&backend).await[0]["last_seen_at"].clone();
        let seen: Timestamp = serde_json::from_value(seen).unwrap();
        (seen.millis() >= moved).then_some(())
    })
    .await;
    assert_eq!(known(&backend).await[0]["online"], true);
}
