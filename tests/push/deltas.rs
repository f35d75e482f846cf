//! Wake-ups for data: for devices that asked for them, are away and lag behind
//! a shared stream.

use std::time::Duration;

use serde_json::json;

use crate::push::scene::Scene;
use crate::push::shown::{self, Life};
use crate::support::{Device, check, put};

/// A device that follows `news`, has it up to now, and left.
async fn follower(scene: &Scene, name: &str, user: &str, wants: bool) -> Device {
    let device = scene.gateway.device(name, user);
    seen(scene, &device, wants).await;
    device
}

/// The device connects, takes everything, acks it and leaves.
async fn seen(scene: &Scene, device: &Device, wants: bool) {
    let sessions = scene.figure("tidegate_sessions").await;
    let mut hello = device.hello();
    let token = format!("token-{}", device.name);
    hello["device"]["push"] = json!({ "provider": "fcm", "token": token });
    hello["device"]["wants_delta_push"] = wants.into();
    hello["subscribe"] = json!(["news"]);
    let (mut socket, _) = device.open_with(&hello).await;
    for _ in 0..2 {
        let snapshot = socket.expect("snapshot").await;
        assert_eq!(snapshot["last"], true);
        socket.ack(&snapshot).await;
    }
    socket.expect_nothing_pending().await;
    socket.close().await;
    scene.until_figure("tidegate_sessions", sessions).await;
    // What was noted of it is written before the test goes on.
    scene.gateway.running().state().ingest.flush_behind().await.unwrap();
}

async fn publish(scene: &Scene, id: &str) {
    scene.backend.publish("news", json!([put(id, &json!({}))])).await;
}

/// Only the device that asked, lags and is away is woken, NORMAL; and once
/// until it was seen again.
#[tokio::test]
async fn a_device_that_lags_is_woken_once_until_it_is_seen() {
    let scene = Scene::start_with(Scene::patient()).await;
    scene.gateway.stop_clock();
    publish(&scene, "a").await;
    let phone = follower(&scene, "phone", "u1", true).await;
    follower(&scene, "silent", "u2", false).await;
    scene.phone("stranger", "u3").await;
    publish(&scene, "b").await;
    let pushes = scene.pushes("token-phone", 1).await;
    let life = Life { left_s: 86_400, now_ms: scene.gateway.now_ms() };
    check!("fcm_delta", shown::fcm(&pushes[0], life));
    publish(&scene, "c").await;
    scene.pass(Duration::from_secs(30)).await;
    scans(&scene).await;
    scene.pushes("token-phone", 1).await;
    seen(&scene, &phone, true).await;
    publish(&scene, "d").await;
    scene.pushes("token-phone", 2).await;
    for silent in ["token-silent", "token-stranger"] {
        scene.pushes(silent, 0).await;
    }
}

/// Who followed the stream while it was empty is woken for its first record.
#[tokio::test]
async fn a_follower_of_an_empty_stream_is_woken() {
    let scene = Scene::start_with(Scene::patient()).await;
    follower(&scene, "phone", "u1", true).await;
    publish(&scene, "a").await;
    scene.pushes("token-phone", 1).await;
}

/// A few scans find nothing: the last one begins after everything before.
async fn scans(scene: &Scene) {
    for n in 0..3 {
        let name = format!("witness-{n}-{}", scene.fcm.requests().len());
        follower(scene, &name, &name, true).await;
        publish(scene, &name).await;
        scene.pushes(&format!("token-{name}"), 1).await;
    }
}

/// A device that is online is not woken for data, nor one that has it all.
#[tokio::test]
async fn a_device_that_is_online_is_not_woken_for_data() {
    let scene = Scene::start_with(Scene::patient()).await;
    publish(&scene, "a").await;
    let phone = follower(&scene, "phone", "u1", true).await;
    scans(&scene).await;
    scene.pushes("token-phone", 1).await;
    let mut socket = phone.open().await;
    socket.quiet(true);
    publish(&scene, "b").await;
    scans(&scene).await;
    scene.pushes("token-phone", 1).await;
}

/// Data does not give commands their pushes anew: a device that lags and does
/// not answer gets the push and its repeat, and no more.
#[tokio::test]
async fn data_does_not_repeat_the_pushes_of_commands() {
    let scene = Scene::start_with(Scene::patient()).await;
    publish(&scene, "a").await;
    follower(&scene, "phone", "u1", true).await;
    let id = scene.backend.make("u1", "steps").await;
    scene.pushes("token-phone", 1).await;
    scene.settled(&id, 1).await;
    publish(&scene, "b").await;
    scans(&scene).await;
    scene.pushes("token-phone", 1).await;
    scene.pass(Duration::from_secs(1_201)).await;
    scene.pushes("token-phone", 2).await;
    scene.settled(&id, 2).await;
    publish(&scene, "c").await;
    scans(&scene).await;
    scene.pushes("token-phone", 2).await;
}

/// A wake-up for data follows the schedule when it fails, and ends with it;
/// and what a device has caught up with meanwhile needs none.
#[tokio::test]
async fn data_keeps_to_the_schedule() {
    use tidegate_fakes::fcm::answer::Answer;
    let scene = Scene::start_with(Scene::patient()).await;
    publish(&scene, "a").await;
    follower(&scene, "phone", "u1", true).await;
    let other = follower(&scene, "other", "u2", true).await;
    let unavailable = || Answer::Unavailable { retry_after: None };
    scene.fcm.script("token-phone", (0..9).map(|_| unavailable()));
    scene.fcm.script("token-other", [unavailable()]);
    publish(&scene, "b").await;
    scene.pushes("token-phone", 1).await;
    scene.pushes("token-other", 1).await;
    scene.until_figure("tidegate_pushes_total{outcome=\"retry\"}", 2.0).await;
    seen(&scene, &other, true).await;
    scene.pass(Duration::from_secs(76)).await;
    scene.pushes("token-phone", 2).await;
    scene.idle().await;
    scene.pushes("token-other", 1).await;
    scene.until_figure("tidegate_pushes_total{outcome=\"retry\"}", 3.0).await;
    scene.pass(Duration::from_secs(151)).await;
    scene.pushes("token-phone", 3).await;
    scene.until_figure("tidegate_pushes_total{outcome=\"retry\"}", 4.0).await;
    scene.pass(Duration::from_mins(10)).await;
    scans(&scene).await;
    scene.pushes("token-phone", 3).await;
}
