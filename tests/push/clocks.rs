//! A gateway's clock that was wrong and is set right: nothing waits for the
//! time that it showed.

use std::time::Duration;

use tidegate_fakes::fcm::answer::Answer;

use crate::push::scene::Scene;

/// Longer than anything makes a wake-up wait.
const WRONG: Duration = Duration::from_hours(24);

async fn with_a_wrong_clock() -> Scene {
    let scene = Scene::start_with(Scene::patient()).await;
    scene.jump(WRONG).await;
    scene
}

/// A wait that was written down under the wrong clock ends.
#[tokio::test]
async fn a_due_time_in_the_far_future_is_due() {
    let scene = with_a_wrong_clock().await;
    scene.phone("phone", "u1").await;
    scene.fcm.script("token-phone", [Answer::Unavailable { retry_after: None }]);
    let id = scene.backend.make("u1", "steps").await;
    scene.settled(&id, 1).await;
    scene.idle().await;
    scene.set_clock_back(WRONG).await;
    scene.pushes("token-phone", 2).await;
    scene.settled(&id, 2).await;
}

/// So does a wait that a command asked for later keeps to.
#[tokio::test]
async fn a_device_is_not_held_back_by_a_time_in_the_far_future() {
    let scene = with_a_wrong_clock().await;
    let phone = scene.phone("phone", "u1").await;
    scene.fcm.script("token-phone", [Answer::WrongAddress]);
    let id = scene.backend.make("u1", "steps").await;
    scene.settled(&id, 1).await;
    scene.applied(&phone, &id).await;
    scene.idle().await;
    scene.set_clock_back(WRONG).await;
    scene.idle().await;
    scene.backend.make("u1", "weight").await;
    scene.pushes("token-phone", 2).await;
}

/// A claim holds for seconds, whatever end was written down.
#[tokio::test]
async fn a_claim_does_not_hold_until_the_far_future() {
    let scene = with_a_wrong_clock().await;
    scene.phone("phone", "u1").await;
    scene.fcm.script("token-phone", [Answer::Hang]);
    let id = scene.backend.make("u1", "steps").await;
    scene.pushes("token-phone", 1).await;
    scene.set_clock_back(WRONG).await;
    scene.pushes("token-phone", 2).await;
    scene.settled(&id, 1).await;
}

/// A pause lasts as long as it says, by a clock that nobody sets; and one that
/// was set forward does not end it early.
#[tokio::test]
async fn a_circuit_keeps_its_own_time() {
    let scene = with_a_wrong_clock().await;
    scene.phone("phone", "u1").await;
    scene.fcm.script("token-phone", [Answer::PermissionDenied]);
    let id = scene.backend.make("u1", "steps").await;
    scene.settled(&id, 1).await;
    scene.phone("other", "u2").await;
    let id = scene.backend.make("u2", "steps").await;
    scene.idle().await;
    scene.jump(Duration::from_mins(10)).await;
    scene.idle().await;
    scene.pushes("token-other", 0).await;
    scene.set_clock_back(WRONG + Duration::from_mins(10)).await;
    scene.idle().await;
    scene.pushes("token-other", 0).await;
    scene.elapse(Duration::from_mins(1)).await;
    scene.pushes("token-other", 1).await;
    scene.settled(&id, 1).await;
    assert_eq!(scene.readiness().await, "ok");
}
