//! What is sent: every kind of request to FCM and to Web Push, whole.

use serde_json::{Value, json};
use tidegate_fakes::webpush::answer::Answer;

use crate::push::scene::Scene;
use crate::push::shown::{self, Life};
use crate::support::{Device, Setup, check};

/// The default life of a command, and that of a wake-up for data.
const DAY_S: i64 = 86_400;

/// Its clock stands, so that every life and every end is known.
async fn standing(setup: Setup) -> Scene {
    let scene = Scene::start_with(setup).await;
    scene.gateway.stop_clock();
    scene
}

async fn make(scene: &Scene, device: &Device, fields: Value) -> String {
    let mut command =
        json!({ "user_id": device.user, "data_type": "weight", "value": { "kg": 71 } });
    command.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    scene.backend.make_with(&command).await
}

/// The only push of the phone, as a text.
async fn fcm(scene: &Scene, name: &str, left_s: i64) -> String {
    let pushes = scene.pushes(&format!("token-{name}"), 1).await;
    shown::fcm(&pushes[0], Life { left_s, now_ms: scene.gateway.now_ms() })
}

async fn webpush(scene: &Scene, id: &str, count: usize) -> String {
    let requests = scene.webpush.wait_for(count).await;
    let messages = scene.webpush.messages(id);
    let key = scene.backend.get("/api/v1/push/webpush-key").await.expect(200);
    let life = Life { left_s: DAY_S, now_ms: scene.gateway.now_ms() };
    let key = key["public_key"].as_str().unwrap();
    shown::webpush(requests.last().unwrap(), messages.last().unwrap(), key, life)
}

/// One command waits: it travels inside its wake-up, HIGH, with its own life.
#[tokio::test]
async fn one_command_travels_inside_its_wake_up() {
    let scene = standing(Scene::setup()).await;
    let phone = scene.phone("phone", "u1").await;
    make(&scene, &phone, json!({})).await;
    let text = fcm(&scene, "phone", DAY_S).await;
    check!("fcm_inline", text);
    let other = scene.phone("other", "u2").await;
    make(&scene, &other, json!({ "ttl_s": 90, "priority": "high" })).await;
    let text = fcm(&scene, "other", 90).await;
    check!("fcm_inline_short", text);
    assert_eq!(scene.fcm.collapse_keys("token-phone"), ["sync"]);
}

/// With `push.inline` off no value passes through a provider.
#[tokio::test]
async fn without_inline_there_are_only_hints() {
    let scene = standing(Scene::setup().set("push.inline", "false")).await;
    let phone = scene.phone("phone", "u1").await;
    make(&scene, &phone, json!({})).await;
    let text = fcm(&scene, "phone", DAY_S).await;
    check!("fcm_hint", text);
    let (browser, subscription) = scene.browser("browser", "u2").await;
    make(&scene, &browser, json!({})).await;
    let text = webpush(&scene, &subscription.id, 1).await;
    check!("webpush_hint", text);
}

/// Several commands make one hint, HIGH where any of them is, for the longest
/// life; low ones alone are NORMAL, also inside.
#[tokio::test]
async fn several_commands_make_one_wake_up() {
    let scene = standing(Scene::setup()).await;
    let (phone, slow) = (scene.phone("phone", "u1").await, scene.phone("slow", "u2").await);
    let of = |device: &Device, priority: &str| json!({ "user_id": device.user, "data_type": "t", "value": 1, "priority": priority });
    let commands =
        json!({ "commands": [of(&phone, "low"), of(&phone, "normal"), of(&phone, "low")] });
    scene.backend.post("/api/v1/commands/batch", &commands).await.expect(207);
    let text = fcm(&scene, "phone", DAY_S).await;
    check!("fcm_coalesced", text);
    make(&scene, &slow, json!({ "priority": "low" })).await;
    let text = fcm(&scene, "slow", DAY_S).await;
    check!("fcm_low", text);
}

/// A command that does not fit FCM's 4,096 bytes is only hinted at.
#[tokio::test]
async fn what_does_not_fit_is_hinted_at() {
    let scene = standing(Scene::setup()).await;
    let (phone, other) = (scene.phone("phone", "u1").await, scene.phone("other", "u2").await);
    make(&scene, &phone, json!({ "value": "x".repeat(3_700) })).await;
    let text = fcm(&scene, "phone", DAY_S).await;
    check!("fcm_large", text);
    make(&scene, &other, json!({ "value": "x".repeat(4_000) })).await;
    let text = fcm(&scene, "other", DAY_S).await;
    check!("fcm_too_large", text);
    let (browser, subscription) = scene.browser("browser", "u3").await;
    make(&scene, &browser, json!({ "value": "x".repeat(4_000) })).await;
    let text = webpush(&scene, &subscription.id, 1).await;
    check!("webpush_too_large", text);
}

/// Browsers get the same, encrypted; a service that finds the message too
/// large gets the hint at once.
#[tokio::test]
async fn browsers_get_the_same() {
    let scene = standing(Scene::setup()).await;
    let (browser, subscription) = scene.browser("browser", "u1").await;
    make(&scene, &browser, json!({})).await;
    let text = webpush(&scene, &subscription.id, 1).await;
    check!("webpush_inline", text);
    let (other, small) = scene.browser("other", "u2").await;
    scene.webpush.script(&small.id, [Answer::TooLarge]);
    make(&scene, &other, json!({ "priority": "low" })).await;
    let text = webpush(&scene, &small.id, 3).await;
    check!("webpush_after_413", text);
}

/// A browser that is off line gets the newest wake-up, once.
#[tokio::test]
async fn wake_ups_replace_one_another() {
    let scene = standing(Scene::setup()).await;
    let (_, subscription) = scene.browser("browser", "u1").await;
    scene.webpush.go_offline(&subscription.id);
    scene.backend.make("u1", "steps").await;
    scene.webpush.wait_for(1).await;
    let newest = scene.backend.make("u1", "weight").await;
    scene.webpush.wait_for(2).await;
    scene.settled(&newest, 1).await;
    scene.webpush.go_online(&subscription.id);
    let messages = scene.webpush.messages(&subscription.id);
    let payload: Value = serde_json::from_slice(&messages[0].payload).unwrap();
    assert_eq!((messages.len(), payload["action"].as_str()), (1, Some("sync")));
}
