//! The life of push tokens: they end when their provider says so, and only
//! they do.

use std::time::Duration;

use serde_json::json;
use tidegate_fakes::answer::RetryAfter;
use tidegate_fakes::fcm::answer::Answer;

use crate::push::scene::Scene;

const DAY: Duration = Duration::from_hours(24);

/// The token ends, the device stays: it polls, and another token revives
/// delivery at once.
async fn ends(answer: Answer) {
    let scene = Scene::start_with(Scene::patient()).await;
    let phone = scene.phone("phone", "u1").await;
    scene.fcm.script("token-phone", [answer]);
    let id = scene.backend.make("u1", "steps").await;
    scene.pushes("token-phone", 1).await;
    scene.until_push_state(&phone, "invalid").await;
    scene.until_figure("tidegate_push_tokens_ended_total", 1.0).await;
    let path = format!("/api/v1/sync/poll?device_id={}", phone.id);
    let polled = scene.calls(&phone).get(&path).await.expect(200);
    let item = &polled["frames"][0]["items"][0]["body"];
    assert_eq!(item["command_id"], id.as_str(), "{polled}");
    scene.backend.make("u1", "weight").await;
    scene.idle().await;
    scene.pushes("token-phone", 1).await;
    scene.register(&phone, json!({ "provider": "fcm", "token": "token-new" })).await;
    scene.pushes("token-new", 1).await;
    assert_eq!(scene.push_state(&phone).await, "active");
    assert_eq!(scene.readiness().await, "ok");
}

/// Uninstalled, never a token, in both forms, and another project's.
#[tokio::test]
async fn a_dead_token_ends_alone() {
    for answer in [
        Answer::Unregistered,
        Answer::InvalidToken,
        Answer::InvalidTokenSentence,
        Answer::SenderIdMismatch,
    ] {
        ends(answer).await;
    }
}

/// Another token revives delivery at once, whatever held back the old one: its
/// `Retry-After`, and a send under way that does not end.
#[tokio::test]
async fn another_token_is_not_held_back() {
    let scene = Scene::start_with(Scene::patient()).await;
    let phone = scene.phone("phone", "u1").await;
    let retry_after = Some(RetryAfter::Seconds(3_000));
    scene.fcm.script("token-phone", [Answer::QuotaExceeded { retry_after }]);
    let id = scene.backend.make("u1", "steps").await;
    scene.settled(&id, 1).await;
    scene.fcm.script("token-b", [Answer::Hang]);
    scene.register(&phone, json!({ "provider": "fcm", "token": "token-b" })).await;
    scene.pushes("token-b", 1).await;
    scene.register(&phone, json!({ "provider": "fcm", "token": "token-c" })).await;
    scene.pushes("token-c", 1).await;
}

/// The same token again does not undercut what its provider asked for.
#[tokio::test]
async fn the_same_token_keeps_its_floor() {
    let scene = Scene::start_with(Scene::patient()).await;
    let phone = scene.phone("phone", "u1").await;
    let retry_after = Some(RetryAfter::Seconds(90));
    scene.fcm.script("token-phone", [Answer::QuotaExceeded { retry_after }]);
    let id = scene.backend.make("u1", "steps").await;
    scene.settled(&id, 1).await;
    scene.register(&phone, json!({ "provider": "fcm", "token": "token-phone" })).await;
    scene.idle().await;
    scene.pushes("token-phone", 1).await;
    scene.pass(Duration::from_secs(91)).await;
    scene.pushes("token-phone", 2).await;
}

/// Two devices register one token: only its newest owner is pushed.
#[tokio::test]
async fn one_token_wakes_its_newest_owner_only() {
    let scene = Scene::start_with(Scene::patient()).await;
    let phone = scene.phone("phone", "u1").await;
    let next = scene.gateway.device("next", "u2");
    scene.register(&next, json!({ "provider": "fcm", "token": "token-phone" })).await;
    assert_eq!(scene.push_state(&phone).await, "none");
    scene.backend.make("u1", "steps").await;
    scene.backend.make("u2", "weight").await;
    let pushes = scene.pushes("token-phone", 1).await;
    assert_eq!(pushes[0].body["message"]["data"]["stream"], "user:u2");
    scene.idle().await;
    scene.pushes("token-phone", 1).await;
}

/// An answer about a token that its device has replaced meanwhile ends
/// nothing.
#[tokio::test]
async fn an_old_answer_does_not_end_a_new_token() {
    let scene = Scene::start_with(Scene::patient()).await;
    let phone = scene.phone("phone", "u1").await;
    scene.fcm.script("token-phone", [Answer::Unregistered]);
    scene
        .fcm
        .google()
        .script([tidegate_fakes::google::TokenAnswer::Slow(Duration::from_millis(300))]);
    scene.backend.make("u1", "steps").await;
    scene.until_figure("tidegate_pushes_in_flight", 1.0).await;
    scene.register(&phone, json!({ "provider": "fcm", "token": "token-new" })).await;
    scene.pushes("token-phone", 1).await;
    scene.pushes("token-new", 1).await;
    scene.until_figure("tidegate_push_tokens_ended_total", 1.0).await;
    scene.until_figure("tidegate_pushes_in_flight", 0.0).await;
    assert_eq!(scene.push_state(&phone).await, "active");
}

/// A token that was not refreshed for 30 days is stale: it shows, it is still
/// tried, and registering it again makes it active.
#[tokio::test]
async fn tokens_grow_stale_and_are_refreshed() {
    let setup = Scene::patient().set("journal.trim_interval_s", "1");
    let scene = Scene::start_with(setup).await;
    let phone = scene.phone("phone", "u1").await;
    scene.pass(29 * DAY).await;
    let fresh = scene.phone("fresh", "u2").await;
    scene.pass(2 * DAY).await;
    scene.until_push_state(&phone, "stale").await;
    assert_eq!(scene.push_state(&fresh).await, "active");
    scene.backend.make("u1", "steps").await;
    scene.pushes("token-phone", 1).await;
    scene.register(&phone, json!({ "provider": "fcm", "token": "token-phone" })).await;
    assert_eq!(scene.push_state(&phone).await, "active");
}

/// A device that is deleted leaves nothing, though a send to it was under way:
/// the one that registers after it, with the same id, begins with a full
/// bucket.
#[tokio::test]
async fn a_deleted_device_leaves_nothing() {
    let setup = Scene::patient().set("push.device_burst", "1").set("push.device_refill_s", "3600");
    let scene = Scene::start_with(setup).await;
    let phone = scene.phone("phone", "u1").await;
    scene.fcm.script("token-phone", [Answer::Slow(Duration::from_millis(300))]);
    scene.backend.make("u1", "steps").await;
    scene.pushes("token-phone", 1).await;
    scene.calls(&phone).delete(&format!("/api/v1/devices/{}", phone.id)).await.expect(204);
    scene.until_figure("tidegate_pushes_total{outcome=\"ok\"}", 1.0).await;
    scene.idle().await;
    scene.register(&phone, json!({ "provider": "fcm", "token": "token-phone" })).await;
    scene.pushes("token-phone", 2).await;
    scene.backend.make("u1", "weight").await;
    scene.idle().await;
    scene.pushes("token-phone", 2).await;
}
