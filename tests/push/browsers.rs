//! Web Push: what its services answer, and what follows.

use std::time::Duration;

use tidegate_fakes::answer::RetryAfter;
use tidegate_fakes::webpush::answer::Answer;

use crate::push::scene::Scene;
use crate::support::eventually;

/// The subscription is gone, or belongs to another key: it ends, and only it.
#[tokio::test]
async fn a_subscription_that_is_gone_ends() {
    for answer in [Answer::Gone, Answer::NotFound, Answer::OtherCredentials, Answer::HashMismatch] {
        let scene = Scene::start_with(Scene::patient()).await;
        let (browser, subscription) = scene.browser("browser", "u1").await;
        scene.webpush.script(&subscription.id, [answer]);
        let id = scene.backend.make("u1", "steps").await;
        scene.until_push_state(&browser, "invalid").await;
        let rows = scene.settled(&id, 1).await;
        assert_eq!(
            (rows[0]["event"].as_str(), rows[0]["channel"].as_str()),
            (Some("push_failed"), Some("webpush"))
        );
        scene.backend.make("u1", "weight").await;
        scene.idle().await;
        assert_eq!(scene.webpush.requests().len(), 1);
    }
}

/// An unsubscribed browser answers 410; a new subscription is pushed at once.
#[tokio::test]
async fn a_browser_unsubscribes_and_comes_back() {
    let scene = Scene::start_with(Scene::patient()).await;
    let (browser, subscription) = scene.browser("browser", "u1").await;
    scene.webpush.unsubscribe(&subscription.id);
    scene.backend.make("u1", "steps").await;
    scene.until_push_state(&browser, "invalid").await;
    let again = scene.webpush.subscribe(None);
    let push = serde_json::json!({ "provider": "webpush", "token": again.json });
    scene.register(&browser, push).await;
    eventually("a push", async || (scene.webpush.messages(&again.id).len() == 1).then_some(()))
        .await;
}

/// Rates and faults are tried again, `Retry-After` as a floor.
#[tokio::test]
async fn faults_are_tried_again() {
    let seconds = |n| Some(RetryAfter::Seconds(n));
    for (answer, early_s, late_s) in [
        (Answer::Unavailable { retry_after: seconds(120) }, 115, 121),
        (Answer::RateLimited { retry_after: seconds(90) }, 85, 91),
        (Answer::RateLimited { retry_after: None }, 55, 75),
        (Answer::Internal, 55, 75),
        (Answer::CreatedThenDrop, 55, 75),
    ] {
        let scene = Scene::start_with(Scene::patient()).await;
        let (_, subscription) = scene.browser("browser", "u1").await;
        scene.webpush.script(&subscription.id, [answer]);
        let id = scene.backend.make("u1", "steps").await;
        scene.settled(&id, 1).await;
        scene.pass(Duration::from_secs(early_s)).await;
        scene.idle().await;
        assert_eq!(scene.webpush.requests().len(), 1);
        scene.pass(Duration::from_secs(late_s - early_s)).await;
        let rows = scene.settled(&id, 2).await;
        assert_eq!(rows[1]["event"], "push_ok");
    }
}
