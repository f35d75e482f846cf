//! The database fails for a while: wake-ups wait, and nothing is lost.

use std::time::Duration;

use sea_orm::ConnectionTrait as _;
use tidegate_fakes::fcm::answer::Answer;
use tidegate_fakes::google::TokenAnswer;

use crate::push::scene::Scene;

/// Renames the tier's table: every statement about it fails.
async fn rename(scene: &Scene, from: &str, to: &str) {
    let store = &scene.gateway.running().state().store;
    let statement = format!("ALTER TABLE {from} RENAME TO {to}");
    let tx = store.begin_write().await.unwrap();
    tx.execute_unprepared(&statement).await.unwrap();
    tx.commit().await.unwrap();
}

/// A wake-up that is due while the database fails is sent when it works again;
/// an answer that could not be written then is written after it.
#[tokio::test]
async fn wake_ups_outlive_errors_of_the_database() {
    let scene = Scene::start_with(Scene::patient()).await;
    scene.phone("phone", "u1").await;
    let gone = scene.phone("slow", "u2").await;
    scene.fcm.script("token-phone", [Answer::Unavailable { retry_after: None }]);
    scene.fcm.script("token-slow", [Answer::Unregistered]);
    let id = scene.backend.make("u1", "steps").await;
    scene.settled(&id, 1).await;
    scene.idle().await;
    // Refused once for its access token; the answer to the second request
    // comes when the table is away.
    let late = TokenAnswer::Slow(Duration::from_millis(300));
    scene.fcm.google().revoke_all();
    scene.fcm.google().script([late]);
    let slow = scene.backend.make("u2", "steps").await;
    scene.until_figure("tidegate_pushes_in_flight", 1.0).await;
    rename(&scene, "push_wake", "push_wake_away").await;
    scene.settled(&slow, 1).await;
    scene.jump(Duration::from_secs(5)).await;
    scene.jump(Duration::from_secs(1)).await;
    rename(&scene, "push_wake_away", "push_wake").await;
    scene.jump(Duration::ZERO).await;
    scene.pass(Duration::from_secs(70)).await;
    scene.pushes("token-phone", 2).await;
    scene.settled(&id, 2).await;
    scene.idle().await;
    scene.pushes("token-slow", 2).await;
    assert_eq!(scene.push_state(&gone).await, "invalid");
}

/// A read that fails after the claim gives the claim back: what was claimed
/// waits no longer than the claim would have lasted.
#[tokio::test]
async fn a_claim_is_given_back_when_a_read_fails() {
    let scene = Scene::start_with(Scene::patient()).await;
    let unavailable = || Answer::Unavailable { retry_after: None };
    for (name, user) in [("phone", "u1"), ("other", "u2"), ("third", "u3")] {
        scene.phone(name, user).await;
        scene.fcm.script(&format!("token-{name}"), [unavailable()]);
        let id = scene.backend.make(user, "steps").await;
        scene.settled(&id, 1).await;
    }
    scene.idle().await;
    rename(&scene, "device", "device_away").await;
    scene.jump(Duration::from_secs(76)).await;
    scene.until_figure("tidegate_pushes_in_flight", 0.0).await;
    scene.jump(Duration::ZERO).await;
    rename(&scene, "device_away", "device").await;
    scene.jump(Duration::ZERO).await;
    scene.pass(Duration::from_secs(11)).await;
    for name in ["phone", "other", "third"] {
        scene.pushes(&format!("token-{name}"), 2).await;
    }
}
