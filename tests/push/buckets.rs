//! How many: the buckets of devices and of the project.

use std::time::Duration;

use tidegate_fakes::fcm::answer::Answer;

use crate::push::scene::Scene;
use crate::support::Gateway;

/// A request may arrive this much later than it was let go: the first ones wait
/// for their access token.
const LATE_MS: i64 = 500;

fn small() -> crate::support::Setup {
    Scene::patient().set("push.device_burst", "2").set("push.device_refill_s", "100")
}

/// Makes a command and waits for its push.
async fn pushed(scene: &Scene, count: usize) {
    let id = scene.backend.make("u1", "steps").await;
    scene.pushes("token-phone", count).await;
    scene.settled(&id, 1).await;
}

/// A device gets its burst, and then one wake-up as each comes back; what
/// waited meanwhile is in it.
#[tokio::test]
async fn a_device_gets_its_burst_and_then_one_at_a_time() {
    let scene = Scene::start_with(small()).await;
    scene.phone("phone", "u1").await;
    pushed(&scene, 1).await;
    pushed(&scene, 2).await;
    let id = scene.backend.make("u1", "weight").await;
    scene.idle().await;
    scene.pass(Duration::from_secs(90)).await;
    scene.idle().await;
    scene.pushes("token-phone", 2).await;
    scene.pass(Duration::from_secs(10)).await;
    scene.pushes("token-phone", 3).await;
    scene.settled(&id, 1).await;
    scene.backend.make("u1", "sleep").await;
    scene.idle().await;
    scene.pushes("token-phone", 3).await;
    scene.pass(Duration::from_secs(101)).await;
    scene.pushes("token-phone", 4).await;
}

/// Sends that fail cost as much: every request counts.
#[tokio::test]
async fn failed_sends_are_paid_for() {
    let scene = Scene::start_with(small().set("push.backoff_ms", "[1000, 1000, 1000]")).await;
    scene.phone("phone", "u1").await;
    scene.fcm.script("token-phone", (0..2).map(|_| Answer::Unavailable { retry_after: None }));
    let id = scene.backend.make("u1", "steps").await;
    scene.settled(&id, 1).await;
    scene.pass(Duration::from_secs(2)).await;
    scene.settled(&id, 2).await;
    scene.pass(Duration::from_secs(10)).await;
    scene.idle().await;
    scene.pushes("token-phone", 2).await;
    scene.pass(Duration::from_secs(100)).await;
    scene.pushes("token-phone", 3).await;
}

/// A restart does not refill the bucket.
#[tokio::test]
async fn a_restart_does_not_refill_a_bucket() {
    let mut scene = Scene::start_with(small()).await;
    scene.phone("phone", "u1").await;
    pushed(&scene, 1).await;
    pushed(&scene, 2).await;
    scene.gateway.restart().await;
    scene.backend = scene.gateway.backend().quiet();
    scene.backend.make("u1", "weight").await;
    scene.idle().await;
    scene.pushes("token-phone", 2).await;
}

/// A restart pushes nothing again that was pushed before.
#[tokio::test]
async fn a_restart_repeats_nothing() {
    let mut scene = Scene::start_with(Scene::patient()).await;
    scene.phone("phone", "u1").await;
    pushed(&scene, 1).await;
    scene.gateway.restart().await;
    scene.backend = scene.gateway.backend().quiet();
    scene.idle().await;
    scene.pushes("token-phone", 1).await;
}

fn rate(gateway: &Gateway) -> usize {
    usize::try_from(gateway.config().push.project_per_minute).unwrap() / 60
}

/// The node keeps to its rate: after its first second's worth, no more than
/// the rate in any stretch of time.
#[tokio::test]
async fn the_project_keeps_to_its_rate() {
    let scene = Scene::start_with(Scene::patient().set("push.project_per_minute", "1200")).await;
    let rate = rate(&scene.gateway);
    let count = 3 * rate;
    for n in 0..count {
        scene.phone(&format!("p{n}"), &format!("u{n}")).await;
    }
    let of = |n| serde_json::json!({ "user_id": format!("u{n}"), "data_type": "t", "value": 1 });
    let commands: Vec<_> = (0..count).map(of).collect();
    let body = serde_json::json!({ "commands": commands });
    scene.backend.post("/api/v1/commands/batch", &body).await.expect(207);
    let mut times: Vec<i64> =
        scene.fcm.wait_for(count).await.iter().map(|request| request.at_ms).collect();
    times.sort_unstable();
    for (from, first) in times.iter().enumerate() {
        for (upto, last) in times.iter().enumerate().skip(from) {
            let elapsed_ms = usize::try_from(last - first + LATE_MS).unwrap();
            let allowed = rate + rate * elapsed_ms / 1000 + 1;
            let count = upto - from + 1;
            assert!(count <= allowed, "{count} in {} ms", last - first);
        }
    }
    // A second's worth is saved up and the rest takes two; the first may wait
    // for their access token.
    let took_ms = times.last().unwrap() - times.first().unwrap();
    assert!(took_ms >= 1_000, "{count} pushes in {took_ms} ms");
}

/// A node that starts comes up to its rate slowly.
#[tokio::test]
async fn a_node_that_starts_ramps_up() {
    let setup = Scene::patient().set("push.ramp_s", "600").set("push.project_per_minute", "6000");
    let scene = Scene::start_with(setup).await;
    for n in 0..12 {
        scene.phone(&format!("p{n}"), &format!("u{n}")).await;
    }
    for n in 0..12 {
        scene.backend.make(&format!("u{n}"), "steps").await;
    }
    let requests = scene.fcm.wait_for(12).await;
    let took_ms = requests[11].at_ms - requests[0].at_ms;
    // 100 a second at full rate, a twentieth of it at first: at most 5 are
    // saved up, and 7 take more than a second.
    assert!(took_ms >= 500, "12 pushes in {took_ms} ms");
}
