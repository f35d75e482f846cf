//! How long items count: from the last time the marketplace confirmed them,
//! not from midnight, and for how long they are served after that.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_fakes::atom::answer::Answer;
use tidegate_fakes::atom::skill_id;

use crate::support::eventually;
use crate::upstream::world::{Stage, World};

const TTL: Duration = Duration::from_hours(1);

/// A minute before it is over.
const NEARLY_TTL: Duration = Duration::from_mins(59);

const STALE: Duration = Duration::from_hours(2);

async fn stage() -> World {
    let stage = Stage::new().await.filled(20);
    stage.set("ttl_s", "3600").set("stale_max_s", "7200").set("interval_s", "3600").synced().await
}

async fn listed(world: &World) -> Vec<Value> {
    let answer = world.user().get("/api/v1/marketplace/skills").await.expect(200);
    assert_eq!(answer["total"].as_u64(), Some(answer["items"].as_array().unwrap().len() as u64));
    answer["items"].as_array().unwrap().clone()
}

async fn get(world: &World, id: &str) -> crate::support::Answer {
    world.user().get(&format!("/api/v1/marketplace/skills/{id}")).await
}

/// Fresh, then stale with its age, then not served at all: while the
/// marketplace is away.
#[tokio::test]
async fn items_age_while_the_marketplace_is_away() {
    let world = stage().await;
    let id = skill_id(1);
    let fresh = world.skill(&id).await;
    assert_eq!(fresh["stale"], false, "{fresh}");
    assert!(fresh["age_s"].as_i64().unwrap() < 60, "{fresh}");
    let age = |skill: &Value| skill["age_s"].as_i64().unwrap();
    world.atom.set_down(true);
    world.move_clock(TTL);
    for skill in listed(&world).await.iter().chain([&world.skill(&id).await]) {
        assert_eq!(skill["stale"], true, "{skill}");
        assert!((3_600..3_660).contains(&age(skill)), "{skill}");
        assert_eq!(skill["confirmed_at"], fresh["confirmed_at"]);
    }
    assert_eq!(listed(&world).await.len(), 20);
    assert_eq!(world.categories().await.len(), 8);

    world.move_clock(STALE);
    assert!(listed(&world).await.is_empty() && world.categories().await.is_empty());
    get(&world, &id).await.expect_error(503, "unavailable");
    assert_eq!(get(&world, &id).await.header("retry-after"), Some("60"));
    get(&world, "unknown").await.expect_error(404, "not_found");
    // Kept all the same: the marketplace may come back.
    assert_eq!(world.status().await["cache"]["skills_count"], 20);
}

/// Items that are confirmed without having changed are fresh again.
#[tokio::test]
async fn a_run_confirms_what_did_not_change() {
    let world = stage().await;
    let rows = world.dump().await;
    world.move_clock(NEARLY_TTL);
    world.sync().await;
    world.move_clock(Duration::from_mins(2));
    let skill = world.skill(&skill_id(1)).await;
    assert_eq!(skill["stale"], false, "{skill}");
    assert!((120..180).contains(&skill["age_s"].as_i64().unwrap()), "{skill}");
    assert!(world.dump().await == rows, "without a write for each");
}

/// A failed run confirms nothing.
#[tokio::test]
async fn a_failed_run_confirms_nothing() {
    let world = stage().await;
    world.move_clock(NEARLY_TTL);
    world.atom.script().extend("skills?page=1", vec![Answer::HalfBody; 3]);
    assert_eq!(world.sync().await["status"], "error");
    world.move_clock(Duration::from_mins(2));
    assert_eq!(world.skill(&skill_id(1)).await["stale"], true);
}

/// Reading a skill whose time is over has it asked for by itself.
#[tokio::test]
async fn reading_an_expired_skill_refreshes_it() {
    let world = stage().await;
    let (id, gone) = (skill_id(2), skill_id(3));
    world.atom.set_down(true);
    world.move_clock(TTL + STALE);
    // The run of the schedule has failed; the next one is an hour away.
    assert_eq!(world.ended(2).await["status"], "error");
    world.atom.edit_skill(&id, |skill| skill["name"] = json!("Renamed"));
    world.atom.remove_skill(&gone);
    world.atom.set_down(false);
    get(&world, &id).await.expect_error(503, "unavailable");
    let skill = eventually("the refresh", async || {
        let answer = get(&world, &id).await;
        (answer.status == 200).then_some(answer.body)
    })
    .await;
    assert_eq!((&skill["data"]["name"], &skill["stale"]), (&json!("Renamed"), &json!(false)));
    assert_eq!(listed(&world).await.len(), 1, "what else there is stays unconfirmed");
    assert_eq!(world.status().await["sync"]["total_syncs"], 2, "no run was needed");
    // What is gone only a listing tells.
    world.sync().await;
    world.assert_same(20).await;
}

/// A single "not found" deletes nothing: whoever is not well says that too.
#[tokio::test]
async fn a_refresh_never_deletes() {
    let world = stage().await;
    let (id, head) = (skill_id(2), world.head().await);
    world.atom.set_down(true);
    world.move_clock(TTL);
    assert_eq!(world.ended(2).await["status"], "error");
    world.atom.set_down(false);
    world.atom.script().extend("skill", [Answer::Status(404)]);
    assert_eq!(world.skill(&id).await["stale"], true);
    world.atom.request_seen("skill", 1).await;
    // Asked for again, and by then the first answer has been dealt with.
    world.skill_is(&id, |skill| skill["stale"] == false).await;
    assert_eq!((world.head().await, world.atom.count("skill")), (head, 2));
}

/// Stale items of a marketplace that is there are refreshed before the poll.
#[tokio::test]
async fn reading_a_stale_skill_refreshes_it() {
    let world = stage().await;
    let id = skill_id(2);
    world.atom.set_down(true);
    world.move_clock(TTL);
    assert_eq!(world.ended(2).await["status"], "error");
    world.atom.set_down(false);
    assert_eq!(world.skill(&id).await["stale"], true);
    world.skill_is(&id, |skill| skill["stale"] == false).await;
    assert_eq!(world.skill(&skill_id(4)).await["stale"], true);
}
