//! One token that is refused, among many that are not: its neighbours at the
//! same origin and in the same project get their pushes.

use std::time::Duration;

use tidegate_fakes::answer::{Reply, RetryAfter};
use tidegate_fakes::fcm::answer::Answer as FcmAnswer;
use tidegate_fakes::webpush::answer::Answer;

use crate::push::scene::Scene;
use crate::support::{Device, eventually};

const NEIGHBOURS: usize = 18;

/// Longer than a circuit pauses and than the first wait after a refusal.
const ROUND: Duration = Duration::from_secs(80);

/// A neighbour, and by what its provider knows it.
struct Neighbour {
    device: Device,
    token: String,
}

/// Every round, the bad one is asked first, and all others get theirs.
async fn all_are_served(
    scene: &Scene,
    neighbours: &[Neighbour],
    received: impl Fn(&Neighbour) -> usize,
) {
    for round in 1..=3 {
        scene.backend.make("bad", &format!("t{round}")).await;
        let mut made = Vec::new();
        for neighbour in neighbours {
            made.push(scene.backend.make(&neighbour.device.user, "steps").await);
        }
        for (neighbour, id) in neighbours.iter().zip(&made) {
            eventually("a push", async || (received(neighbour) >= round).then_some(())).await;
            assert_eq!(received(neighbour), round);
            scene.applied(&neighbour.device, id).await;
        }
        assert_eq!(scene.readiness().await, "ok", "one token is no evidence");
        scene.elapse(ROUND).await;
    }
}

/// The subscription answers so whatever comes.
async fn beside_a_bad_subscription(answer: Answer) {
    let scene = Scene::start_with(Scene::patient()).await;
    let (bad, subscription) = scene.browser("bad", "bad").await;
    scene.webpush.answer_always(&subscription.id, Some(answer));
    let mut neighbours = Vec::new();
    for number in 0..NEIGHBOURS {
        let (device, made) = scene.browser(&format!("b{number}"), &format!("u{number}")).await;
        neighbours.push(Neighbour { device, token: made.id });
    }
    let received = |neighbour: &Neighbour| scene.webpush.messages(&neighbour.token).len();
    all_are_served(&scene, &neighbours, received).await;
    assert_eq!(scene.push_state(&bad).await, "active", "refused, and not for long enough");
    let asked = scene.webpush.requests();
    let asked = asked.iter().filter(|request| request.subscription == subscription.id).count();
    assert!((2..=3).contains(&asked), "it backs off, and is asked again: {asked}");
}

/// 401, 403 and 404 without a word that explains them.
#[tokio::test]
async fn a_refused_subscription_starves_nobody() {
    for answer in [Answer::Unauthorized, Answer::BadJwt, Answer::Empty(403), Answer::Empty(404)] {
        beside_a_bad_subscription(answer).await;
    }
}

/// A redirect, and Microsoft's way to limit a rate.
#[tokio::test]
async fn a_redirected_or_throttled_subscription_starves_nobody() {
    let throttled = |retry_after| Reply { retry_after, ..Reply::wns(406, "Throttled") };
    for answer in [
        Answer::Redirect("http://127.0.0.1:1/".to_owned()),
        Answer::Reply(throttled(Some(RetryAfter::Seconds(60)))),
        Answer::Reply(throttled(Some(RetryAfter::DateInSeconds(60)))),
    ] {
        beside_a_bad_subscription(answer).await;
    }
}

/// APNs refuses the project's key for one token, or something in between
/// answers a page: phones of the same platform and of the other go on.
#[tokio::test]
async fn a_refused_phone_starves_nobody() {
    for answer in [FcmAnswer::ThirdPartyAuth, FcmAnswer::WrongAddress, FcmAnswer::Empty(307)] {
        let scene = Scene::start_with(Scene::patient()).await;
        let bad = scene.phone_on("ios", "bad", "bad").await;
        scene.fcm.answer_always("token-bad", Some(answer));
        let mut neighbours = Vec::new();
        for number in 0..NEIGHBOURS {
            let platform = if number % 2 == 0 { "ios" } else { "android" };
            let (name, user) = (format!("p{number}"), format!("u{number}"));
            let device = scene.phone_on(platform, &name, &user).await;
            neighbours.push(Neighbour { device, token: format!("token-{name}") });
        }
        let received = |neighbour: &Neighbour| scene.fcm.delivered(&neighbour.token).len();
        all_are_served(&scene, &neighbours, received).await;
        assert_eq!(scene.push_state(&bad).await, "active");
    }
}

/// Several tokens of one platform meet the same: that platform pauses and the
/// operator is called; the other goes on, no token is blamed, and the first
/// success of another token opens the way again.
#[tokio::test]
async fn a_refused_platform_pauses_alone() {
    let scene = Scene::start_with(Scene::patient()).await;
    let mut refused = Vec::new();
    for number in 0..3 {
        let (name, user) = (format!("i{number}"), format!("u{number}"));
        let token = format!("token-{name}");
        scene.fcm.answer_always(&token, Some(FcmAnswer::ThirdPartyAuth));
        refused.push(scene.phone_on("ios", &name, &user).await);
        let id = scene.backend.make(&user, "steps").await;
        scene.settled(&id, 1).await;
    }
    assert_eq!(scene.readiness().await, "circuit_open");
    scene.phone("android", "u8").await;
    let id = scene.backend.make("u8", "steps").await;
    assert_eq!(scene.settled(&id, 1).await[0]["event"], "push_ok");
    assert_eq!(scene.readiness().await, "circuit_open", "another platform says nothing of it");
    scene.phone_on("ios", "ipad", "u9").await;
    let id = scene.backend.make("u9", "steps").await;
    assert_eq!(scene.settled(&id, 1).await[0]["event"], "push_ok", "no culprit: it may try");
    assert_eq!(scene.readiness().await, "ok");
    for phone in &refused {
        assert_eq!(scene.push_state(phone).await, "active");
    }
}

/// A whole origin refuses: it pauses, FCM goes on, and however long it lasts
/// no subscription is given up for what is the service's fault.
#[tokio::test]
async fn a_refusing_origin_costs_no_subscription() {
    let setup = Scene::patient().set("push.refusal_backoff_ms", "[60000]");
    let scene = Scene::start_with(setup).await;
    scene.webpush.set_fallback(Answer::Unauthorized);
    let mut browsers = Vec::new();
    for number in 0..4 {
        let (browser, _) = scene.browser(&format!("b{number}"), &format!("u{number}")).await;
        let id = scene.backend.make(&browser.user, "steps").await;
        scene.settled(&id, 1).await;
        browsers.push(browser);
    }
    assert_eq!(scene.readiness().await, "circuit_open");
    for _ in 0..6 {
        scene.elapse(ROUND).await;
    }
    scene.idle().await;
    for browser in &browsers {
        assert_eq!(scene.push_state(browser).await, "active");
    }
    scene.phone("phone", "u8").await;
    let id = scene.backend.make("u8", "steps").await;
    assert_eq!(scene.settled(&id, 1).await[0]["event"], "push_ok");
}
