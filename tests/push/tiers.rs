//! Which tier a command takes: socket, push, poll.

use std::time::Duration;

use serde_json::json;
use tidegate_fakes::fcm::answer::Answer;

use crate::push::scene::Scene;
use crate::support::{Device, bounded};

/// A moment before and a moment after the time of the first tier.
const ACK_TIMEOUT: Duration = Duration::from_mins(10);
const SECOND: Duration = Duration::from_secs(1);

fn hello_with_token(device: &Device) -> serde_json::Value {
    let mut hello = device.hello();
    let token = format!("token-{}", device.name);
    hello["device"]["push"] = json!({ "provider": "fcm", "token": token });
    hello
}

/// A live session gets its time; one that gives no result is pushed after it,
/// and once more after twice that, then left to its poll.
#[tokio::test]
async fn a_session_without_a_result_is_pushed_and_pushed_once_more() {
    let scene = Scene::start_with(Scene::setup()).await;
    let phone = scene.phone("phone", "u1").await;
    let mut socket = phone.open().await;
    let made_ms = scene.gateway.now_ms();
    let id = scene.backend.make("u1", "steps").await;
    socket.entries(1).await;
    scene.settled(&id, 2).await;
    let pushes = scene.pushes("token-phone", 2).await;
    let first_ms = pushes[0].at_ms - made_ms;
    let again_ms = pushes[1].at_ms - pushes[0].at_ms;
    // Not sooner; how much later is the machine's affair.
    assert!(first_ms >= 600, "{first_ms} ms");
    assert!(again_ms >= 1_150, "{again_ms} ms");
    scene.pass(Duration::from_hours(1)).await;
    scene.idle().await;
    scene.pushes("token-phone", 2).await;
    assert_eq!(scene.backend.command(&id).await["status"], "sent");
}

/// A result within the time of the first tier: no push.
#[tokio::test]
async fn a_result_in_time_means_no_push() {
    let scene = Scene::start_with(Scene::patient()).await;
    let phone = scene.phone("phone", "u1").await;
    let mut socket = phone.open().await;
    let id = scene.backend.make("u1", "steps").await;
    socket.entries(1).await;
    let results = json!([{ "command_id": id, "status": "applied" }]);
    socket.send(&json!({ "type": "results", "results": results })).await;
    socket.expect("results_ok").await;
    scene.pass(ACK_TIMEOUT + SECOND).await;
    scene.idle().await;
    scene.pushes("token-phone", 0).await;
}

/// A result between a push and its repeat: no repeat.
#[tokio::test]
async fn a_result_after_a_push_means_no_repeat() {
    let scene = Scene::start_with(Scene::patient()).await;
    let phone = scene.phone("phone", "u1").await;
    let id = scene.backend.make("u1", "steps").await;
    scene.pushes("token-phone", 1).await;
    scene.settled(&id, 1).await;
    scene.applied(&phone, &id).await;
    scene.pass(3 * ACK_TIMEOUT).await;
    scene.idle().await;
    scene.pushes("token-phone", 1).await;
}

/// A device that comes online between the commit and the push is served by its
/// socket and not pushed: here the push waits for its device's bucket.
#[tokio::test]
async fn a_device_that_comes_online_first_is_not_pushed() {
    let setup = Scene::patient().set("push.device_burst", "1").set("push.device_refill_s", "100");
    let scene = Scene::start_with(setup).await;
    let phone = scene.phone("phone", "u1").await;
    let first = scene.backend.make("u1", "steps").await;
    scene.pushes("token-phone", 1).await;
    scene.settled(&first, 1).await;
    scene.applied(&phone, &first).await;
    let second = scene.backend.make("u1", "weight").await;
    scene.idle().await;
    let (mut socket, _) = phone.open_with(&hello_with_token(&phone)).await;
    let items = socket.snapshot().await;
    assert_eq!(items.last().unwrap()["body"]["command_id"], second.as_str());
    scene.pass(Duration::from_secs(101)).await;
    scene.idle().await;
    scene.pushes("token-phone", 1).await;
    let results = json!([{ "command_id": second, "status": "applied" }]);
    socket.send(&json!({ "type": "results", "results": results })).await;
    socket.expect("results_ok").await;
    scene.pass(2 * ACK_TIMEOUT).await;
    scene.idle().await;
    scene.pushes("token-phone", 1).await;
    assert_eq!(scene.backend.command(&second).await["status"], "applied");
}

/// A hello that brings a new token while commands wait is about to be served:
/// it is not pushed in the moment before its session begins.
#[tokio::test]
async fn a_hello_with_a_token_is_not_pushed() {
    let scene = Scene::start_with(Scene::patient()).await;
    let phones: Vec<Device> =
        (0..20).map(|n| scene.gateway.device(&format!("p{n}"), &format!("u{n}"))).collect();
    for phone in &phones {
        scene.gateway.backend().quiet().make(&phone.user, "steps").await;
        let (mut socket, _) = phone.open_with(&hello_with_token(phone)).await;
        socket.snapshot().await;
        scene.idle().await;
        scene.pushes(&format!("token-{}", phone.name), 0).await;
    }
}

/// A device that leaves during its time is not held back by it: the next
/// command wakes it at once.
#[tokio::test]
async fn a_device_that_left_is_pushed_at_once() {
    let scene = Scene::start_with(Scene::patient()).await;
    let phone = scene.phone("phone", "u1").await;
    let socket = phone.open().await;
    scene.backend.make("u1", "steps").await;
    scene.pass(ACK_TIMEOUT / 2).await;
    socket.close().await;
    scene.until_figure("tidegate_sessions", 0.0).await;
    scene.backend.make("u1", "weight").await;
    let pushes = scene.pushes("token-phone", 1).await;
    assert_eq!(pushes[0].body["message"]["data"]["action"], "sync");
}

/// A new command gets a push of its own, also one that comes while a send is
/// under way, and while the schedule of an earlier one is over.
#[tokio::test]
async fn a_new_command_is_pushed_anew() {
    let scene = Scene::start_with(Scene::patient()).await;
    scene.phone("phone", "u1").await;
    scene.fcm.script("token-phone", [Answer::Slow(Duration::from_millis(300))]);
    let first = scene.backend.make("u1", "steps").await;
    bounded("under way", scene.fcm.wait_for(1)).await;
    scene.backend.make("u1", "weight").await;
    let pushes = scene.pushes("token-phone", 2).await;
    assert_eq!(pushes[0].body["message"]["data"]["command_id"], first.as_str());
    assert_eq!(pushes[1].body["message"]["data"]["action"], "sync");
    scene.settled(&first, 2).await;
    scene.pass(2 * ACK_TIMEOUT + SECOND).await;
    scene.pushes("token-phone", 3).await;
    scene.settled(&first, 3).await;
    scene.pass(3 * ACK_TIMEOUT).await;
    scene.backend.make("u1", "sleep").await;
    scene.pushes("token-phone", 4).await;
}

/// Another attempt of a command wakes the device again.
#[tokio::test]
async fn another_attempt_is_pushed() {
    let scene = Scene::start_with(Scene::patient()).await;
    let phone = scene.phone("phone", "u1").await;
    let id = scene.backend.make("u1", "steps").await;
    scene.pushes("token-phone", 1).await;
    scene.settled(&id, 1).await;
    let results = json!([{ "command_id": id, "status": "failed", "retryable": true }]);
    let body = json!({ "device_id": phone.id, "results": results });
    scene.calls(&phone).post("/api/v1/sync/results", &body).await.expect(200);
    scene.pushes("token-phone", 2).await;
    assert_eq!(scene.backend.command(&id).await["attempts"], 2);
}

/// A command that ended, by expiry too, is not pushed any more; many commands
/// of another device of the user hide none of this one's.
#[tokio::test]
async fn only_what_waits_for_this_device_is_pushed() {
    let scene = Scene::start_with(Scene::patient()).await;
    let phone = scene.phone("phone", "u1").await;
    let lost = scene.gateway.device("lost", "u1");
    scene.calls(&lost).register(&lost).await;
    let of = |n: usize| json!({ "user_id": "u1", "device_id": lost.id, "data_type": format!("t{n}"), "value": 1 });
    let commands: Vec<_> = (0..150).map(of).collect();
    let body = json!({ "commands": commands });
    scene.backend.post("/api/v1/commands/batch", &body).await.expect(207);
    let own = json!({ "user_id": "u1", "device_id": phone.id, "data_type": "steps", "value": 1, "ttl_s": 60 });
    let id = scene.backend.make_with(&own).await;
    let pushes = scene.pushes("token-phone", 1).await;
    assert_eq!(pushes[0].body["message"]["data"]["command_id"], id.as_str());
    scene.settled(&id, 1).await;
    scene.pass(3 * ACK_TIMEOUT).await;
    scene.idle().await;
    scene.pushes("token-phone", 1).await;
}
