//! What devices are told of integrations.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_fakes::provider::answer::Answer as Said;

use crate::integrations::world::{STRAVA, World};
use crate::support::Socket;

/// The next entry about an integration, without when the last run ended.
async fn told(socket: &mut Socket) -> Value {
    loop {
        let frame = socket.expect("events").await;
        for entry in frame["entries"].as_array().unwrap() {
            if entry["kind"] == "integration" {
                let mut body = entry["body"].clone();
                if let Some(at) = body.as_object_mut().unwrap().remove("last_synced_at") {
                    assert!(at.is_string());
                }
                return body;
            }
        }
    }
}

fn body(connected: bool, status: &str) -> Value {
    json!({ "provider": "strava", "connected": connected, "sync_status": status })
}

/// Devices hear of a connect, of the first run and of one asked for, of errors and
/// their end, and of a disconnect; not of each run.
#[tokio::test]
async fn devices_hear_what_concerns_them() {
    let world = World::start().await;
    let device = world.gateway.device("phone", "ana");
    let mut socket = device.open().await;
    world.authorize("ana", STRAVA, "1001").await.expect(200);
    assert_eq!(told(&mut socket).await, body(true, "syncing"));
    assert_eq!(told(&mut socket).await, body(true, "idle"));
    world.sync("ana", STRAVA).await;
    assert_eq!(told(&mut socket).await, body(true, "syncing"));
    assert_eq!(told(&mut socket).await, body(true, "idle"));
    // One by itself.
    let runs = "tidegate_provider_runs_total{result=\"done\"}";
    let done = world.figure(runs).await;
    world.pass(Duration::from_mins(23)).await;
    crate::support::eventually("a run", async || (world.figure(runs).await > done).then_some(()))
        .await;
    // One by itself that fails, and one that does not any more.
    world.providers.strava.script().extend("list", [Said::Status(500)]);
    world.pass(Duration::from_mins(23)).await;
    let mut failed = body(true, "error");
    failed["sync_error"] = "provider_unavailable".into();
    assert_eq!(told(&mut socket).await, failed);
    world.pass(Duration::from_mins(23)).await;
    assert_eq!(told(&mut socket).await, body(true, "idle"));
    world.phone("ana").delete("/api/v1/integrations/strava").await.expect(204);
    assert_eq!(told(&mut socket).await, body(false, "idle"));
}

/// Who comes later finds it in the snapshot, while it is connected.
#[tokio::test]
async fn a_snapshot_has_what_is_connected() {
    let world = World::start().await;
    world.connect("ana", STRAVA, "1001").await;
    let items = async |name: &str| {
        let device = world.gateway.device(name, "ana");
        let mut socket = device.connect().await;
        socket.begin(&device.hello()).await;
        let items = socket.snapshot().await;
        let of_integrations = items.into_iter().filter(|item| item["kind"] == "integration");
        of_integrations.collect::<Vec<Value>>()
    };
    let found = items("phone").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["body"]["sync_status"], "idle");
    assert!(found[0]["body"]["last_synced_at"].is_string());
    world.phone("ana").delete("/api/v1/integrations/strava").await.expect(204);
    assert!(items("tablet").await.is_empty());
}
