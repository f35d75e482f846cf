//! One item that cannot be taken is that item's fault: counted, shown, never
//! confirmed as old; and the rest goes on.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_fakes::atom::answer::Answer;
use tidegate_fakes::atom::skill_id;

use crate::marketplace::world::{Stage, World};

async fn world(skills: usize) -> World {
    let stage = Stage::new().await.filled(skills).set("ttl_s", "3600");
    stage.set("interval_s", "3600").synced().await
}

async fn faults(world: &World) -> Value {
    world.status().await["faults"].take()
}

/// Kind, id and fault of those that are named.
fn named(faults: &Value) -> Vec<[String; 3]> {
    let items = faults["items"].as_array().unwrap().iter();
    let word = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
    items.map(|item| ["kind", "id", "fault"].map(|name| word(item, name))).collect()
}

fn fault(kind: &str, id: &str, fault: &str) -> [String; 3] {
    [kind, id, fault].map(str::to_owned)
}

/// However few skills there are: what was known of an item that cannot be read
/// ages, the others are confirmed, and what is new is taken.
#[tokio::test]
async fn an_unreadable_item_is_its_own_fault() {
    for skills in [5, 250] {
        let world = world(skills).await;
        let (bad, head) = (skill_id(2), world.head().await);
        world.atom.edit_skill(&bad, |skill| skill["name"] = json!(7));
        world.atom.put_skill(json!({ "skill_id": "new", "name": "" }));
        let mut category = world.atom.category("data").unwrap();
        category["description"] = json!("\u{0}");
        world.atom.put_category(category);
        world.move_clock(Duration::from_mins(59));
        let run = world.sync().await;
        assert_eq!((&run["status"], &run["last_error"]), (&json!("idle"), &Value::Null));
        world.move_clock(Duration::from_mins(2));
        let skill = world.skill(&bad).await;
        assert_eq!((&skill["stale"], &skill["fault"]), (&json!(true), &json!("unreadable")));
        let good = world.skill(&skill_id(1)).await;
        assert_eq!((&good["stale"], good.get("fault")), (&json!(false), None));
        assert_eq!(world.skill("new").await, Value::Null);
        let found = faults(&world).await;
        let expected = [
            fault("category", "data", "unreadable"),
            fault("skill", &bad, "unreadable"),
            fault("skill", "new", "unreadable"),
        ];
        assert_eq!(named(&found), expected);
        assert_eq!((&found["count"], &found["unnamed_count"]), (&json!(3), &json!(0)));
        let since = found["items"][1]["since"].clone();
        world.sync().await;
        assert_eq!(faults(&world).await["items"][1]["since"], since, "noted once");
        assert_eq!(world.head().await, head, "no version, no entry");

        // Mended, and gone.
        world.atom.edit_skill(&bad, |skill| skill["name"] = json!("Mended"));
        world.atom.remove_skill("new");
        world.atom.remove_category("data");
        world.sync().await;
        assert_eq!(faults(&world).await["count"], 0);
        let skill = world.skill(&bad).await;
        assert_eq!((&skill["data"]["name"], skill.get("fault")), (&json!("Mended"), None));
        world.assert_same(skills).await;
    }
}

/// An item without an id, and bytes that are no text: counted, and the rest of
/// the page is taken.
#[tokio::test]
async fn what_cannot_be_told_apart_is_counted() {
    let world = world(5).await;
    world.atom.repeat_skill(json!({ "name": "Nobody" }));
    world.atom.repeat_skill(json!([]));
    world.atom.edit_skill(&skill_id(4), |skill| skill["name"] = json!("Renamed"));
    let run = world.sync().await;
    assert_eq!(run["status"], "idle", "{run}");
    assert_eq!(faults(&world).await["unnamed_count"], 2);
    assert_eq!(world.skill(&skill_id(4)).await["data"]["name"], "Renamed");
    world.assert_same(5).await;

    // The first skill of the page has it, and has an id.
    world.atom.script().extend("skills?page=1", [Answer::BadBytes]);
    let run = world.sync().await;
    assert_eq!(run["status"], "idle", "{run}");
    let found = faults(&world).await;
    assert_eq!(named(&found), [fault("skill", &skill_id(0), "unreadable")]);
    world.sync().await;
    assert_eq!(faults(&world).await["count"], 0, "it was only that once");
}

/// A skill of more than 128 KiB, and a merge that makes one: a state that is
/// seen, and the old value is not confirmed by it.
#[tokio::test]
async fn too_large_is_a_state() {
    let stage = Stage::new().await.filled(5).set("ttl_s", "3600").set("interval_s", "3600");
    let world = stage.set("strategy", "merge").with_socket().synced().await;
    let (large, merged, told) = (skill_id(1), skill_id(2), skill_id(3));
    let big = "x".repeat(140_000);
    let path = format!("/api/v1/marketplace/skills/{merged}");
    let ours = json!({ "notes": "x".repeat(70_000) }).to_string();
    world.operator().quiet().call(reqwest::Method::PATCH, &path, Some(&ours)).await.expect(200);
    let edited = world.skill(&merged).await;
    let head = world.head().await;
    world.atom.edit_skill(&large, |skill| skill["code"] = json!(big));
    world.atom.edit_skill(&merged, |skill| skill["more"] = json!("y".repeat(70_000)));
    world.atom.put_skill(json!({ "skill_id": "new", "name": "New", "code": big }));
    // The socket brings it first, and a listing says the same.
    world.atom.edit_skill(&told, |skill| skill["code"] = json!(big));
    world.atom.announce_skill(&told);
    world.skill_is(&told, |skill| skill["fault"] == "too_large").await;
    world.move_clock(Duration::from_mins(59));
    for _ in 0..2 {
        assert_eq!(world.sync().await["status"], "idle");
    }
    world.move_clock(Duration::from_mins(2));
    let mut expected: Vec<_> = [&large, &merged, &told, &"new".to_owned()]
        .map(|id| fault("skill", id, "too_large"))
        .into();
    expected.sort();
    assert_eq!(named(&faults(&world).await), expected);
    for id in [&large, &merged, &told] {
        let skill = world.skill(id).await;
        assert_eq!((&skill["stale"], &skill["fault"]), (&json!(true), &json!("too_large")));
    }
    assert_eq!(world.skill(&merged).await["data"], edited["data"], "the edit stands");
    assert_eq!(world.skill("new").await, Value::Null);
    assert_eq!(world.skill(&skill_id(4)).await["stale"], false);
    assert_eq!(world.head().await, head, "no version, no entry");

    for id in [&large, &told] {
        world.atom.edit_skill(id, |skill| skill["code"] = json!("pass"));
    }
    world.atom.edit_skill(&merged, |skill| skill["more"] = json!("y"));
    world.atom.remove_skill("new");
    world.sync().await;
    assert_eq!(faults(&world).await["count"], 0);
    let data = world.skill(&merged).await["data"].take();
    assert_eq!((&data["more"], data["notes"].as_str().unwrap().len()), (&json!("y"), 70_000));
}

/// One skill that is larger than a whole page may be: its neighbours are read
/// around it, and it is found by its id where it was known.
#[tokio::test]
async fn a_skill_larger_than_a_page_hides_no_neighbour() {
    let world = world(12).await;
    let huge = skill_id(7);
    world.atom.edit_skill(&huge, |skill| skill["code"] = json!("x".repeat(17 * 1024 * 1024)));
    world.atom.edit_skill(&skill_id(8), |skill| skill["name"] = json!("Renamed"));
    world.move_clock(Duration::from_mins(59));
    let run = world.sync().await;
    assert_eq!(run["status"], "idle", "{run}");
    world.move_clock(Duration::from_mins(2));
    let found = faults(&world).await;
    assert_eq!(named(&found), [fault("skill", &huge, "too_large")]);
    assert_eq!(found["unnamed_count"], 1);
    for index in 0..12 {
        let skill = world.skill(&skill_id(index)).await;
        assert_eq!(skill["stale"], index == 7, "{index}");
    }
    assert_eq!(world.skill(&skill_id(8)).await["data"]["name"], "Renamed");
}

/// The same id twice in one listing: one of the two counts, always the same, so
/// that it makes no version each time.
#[tokio::test]
async fn the_same_id_twice_makes_no_version_per_poll() {
    // On one page, and on two.
    for page_size in ["100", "10"] {
        let stage = Stage::new().await.filled(15).set("page_size", page_size);
        let id = skill_id(2);
        let listed = stage.atom.skill(&id).unwrap();
        let twin = |name: &str, updated_at: &Value| {
            let mut twin = listed.clone();
            (twin["name"], twin["updated_at"]) = (json!(name), updated_at.clone());
            twin
        };
        let at = listed["updated_at"].clone();
        for (twin, winner) in [
            (twin("Same time", &at), listed["name"].clone()),
            (twin("Earlier", &json!("2020-01-01T00:00:00Z")), listed["name"].clone()),
            (twin("Without a time", &Value::Null), listed["name"].clone()),
            (twin("Later", &json!(stage.atom.stamp())), json!("Later")),
        ] {
            let case = twin["name"].clone();
            let stage = Stage::new().await.filled(15).set("page_size", page_size);
            stage.atom.put_skill(listed.clone());
            stage.atom.repeat_skill(twin);
            let world = stage.synced().await;
            world.sync().await;
            let (rows, head) = (world.dump().await, world.head().await);
            for _ in 0..3 {
                let run = world.sync().await;
                assert_eq!(run["status"], "idle", "{case} by {page_size}: {run}");
            }
            assert_eq!(world.head().await, head, "{case} by {page_size}");
            assert!(world.dump().await == rows, "{case} by {page_size}");
            assert_eq!(world.skill(&id).await["data"]["name"], winner, "by {page_size}");
        }
    }
}

/// A listing that lacks up to a twentieth of what it promises: what is missing is
/// asked for, and is gone only if the marketplace says so. The run has not failed.
#[tokio::test]
async fn a_few_missing_skills_are_asked_for() {
    let world = world(40).await;
    let gone = skill_id(39);
    // It still counts it.
    world.atom.remove_skill(&gone);
    world.atom.script().extend("skills?page=1", [Answer::WrongTotal(40)]);
    let run = world.sync().await;
    assert_eq!(run["status"], "idle", "{run}");
    assert_eq!(world.skill(&gone).await, Value::Null);
    assert_eq!(world.atom.count(&format!("skill/{gone}")), 1);
    world.assert_same(40).await;

    // More than that is no listing.
    for index in 0..4 {
        world.atom.remove_skill(&skill_id(index));
    }
    world.atom.script().extend("skills?page=1", [Answer::WrongTotal(39)]);
    let run = world.sync().await;
    assert_eq!(run["status"], "error", "{run}");
    assert_eq!(world.skills().await.len(), 39);
}
