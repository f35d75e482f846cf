//! What is the project's by definition pauses the tier, and shows.

use std::time::Duration;

use tidegate_fakes::answer::RetryAfter;
use tidegate_fakes::fcm::answer::Answer;
use tidegate_fakes::google::TokenAnswer;
use tidegate_fakes::google::assertion::Refusal;

use crate::push::scene::Scene;
use crate::support::eventually;

/// The pause: so long that what a test does meanwhile is no part of it.
const PAUSE_MS: &str = "3000000";

/// Two parts of it.
const MOST: Duration = Duration::from_mins(40);
const REST: Duration = Duration::from_mins(10);

/// How long who met it leaves the first try to others: a quarter of it.
const GRACE: Duration = Duration::from_secs(750);

/// Services that refuse the project, and waits that only moved clocks end.
async fn scene() -> Scene {
    Scene::start_with(Scene::patient().set("push.circuit_ms", PAUSE_MS)).await
}

/// The first push finds the tier broken; nothing else is sent until the pause
/// is over. Then the one that did not meet it tries first, and everything goes
/// out.
async fn pauses(scene: &Scene) {
    assert_eq!(scene.readiness().await, "ok");
    let (first, second) = (scene.phone("phone", "u1").await, scene.phone("other", "u2").await);
    let id = scene.backend.make("u1", "steps").await;
    let rows = scene.settled(&id, 1).await;
    assert_eq!(rows[0]["event"], "push_failed");
    assert_eq!(scene.readiness().await, "circuit_open");
    let before = scene.fcm.requests().len();
    let other = scene.backend.make("u2", "steps").await;
    scene.elapse(MOST).await;
    scene.idle().await;
    assert_eq!(scene.fcm.requests().len(), before, "nothing is sent");
    assert_eq!(scene.readiness().await, "circuit_open");
    assert_eq!(scene.figure("tidegate_push_circuits_opened_total").await.to_bits(), 1f64.to_bits());
    scene.elapse(REST).await;
    let rows = scene.settled(&other, 1).await;
    assert_eq!(rows[0]["event"], "push_ok");
    assert_eq!(scene.readiness().await, "ok", "its success closed it");
    scene.settled(&id, 1).await;
    scene.elapse(GRACE).await;
    scene.settled(&id, 2).await;
    for phone in [first, second] {
        assert_eq!(scene.push_state(&phone).await, "active");
    }
}

/// The project may not send: no token ends, and sending pauses.
#[tokio::test]
async fn what_an_operator_must_mend_opens_the_circuit() {
    let scene = scene().await;
    scene.fcm.script("token-phone", [Answer::PermissionDenied]);
    pauses(&scene).await;
}

/// A try that fails reopens it, and it is not tried all at once.
#[tokio::test]
async fn one_send_tries_an_open_circuit() {
    let scene = scene().await;
    scene.fcm.set_fallback(Answer::PermissionDenied);
    for number in 0..6 {
        scene.phone(&format!("p{number}"), &format!("u{number}")).await;
    }
    let first = scene.backend.make("u0", "steps").await;
    scene.settled(&first, 1).await;
    for number in 1..6 {
        scene.backend.make(&format!("u{number}"), "steps").await;
    }
    for tries in 2..4 {
        scene.idle().await;
        scene.elapse(MOST + REST).await;
        eventually("a try", async || (scene.fcm.requests().len() == tries).then_some(())).await;
        scene.elapse(REST).await;
        scene.idle().await;
        assert_eq!(scene.fcm.requests().len(), tries, "one at a time");
        scene.elapse(MOST / 2).await;
    }
    scene.fcm.set_fallback(Answer::Sent);
    scene.elapse(MOST + REST).await;
    for number in 1..6 {
        let token = format!("token-p{number}");
        eventually("a push", async || (!scene.fcm.delivered(&token).is_empty()).then_some(()))
            .await;
        scene.elapse(Duration::from_secs(1)).await;
    }
}

/// A push that was under way when the circuit opened, and went well, does not
/// close it.
#[tokio::test]
async fn a_success_under_way_does_not_close_the_circuit() {
    let scene = Scene::start_with(Scene::patient()).await;
    scene.phone("slow", "u3").await;
    scene.fcm.script("token-slow", [Answer::Slow(Duration::from_millis(200))]);
    scene.fcm.script("token-phone", [Answer::PermissionDenied]);
    let slow = scene.backend.make("u3", "steps").await;
    scene.pushes("token-slow", 1).await;
    scene.phone("phone", "u1").await;
    let id = scene.backend.make("u1", "steps").await;
    scene.settled(&id, 1).await;
    scene.settled(&slow, 1).await;
    assert_eq!(scene.readiness().await, "circuit_open");
}

/// The token endpoint refuses the account: every refusal it knows.
#[tokio::test]
async fn a_refused_account_opens_the_circuit() {
    for answer in [
        TokenAnswer::Refuse(Refusal::Signature),
        TokenAnswer::Refuse(Refusal::UnknownAccount),
        TokenAnswer::Refuse(Refusal::Window),
        TokenAnswer::Refuse(Refusal::Scope),
        TokenAnswer::IdTokenOnly,
    ] {
        let scene = scene().await;
        scene.fcm.google().script([answer]);
        pauses(&scene).await;
    }
}

/// Faults of the token endpoint are tried again by the schedule, and its
/// `Retry-After` is a floor.
#[tokio::test]
async fn a_faulty_token_endpoint_is_tried_again() {
    let retry_after = Some(RetryAfter::Seconds(90));
    for (answer, wait_s) in [
        (TokenAnswer::Status { status: 503, retry_after: None }, 75),
        (TokenAnswer::Status { status: 503, retry_after }, 91),
        (TokenAnswer::Garbage, 75),
        (TokenAnswer::Drop, 75),
    ] {
        let scene = Scene::start_with(Scene::patient()).await;
        scene.fcm.google().script([answer]);
        scene.phone("phone", "u1").await;
        let id = scene.backend.make("u1", "steps").await;
        scene.settled(&id, 1).await;
        assert_eq!(scene.readiness().await, "ok");
        scene.pass(Duration::from_secs(wait_s)).await;
        let rows = scene.settled(&id, 2).await;
        assert_eq!(rows[1]["event"], "push_ok");
        assert_eq!(scene.token_requests(2).await.len(), 2);
    }
}

/// An access token that FCM refuses is renewed once, and the push goes out;
/// one that stays refused is the operator's.
#[tokio::test]
async fn a_revoked_access_token_is_renewed_once() {
    let scene = Scene::start_with(Scene::patient()).await;
    let phone = scene.phone("phone", "u1").await;
    let id = scene.backend.make("u1", "steps").await;
    scene.settled(&id, 1).await;
    scene.applied(&phone, &id).await;
    scene.fcm.google().revoke_all();
    let id = scene.backend.make("u1", "steps").await;
    let rows = scene.settled(&id, 1).await;
    assert_eq!(rows[0]["event"], "push_ok");
    assert_eq!(scene.token_requests(2).await, ["granted", "granted"]);
    scene.fcm.script("token-other", [Answer::Unauthenticated, Answer::Unauthenticated]);
    scene.phone("other", "u2").await;
    let id = scene.backend.make("u2", "steps").await;
    scene.settled(&id, 1).await;
    assert_eq!(scene.readiness().await, "circuit_open");
}

/// Without credentials everything else works, and it shows.
#[tokio::test]
async fn without_credentials_it_shows() {
    let gateway = crate::support::Gateway::start().await;
    let answer = gateway.backend().quiet().get("/readyz").await.expect(200);
    assert_eq!(answer["push"], "not_configured");
    let key = gateway.backend().quiet().get("/api/v1/push/webpush-key").await;
    key.expect_error(404, "not_found");
    let phone = gateway.device("phone", "u1");
    let mut socket = phone.open().await;
    gateway.backend().make("u1", "steps").await;
    socket.entries(1).await;
}
