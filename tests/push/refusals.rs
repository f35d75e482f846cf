//! Refusals of one token: how long it is tried, how it ends, and what is told.

use std::time::Duration;

use serde_json::json;
use tidegate_fakes::answer::{Reply, RetryAfter};
use tidegate_fakes::fcm::answer::Answer as FcmAnswer;
use tidegate_fakes::webpush::answer::Answer;

use crate::push::scene::Scene;

fn two_waits() -> crate::support::Setup {
    Scene::patient().set("push.refusal_backoff_ms", "[60000, 300000]")
}

/// One refusal more than there are waits, each later than the one before; then
/// the token is invalid, and lists say why. A new one begins anew.
#[tokio::test]
async fn repeated_refusals_end_a_token_with_their_reason() {
    let scene = Scene::start_with(two_waits()).await;
    let (browser, subscription) = scene.browser("browser", "u1").await;
    scene.webpush.answer_always(&subscription.id, Some(Answer::BadJwt));
    let id = scene.backend.make("u1", "steps").await;
    for (refusals, wait_s) in [(1, 75), (2, 375)] {
        scene.settled(&id, refusals).await;
        assert_eq!(scene.push_state(&browser).await, "active");
        scene.elapse(Duration::from_secs(wait_s * 3 / 4)).await;
        scene.idle().await;
        scene.settled(&id, refusals).await;
        scene.elapse(Duration::from_secs(wait_s / 4)).await;
    }
    scene.settled(&id, 3).await;
    scene.until_push_state(&browser, "invalid").await;
    let shown = scene.shown(&browser).await;
    let expected = "the VAPID token is not accepted (HTTP 403): BadJwtToken";
    assert_eq!(shown["push_error"], expected);
    let again = scene.webpush.subscribe(None);
    scene.register(&browser, json!({ "provider": "webpush", "token": again.json })).await;
    let rows = scene.settled(&id, 4).await;
    assert_eq!(rows[3]["event"], "push_ok");
    assert!(scene.shown(&browser).await.get("push_error").is_none());
}

/// A success in between makes the count begin anew.
#[tokio::test]
async fn a_success_forgives_the_refusals_before() {
    let scene = Scene::start_with(two_waits()).await;
    let phone = scene.phone_on("ios", "phone", "u1").await;
    for round in 0..4 {
        scene.fcm.script("token-phone", [FcmAnswer::ThirdPartyAuth, FcmAnswer::ThirdPartyAuth]);
        let id = scene.backend.make("u1", &format!("t{round}")).await;
        scene.settled(&id, 1).await;
        scene.elapse(Duration::from_secs(76)).await;
        scene.settled(&id, 2).await;
        scene.elapse(Duration::from_secs(376)).await;
        let rows = scene.settled(&id, 3).await;
        assert_eq!(rows[2]["event"], "push_ok");
        scene.applied(&phone, &id).await;
    }
    assert_eq!(scene.push_state(&phone).await, "active");
}

/// Another token is not held back by the refusals of the one before, also
/// where nothing waited when it was registered.
#[tokio::test]
async fn another_token_does_not_inherit_a_refusal() {
    let scene = Scene::start_with(two_waits()).await;
    let phone = scene.phone("phone", "u1").await;
    scene.fcm.script("token-phone", [FcmAnswer::WrongAddress]);
    let id = scene.backend.make("u1", "steps").await;
    scene.settled(&id, 1).await;
    scene.idle().await;
    scene.applied(&phone, &id).await;
    scene.register(&phone, json!({ "provider": "fcm", "token": "token-new" })).await;
    scene.idle().await;
    scene.backend.make("u1", "weight").await;
    scene.pushes("token-new", 1).await;
}

/// Whatever the status, an answer that asks to wait is throttling: seconds and
/// dates are a floor, and no token is blamed.
#[tokio::test]
async fn whatever_asks_to_wait_is_waited_for() {
    let bare = |status, retry_after| Reply { retry_after, ..Reply::bare(status) };
    for (status, retry_after) in [
        (406, Some(RetryAfter::Seconds(90))),
        (401, Some(RetryAfter::Seconds(90))),
        (403, Some(RetryAfter::DateInSeconds(90))),
        (404, Some(RetryAfter::Seconds(90))),
        (307, Some(RetryAfter::DateInSeconds(90))),
        (413, Some(RetryAfter::Seconds(90))),
        (406, None),
    ] {
        let scene = Scene::start_with(Scene::patient()).await;
        let (browser, subscription) = scene.browser("browser", "u1").await;
        scene.webpush.script(&subscription.id, [Answer::Reply(bare(status, retry_after))]);
        let phone = scene.phone("phone", "u2").await;
        scene.fcm.script("token-phone", [FcmAnswer::Reply(bare(status, retry_after))]);
        let ids =
            [scene.backend.make("u1", "steps").await, scene.backend.make("u2", "steps").await];
        for id in &ids {
            scene.settled(id, 1).await;
        }
        let wait_s = if retry_after.is_some() { 91 } else { 76 };
        scene.pass(Duration::from_secs(wait_s - 36)).await;
        scene.idle().await;
        for id in &ids {
            scene.settled(id, 1).await;
        }
        scene.pass(Duration::from_secs(36)).await;
        for id in &ids {
            assert_eq!(scene.settled(id, 2).await[1]["event"], "push_ok", "{status}");
        }
        assert_eq!(scene.readiness().await, "ok");
        for device in [&browser, &phone] {
            assert_eq!(scene.push_state(device).await, "active");
        }
    }
}

/// What a service says beside its status reaches the command's timeline, short
/// and without the endpoint or the token.
#[tokio::test]
async fn the_reasons_reach_the_timeline() {
    let scene = Scene::start_with(Scene::patient()).await;
    let (_, subscription) = scene.browser("browser", "u1").await;
    let said = format!("The channel {}/push/{} is throttled", scene.webpush.url(), subscription.id);
    scene.webpush.script(&subscription.id, [Answer::Reply(Reply::wns(406, &said))]);
    let id = scene.backend.make("u1", "steps").await;
    let detail = scene.settled(&id, 1).await[0]["detail"].as_str().unwrap().to_owned();
    let expected = "the service limits the rate (HTTP 406): x-wns-error-description: The channel \
        [hidden] is throttled, x-wns-status: dropped; ";
    assert!(detail.starts_with(expected), "{detail}");
    scene.phone_on("ios", "phone", "u2").await;
    let endless = Reply { headers: vec![("x-reason", "word ".repeat(999))], ..Reply::bare(403) };
    scene.fcm.script("token-phone", [FcmAnswer::ThirdPartyAuth, FcmAnswer::Reply(endless)]);
    let id = scene.backend.make("u2", "steps").await;
    let detail = scene.settled(&id, 1).await[0]["detail"].as_str().unwrap().to_owned();
    let expected = "(HTTP 401): THIRD_PARTY_AUTH_ERROR, APNs 403, InvalidProviderToken; ";
    assert!(detail.contains(expected), "{detail}");
    scene.elapse(Duration::from_secs(76)).await;
    let detail = scene.settled(&id, 2).await[1]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("x-reason: word word") && detail.len() < 300, "{detail}");
}
