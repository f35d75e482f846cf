//! How long items count: from the last time the marketplace confirmed them,
//! not from midnight, and for how long they are served after that.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::store;
use tidegate_fakes::atom::answer::Answer;
use tidegate_fakes::atom::skill_id;

use crate::marketplace::world::{Stage, World};
use crate::support::eventually;

const TTL: Duration = Duration::from_hours(1);

/// A minute before it is over.
const NEARLY_TTL: Duration = Duration::from_mins(59);

const STALE: Duration = Duration::from_hours(2);

async fn stage() -> World {
    let stage = Stage::new().await.filled(20);
    let stage = stage.set("ttl_s", "3600").set("stale_max_s", "7200").set("interval_s", "3600");
    let world = stage.synced().await;
    world.gateway.stop_clock();
    world
}

async fn listed(world: &World) -> Vec<Value> {
    let answer = world.user().get("/api/v1/marketplace/skills").await.expect(200);
    assert_eq!(answer["total"].as_u64(), Some(answer["items"].as_array().unwrap().len() as u64));
    answer["items"].as_array().unwrap().clone()
}

async fn get(world: &World, id: &str) -> crate::support::Answer {
    world.user().get(&format!("/api/v1/marketplace/skills/{id}")).await
}

/// An item's age is the time since it was confirmed.
fn assert_age(world: &World, age_s: i64, confirmed_at: &Value) {
    let confirmed_at = confirmed_at.as_str().unwrap();
    let since = chrono::DateTime::parse_from_rfc3339(confirmed_at).unwrap().timestamp_millis();
    assert_eq!(age_s, (world.gateway.now_ms() - since) / 1_000);
}

/// Fresh, then stale with its age, then not served at all: while the
/// marketplace is away.
#[tokio::test]
async fn items_age_while_the_marketplace_is_away() {
    let world = stage().await;
    let id = skill_id(1);
    let fresh = world.skill(&id).await;
    assert_eq!(fresh["stale"], false, "{fresh}");
    let age = |skill: &Value| skill["age_s"].as_i64().unwrap();
    assert_age(&world, age(&fresh), &fresh["confirmed_at"]);
    world.atom.set_down(true);
    world.move_clock(TTL);
    for skill in listed(&world).await.iter().chain([&world.skill(&id).await]) {
        assert_eq!(skill["stale"], true, "{skill}");
        assert_eq!(skill["confirmed_at"], fresh["confirmed_at"]);
        assert_age(&world, age(skill), &fresh["confirmed_at"]);
    }
    assert_eq!(listed(&world).await.len(), 20);
    let categories = world.user().get("/api/v1/marketplace/categories").await.expect(200);
    assert_eq!(categories["items"].as_array().unwrap().len(), 8);
    let categories = categories["items"][0].clone();

    world.move_clock(STALE);
    // No list says "there is nothing": each says for how long nobody vouched.
    for path in [
        "/api/v1/marketplace/skills",
        "/api/v1/marketplace/skills?query=nothing%20like%20it",
        "/api/v1/marketplace/skills?page=7",
        "/api/v1/marketplace/categories",
        &format!("/api/v1/marketplace/skills/{id}"),
    ] {
        let answer = world.user().get(path).await;
        assert_eq!(answer.header("retry-after"), Some("60"), "{path}");
        let error = answer.expect_error(503, "unavailable");
        assert_eq!(error["details"][0]["field"], "age_s", "{path}: {error}");
        let age: i64 = error["details"][0]["reason"].as_str().unwrap().parse().unwrap();
        let confirmed_at = if path.ends_with("categories") { &categories } else { &fresh };
        assert_age(&world, age, &confirmed_at["confirmed_at"]);
    }
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
    assert_eq!((&skill["stale"], &skill["age_s"]), (&json!(false), &json!(120)), "{skill}");
    assert!(world.dump().await == rows, "without a write for each");
}

/// A failed run confirms what it read before it failed, page by page, and after
/// it: a wrong total, a page that cannot be read.
#[tokio::test]
async fn a_failed_run_confirms_what_it_read() {
    let stand = Stage::new().await.filled(250).set("interval_s", "3600");
    let world = stand.set("ttl_s", "3600").set("stale_max_s", "7200").synced().await;
    let head = world.head().await;
    let unconfirmed = async || {
        let mut found: Vec<usize> = Vec::new();
        for index in [0, 99, 100, 199, 200, 249] {
            if world.skill(&skill_id(index)).await["stale"] == true {
                found.push(index);
            }
        }
        found
    };
    for (place, answer, times, unread) in [
        ("skills?page=3", Answer::WrongTotal(9_999), 1, &[][..]),
        ("skills?page=1", Answer::WrongTotal(100), 1, &[]),
        ("skills?page=2", Answer::HalfPage, 1, &[199]),
        ("skills?page=2", Answer::NotJson, 3, &[100, 199]),
        ("skills?page=2", Answer::Status(500), 3, &[100, 199]),
        ("skills?page=1", Answer::Html502, 3, &[0, 99]),
        ("skills?page=2", Answer::FirstPage, 1, &[100, 199]),
        ("skills?page=2", Answer::MissingTotal, 1, &[]),
        ("categories", Answer::NotJson, 3, &[]),
    ] {
        world.sync().await;
        world.move_clock(NEARLY_TTL);
        world.atom.script().extend(place, vec![answer.clone(); times]);
        assert_eq!(world.sync().await["status"], "error", "{place} {answer:?}");
        world.move_clock(Duration::from_mins(2));
        assert_eq!(unconfirmed().await, unread, "{place} {answer:?}");
    }
    assert_eq!(world.head().await, head, "no version, no entry");
}

/// What nobody answers confirms nothing.
#[tokio::test]
async fn an_outage_confirms_nothing() {
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
    let page = world.user().get("/api/v1/marketplace/skills").await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "what else there is is unconfirmed");
    assert_eq!((&page["total"], &page["withheld"]), (&json!(1), &json!(19)));
    assert_eq!(world.status().await["sync"]["total_syncs"], 2, "no run was needed");
    // What is gone only a listing tells.
    world.sync().await;
    world.assert_same(20).await;
}

/// A single "not found" deletes nothing: whoever is not well says that too. But
/// it is said, until upstream is heard otherwise.
#[tokio::test]
async fn a_refresh_that_is_denied_says_so_and_deletes_nothing() {
    let world = stage().await;
    let (id, head) = (skill_id(2), world.head().await);
    world.atom.set_down(true);
    world.move_clock(TTL);
    assert_eq!(world.ended(2).await["status"], "error");
    world.atom.set_down(false);
    world.atom.script().extend("skill", [Answer::Status(404)]);
    assert_eq!(world.skill(&id).await["stale"], true);
    let readers = world.gateway.running().state().store.readers();
    let noted = eventually("the fault", async || {
        let (found, _) = store::market::faulty(readers, 10).await.unwrap();
        found.into_iter().next()
    });
    assert_eq!(noted.await.key.1, id);
    let faults = world.status().await["faults"].take();
    assert_eq!((&faults["count"], &faults["items"][0]["fault"]), (&json!(1), &json!("not_found")));
    let denied = world.skill(&id).await;
    assert_eq!((&denied["stale"], &denied["fault"]), (&json!(true), &json!("not_found")));
    // Read however often, it is not asked for at once again; later it is.
    for _ in 0..20 {
        assert_eq!(world.skill(&id).await["stale"], true);
    }
    // They wait in one line: that this one is answered says that those were.
    world.skill(&skill_id(5)).await;
    world.skill_is(&skill_id(5), |skill| skill["stale"] == false).await;
    assert_eq!(world.atom.count(&format!("skill/{id}")), 1);
    world.gateway.pass_time(Duration::from_mins(1)).await;
    let again = world.skill_is(&id, |skill| skill["stale"] == false).await;
    assert_eq!(again.get("fault"), None);
    assert_eq!(world.head().await, head);
    assert!(world.atom.count(&format!("skill/{id}")) > 1);
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
