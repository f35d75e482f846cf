//! The table of FCM's refusals, seen from outside: what is tried again and
//! when, and what is not.

use std::time::Duration;

use tidegate_fakes::answer::RetryAfter;
use tidegate_fakes::fcm::answer::Answer;

use crate::push::scene::Scene;

const SECOND: Duration = Duration::from_secs(1);

/// The first wait of the schedule, and with the most jitter, in seconds.
const SCHEDULE_S: (u64, u64) = (60, 75);

fn unavailable(retry_after_s: Option<u64>) -> Answer {
    Answer::Unavailable { retry_after: retry_after_s.map(RetryAfter::Seconds) }
}

fn quota(retry_after: Option<RetryAfter>) -> Answer {
    Answer::QuotaExceeded { retry_after }
}

/// The push is answered so, and tried again between these seconds, never
/// before; then it goes well.
async fn tried_again(answer: Answer, (least_s, at_most_s): (u64, u64)) {
    let scene = Scene::start_with(Scene::patient()).await;
    scene.phone("phone", "u1").await;
    let name = answer.name();
    scene.fcm.script("token-phone", [answer]);
    let id = scene.backend.make("u1", "steps").await;
    scene.pushes("token-phone", 1).await;
    let rows = scene.settled(&id, 1).await;
    assert_eq!(rows[0]["event"], "push_failed", "{name}");
    scene.pass(Duration::from_secs(least_s - 5)).await;
    scene.idle().await;
    scene.pushes("token-phone", 1).await;
    scene.pass(Duration::from_secs(at_most_s - least_s + 5)).await;
    scene.pushes("token-phone", 2).await;
    let rows = scene.settled(&id, 2).await;
    assert_eq!(rows[1]["event"], "push_ok", "{name}");
}

/// After faults of the service the schedule counts: 60 s in these tests.
#[tokio::test]
async fn faults_are_tried_again_by_the_schedule() {
    for answer in [
        unavailable(None),
        unavailable(Some(7)),
        Answer::Internal,
        Answer::BadGateway,
        Answer::SentThenEmpty,
        Answer::SentThenDrop,
        Answer::Empty(500),
    ] {
        tried_again(answer, SCHEDULE_S).await;
    }
}

/// `Retry-After` is a floor, in seconds and as a date; 429 without it waits
/// for 60 s.
#[tokio::test]
async fn retry_after_is_never_undercut() {
    tried_again(unavailable(Some(90)), (90, 91)).await;
    tried_again(quota(Some(RetryAfter::Seconds(90))), (90, 91)).await;
    tried_again(quota(Some(RetryAfter::DateInSeconds(90))), (89, 91)).await;
    tried_again(quota(None), SCHEDULE_S).await;
}

/// A service that does not answer is given up in time for its claim, and tried
/// again.
#[tokio::test]
async fn silence_is_given_up() {
    let scene = Scene::start_with(Scene::patient()).await;
    scene.phone("phone", "u1").await;
    scene.fcm.script("token-phone", [Answer::Hang]);
    let id = scene.backend.make("u1", "steps").await;
    scene.pushes("token-phone", 1).await;
    scene.gateway.pass_time(8 * SECOND).await;
    let rows = scene.settled(&id, 1).await;
    assert_eq!(rows[0]["event"], "push_failed");
    scene.pass(75 * SECOND).await;
    scene.pushes("token-phone", 2).await;
    scene.settled(&id, 2).await;
}

/// After the last wait of the schedule the device is left to its poll: the
/// waits are what the settings say, and up to a quarter more.
#[tokio::test]
async fn the_schedule_ends() {
    let scene = Scene::start_with(Scene::patient()).await;
    scene.gateway.stop_clock();
    scene.phone("phone", "u1").await;
    scene.fcm.script("token-phone", (0..4).map(|_| unavailable(None)));
    let id = scene.backend.make("u1", "steps").await;
    scene.settled(&id, 1).await;
    for (sent, almost_s, rest_s) in [(1, 59, 16), (2, 119, 31)] {
        scene.pass(almost_s * SECOND).await;
        scene.pushes("token-phone", sent).await;
        scene.pass(rest_s * SECOND).await;
        scene.settled(&id, sent + 1).await;
    }
    scene.pass(600 * SECOND).await;
    scene.idle().await;
    scene.pushes("token-phone", 3).await;
}

/// A message that FCM finds invalid is not repeated, and its token stays.
#[tokio::test]
async fn an_invalid_message_is_dropped() {
    let scene = Scene::start_with(Scene::patient()).await;
    let phone = scene.phone("phone", "u1").await;
    scene.fcm.script("token-phone", [Answer::Refuse(tidegate_fakes::fcm::check::Fault::TooLarge)]);
    let id = scene.backend.make("u1", "steps").await;
    scene.settled(&id, 1).await;
    scene.pass(900 * SECOND).await;
    scene.idle().await;
    scene.pushes("token-phone", 1).await;
    assert_eq!(scene.push_state(&phone).await, "active");
}
