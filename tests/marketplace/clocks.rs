//! A gateway's clock that was wrong and is set right: nothing of the marketplace
//! waits for the time that it showed.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::store;
use tidegate::store::lease::{Applicant, Taking};
use tidegate_fakes::atom::answer::Answer;
use tidegate_fakes::atom::skill_id;

use crate::marketplace::world::{Stage, World};
use crate::support::eventually;

/// Longer than anything of the marketplace waits.
const WRONG: Duration = Duration::from_hours(24 * 30);

/// The clock jumps, and a run ends under it.
async fn with_a_wrong_clock(stage: Stage) -> World {
    let stage = stage.set("lease_s", "5").set("interval_s", "300").set("rating_interval_s", "60");
    let world = stage.set("ttl_s", "3600").set("stale_max_s", "3600").synced().await;
    world.move_clock(WRONG);
    assert_eq!(world.ended(2).await["status"], "idle");
    world
}

/// The next run does not wait for the time after the last one.
#[tokio::test]
async fn a_run_that_ended_in_the_future_is_followed_by_one_now() {
    let world = with_a_wrong_clock(Stage::new().await.filled(20)).await;
    world.atom.edit_skill(&skill_id(1), |skill| skill["name"] = json!("Renamed"));
    world.set_clock_back(WRONG).await;
    let run = world.ended(3).await;
    let now = chrono::DateTime::from_timestamp_millis(world.gateway.now_ms()).unwrap();
    for word in ["last_sync_at", "last_successful_sync_at"] {
        let at = run[word].as_str().unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(at).unwrap() <= now, "{run}");
    }
    world.assert_same(20).await;
}

/// What was confirmed in the future ages from now on, and is withdrawn in its
/// time.
#[tokio::test]
async fn items_that_were_confirmed_in_the_future_age() {
    let world = with_a_wrong_clock(Stage::new().await.filled(20)).await;
    world.atom.set_down(true);
    world.set_clock_back(WRONG).await;
    let now = chrono::DateTime::from_timestamp_millis(world.gateway.now_ms()).unwrap();
    let is_right = |skill: &Value| {
        let at = skill["confirmed_at"].as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(at).unwrap() <= now + Duration::from_mins(1)
    };
    world.skill_is(&skill_id(1), is_right).await;
    world.move_clock(Duration::from_hours(2));
    eventually("the withdrawal", async || {
        let status = world.status().await;
        (status["faults"]["withdrawn_count"] == 28).then_some(())
    })
    .await;
}

/// A rating that was refused is uploaded when its wait is over, and no later.
#[tokio::test]
async fn a_rating_does_not_wait_for_the_far_future() {
    let world = with_a_wrong_clock(Stage::new().await.filled(20)).await;
    world.atom.script().extend("rate", [Answer::Status(500)]);
    let path = format!("/api/v1/marketplace/skills/{}/rate", skill_id(1));
    world.user().post(&path, &json!({ "rating": 4 })).await.expect(202);
    let upload = "/api/v1/admin/sync/ratings";
    world.operator().quiet().post(upload, &json!({})).await.expect(202);
    world.atom.request_seen("rate", 1).await;
    let readers = world.gateway.running().state().store.readers();
    eventually("the wait", async || {
        let due = store::rating::due(readers, world.gateway.now_ms(), 1).await.unwrap();
        due.is_empty().then_some(())
    })
    .await;
    world.set_clock_back(WRONG).await;
    eventually("the time", async || {
        let due = store::rating::due(readers, world.gateway.now_ms(), 1).await.unwrap();
        (due.len() == 1).then_some(())
    })
    .await;
    // A round begins by itself.
    for _ in 0..30 {
        world.gateway.pass_time(Duration::from_secs(2)).await;
    }
    world.atom.request_seen("rate", 2).await;
    eventually("the rating", async || (world.atom.ratings().len() == 1).then_some(())).await;
}

/// The socket that was given up for a while is tried again after that while.
#[tokio::test]
async fn the_socket_is_not_given_up_until_the_far_future() {
    let world = with_a_wrong_clock(Stage::new().await.filled(20).with_socket()).await;
    world.atom.refuse_sockets(3);
    world.atom.drop_sockets();
    eventually("the fallback", async || {
        let status = world.socket_status().await;
        (status["fallback_to_polling"] == true).then_some(())
    })
    .await;
    world.set_clock_back(WRONG).await;
    world.connected(true).await;
}

/// A node that is gone does not hold the lease until the time that it wrote.
#[tokio::test]
async fn a_lease_does_not_hold_until_the_far_future() {
    let world = Stage::new().await.filled(20).set("lease_s", "5").synced().await;
    let far = world.gateway.now_ms() + i64::try_from(WRONG.as_millis()).unwrap();
    let tx = world.gateway.running().state().store.begin_write().await.unwrap();
    let other = Applicant { holder: "another node", retakes: false, unmoved: None };
    // By its clock the lease of this node has run out.
    let taken = store::lease::take(&tx, "marketplace", other, far - 1, far).await.unwrap();
    assert!(matches!(taken, Taking::Taken(_)), "{taken:?}");
    tx.commit().await.unwrap();
    let status = world.operator().quiet().get("/health/sync").await.expect(200);
    assert_eq!(status["scheduler_running"], false, "{status}");
    world.trigger().await;
    for _ in 0..10 {
        world.gateway.pass_time(Duration::from_secs(2)).await;
    }
    world.ended(2).await;
}
