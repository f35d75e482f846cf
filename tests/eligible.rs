//! Which devices may carry out a command, and when it closes without success.

use std::time::Duration;

use serde_json::json;

use crate::results::report;
use crate::support::{Device, Gateway, check};

/// Two devices whose ids have this order, as have deliveries of the same time.
fn phone_and_tablet(gateway: &Gateway) -> (Device, Device) {
    let id = |first| format!("{first}f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11");
    let device = |name, first| gateway.device_with_id(name, "u1", &id(first));
    (device("phone", 1), device("tablet", 2))
}

/// An unaddressed command closes with the last refusal, once no device of the
/// user is left.
#[tokio::test]
async fn the_last_device_that_refuses_decides() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = phone_and_tablet(&gateway);
    let backend = gateway.backend();
    let (mut phones, mut tablets) = (phone.open().await, tablet.open().await);
    gateway.said();
    let id = backend.make("u1", "steps").await;
    phones.entries(1).await;
    tablets.entries(1).await;
    backend.timeline(&id, 3).await;
    report(&mut phones, json!({ "command_id": id, "status": "rejected", "error": "no" })).await;
    phones.expect_nothing_pending().await;
    assert_eq!(backend.command(&id).await["status"], "sent");
    gateway.move_clock(Duration::from_secs(1));
    report(&mut tablets, json!({ "command_id": id, "status": "failed", "error": "broken" })).await;
    phones.entries(1).await;
    tablets.entries(1).await;
    backend.get(&format!("/api/v1/commands/{id}")).await.expect(200);
    check!("last_refusal", gateway.said());
}

/// The first success closes; a later result of another device is late.
#[tokio::test]
async fn the_first_success_decides() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = phone_and_tablet(&gateway);
    let backend = gateway.backend();
    let (mut phones, mut tablets) = (phone.open().await, tablet.open().await);
    let id = backend.make("u1", "steps").await;
    phones.entries(1).await;
    tablets.entries(1).await;
    backend.timeline(&id, 3).await;
    gateway.said();
    report(&mut phones, json!({ "command_id": id, "status": "applied" })).await;
    tablets.entries(1).await;
    gateway.move_clock(Duration::from_secs(1));
    report(&mut tablets, json!({ "command_id": id, "status": "failed" })).await;
    gateway.move_clock(Duration::from_secs(1));
    report(&mut tablets, json!({ "command_id": id, "status": "applied" })).await;
    backend.get(&format!("/api/v1/commands/{id}")).await.expect(200);
    check!("first_success", gateway.said());
}

/// Only devices with the capability see the command, and only they decide.
#[tokio::test]
async fn a_capability_selects_devices() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    let backend = gateway.backend();
    let mut phones = phone.open().await;
    gateway.said();
    let command = json!({ "user_id": "u1", "data_type": "scan", "value": 1, "requires": "nfc" });
    let id = backend.make_with(&command).await;
    phones.expect_nothing_pending().await;
    // A device that comes later counts, too.
    let mut hello = tablet.hello();
    hello["device"]["capabilities"] = json!(["ble", "nfc"]);
    let (mut tablets, _) = tablet.open_with(&hello).await;
    tablets.snapshot().await;
    report(&mut tablets, json!({ "command_id": id, "status": "rejected" })).await;
    tablets.entries(1).await;
    phones.expect_nothing_pending().await;
    assert_eq!(backend.command(&id).await["status"], "rejected");
    check!("capability", gateway.said());
}

/// With no device that may carry it out, a command waits.
#[tokio::test]
async fn a_command_waits_for_its_first_device() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let id = backend.make("u1", "steps").await;
    assert_eq!(backend.command(&id).await["status"], "pending");
    let (mut socket, _) = phone.open_with(&phone.hello()).await;
    assert_eq!(socket.snapshot().await.len(), 1);
    backend.timeline(&id, 2).await;
    assert_eq!(backend.command(&id).await["status"], "sent");
}

/// A new device keeps a command open that all others refused.
#[tokio::test]
async fn a_later_device_keeps_a_command_open() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    let backend = gateway.backend();
    let mut phones = phone.open().await;
    let id = backend.make("u1", "steps").await;
    phones.entries(1).await;
    gateway.calls_of(&tablet).register(&tablet).await;
    report(&mut phones, json!({ "command_id": id, "status": "rejected" })).await;
    phones.expect_nothing_pending().await;
    assert_eq!(backend.timeline(&id, 3).await["status"], "sent");
    // Gone again, it is not waited for: the last outcome decides.
    let path = format!("/api/v1/devices/{}", tablet.id);
    gateway.calls_of(&tablet).delete(&path).await.expect(204);
    let entries = phones.entries(1).await;
    assert_eq!(entries[0]["body"], json!({ "command_id": id, "status": "rejected" }));
}

/// A device that can no longer carry a command out is not waited for.
#[tokio::test]
async fn a_lost_capability_takes_a_device_out() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    let backend = gateway.backend();
    let with = |device: &Device, capabilities: &[&str]| {
        let mut hello = device.hello();
        hello["device"]["capabilities"] = json!(capabilities);
        hello
    };
    let (mut phones, _) = phone.open_with(&with(&phone, &["nfc"])).await;
    phones.snapshot().await;
    drop(tablet.open_with(&with(&tablet, &["nfc", "ble"])).await);
    let command = json!({ "user_id": "u1", "data_type": "scan", "value": 1, "requires": "nfc" });
    let id = backend.make_with(&command).await;
    phones.entries(1).await;
    report(&mut phones, json!({ "command_id": id, "status": "rejected" })).await;
    phones.expect_nothing_pending().await;
    // Naming no capabilities leaves them as they are.
    gateway.calls_of(&tablet).register(&tablet).await;
    drop(tablet.open_with(&with(&tablet, &["nfc"])).await);
    phones.expect_nothing_pending().await;
    drop(tablet.open_with(&with(&tablet, &["ble"])).await);
    let entries = phones.entries(1).await;
    assert_eq!(entries[0]["body"], json!({ "command_id": id, "status": "rejected" }));
}
