//! Strategies that pick a side: remote, local, the newest; and bringing back
//! the side that lost.

use std::time::Duration;

use serde_json::{Value, json};

use crate::market::world::World;

const MINUTE: Duration = Duration::from_mins(1);

/// Upstream's value is kept whole; the edit stands in the verdict.
#[tokio::test]
async fn remote_wins_and_the_loser_can_be_restored() {
    let world = World::start().await;
    let mut phone = world.follower("u1").await;
    let ours = world.edit("s1", json!({ "description": "ours", "tags": ["ours"] })).await;
    world.remote("s1", &json!({ "description": "theirs" }));
    world.sync().await;
    let skill = world.skill("s1").await;
    assert_eq!(skill["data"], world.atom.skill("s1").unwrap());
    assert_eq!((&skill["version"], &skill["edited"]), (&json!(3), &Value::Null));
    let conflict = world.conflict("s1").await;
    assert_eq!(conflict["status"], "resolved");
    assert_eq!(conflict["losers"], json!(["local"]));
    assert_eq!(conflict["local"]["data"], ours["data"]);
    assert_eq!(conflict["current_version"], 3);

    let moved = world.restore(&conflict, "local", 2).await;
    assert_eq!(moved.body["remote"]["version"], 3);
    assert_eq!(moved.body["remote"]["data"], skill["data"]);
    moved.expect_error(409, "remote_moved");
    world.restore(&conflict, "remote", 3).await.expect_error(409, "conflict_state");
    let restored = world.restore(&conflict, "local", 3).await.expect(200);
    assert!(restored["restored_at"].is_string(), "{restored}");
    let skill = world.skill("s1").await;
    assert_eq!((&skill["version"], &skill["edited"]["by"]), (&json!(4), &json!("ann")));
    for field in ["description", "tags"] {
        assert_eq!(skill["data"][field], ours["data"][field]);
    }
    let versions: Vec<Value> =
        phone.entries(3).await.iter().map(|entry| entry["body"]["version"].clone()).collect();
    assert_eq!(versions, [2, 3, 4]);

    for _ in 0..2 {
        world.sync().await;
    }
    assert_eq!(world.skill("s1").await["version"], 4, "what was undone holds");
    phone.expect_nothing_pending().await;
    let again = world.restore(&conflict, "local", 4).await.expect(200);
    assert_eq!(again["current_version"], 4, "there is nothing left to bring back");
    let actions: Vec<String> =
        world.audit("skill:s1").await.into_iter().map(|(_, action, _)| action).collect();
    assert_eq!(actions[..2], ["skill.edit", "conflict.restore"]);
}

/// What was edited after a conflict in other fields stays when its loser comes
/// back.
#[tokio::test]
async fn restoring_leaves_later_edits_alone() {
    let world = World::start().await;
    world.edit("s1", json!({ "description": "ours" })).await;
    world.remote("s1", &json!({ "description": "theirs" }));
    world.sync().await;
    let conflict = world.conflict("s1").await;
    let later = world.edit("s1", json!({ "tags": ["later"] })).await;
    world.restore(&conflict, "local", later["version"].as_i64().unwrap()).await.expect(200);
    let data = world.data("s1").await;
    assert_eq!((&data["description"], &data["tags"]), (&json!("ours"), &json!(["later"])));
}

/// A loser is kept for 30 days.
#[tokio::test]
async fn losers_can_be_restored_for_30_days() {
    let world = World::start().await;
    for id in ["s1", "s2"] {
        world.edit(id, json!({ "description": "ours" })).await;
        world.remote(id, &json!({ "description": "theirs" }));
    }
    world.sync().await;
    let (first, second) = (world.conflict("s1").await, world.conflict("s2").await);
    let minutes = 30 * 24 * 60;
    world.pass(MINUTE * (minutes - 1));
    world.restore(&first, "local", 3).await.expect(200);
    world.pass(MINUTE * 2);
    world.restore(&second, "local", 3).await.expect_error(409, "conflict_state");
}

/// The edit's fields are put on what upstream has now; everything else
/// follows upstream, and so it goes on.
#[tokio::test]
async fn local_wins_field_by_field() {
    let world = World::start().await;
    world.strategy("local_wins").await;
    world.edit("s1", json!({ "description": "ours", "python_packages": ["zlib"] })).await;
    world.remote(
        "s1",
        &json!({ "description": "theirs", "name": "Their Name", "average_rating": 1.0 }),
    );
    world.sync().await;
    let skill = world.skill("s1").await;
    let mut expected = world.atom.skill("s1").unwrap();
    expected["description"] = "ours".into();
    expected["python_packages"] = json!(["zlib"]);
    assert_eq!(skill["data"], expected);
    assert_eq!((&skill["version"], &skill["edited"]["by"]), (&json!(4), &json!("ann")));
    let conflict = world.conflict("s1").await;
    assert_eq!(conflict["losers"], json!(["remote"]));
    for _ in 0..2 {
        world.sync().await;
    }
    assert_eq!(world.skill("s1").await["version"], 4);

    world.remote("s1", &json!({ "description": "theirs again", "rating_count": 77 }));
    world.sync().await;
    let data = world.data("s1").await;
    let of_both = ["description", "name", "rating_count"].map(|field| data[field].clone());
    assert_eq!(of_both, [json!("ours"), json!("Their Name"), json!(77)]);
    assert_eq!(world.conflicts("s1").await.len(), 2);

    let version = world.skill("s1").await["version"].as_i64().unwrap();
    let latest = world.conflicts("s1").await.swap_remove(0);
    world.restore(&latest, "remote", version).await.expect(200);
    let skill = world.skill("s1").await;
    assert_eq!(skill["data"], world.atom.skill("s1").unwrap());
    assert_eq!(skill["edited"], Value::Null, "it is what upstream has");
}

/// The later edit wins, by the clocks of those who made them.
#[tokio::test]
async fn the_newest_edit_wins() {
    let world = World::start().await;
    world.strategy("newest_wins").await;
    let remote = |id: &str| world.remote(id, &json!({ "description": "theirs" }));
    remote("s1");
    world.pass(MINUTE);
    world.edit("s1", json!({ "description": "ours" })).await;
    world.edit("s2", json!({ "description": "ours" })).await;
    world.pass(MINUTE);
    remote("s2");
    world.sync().await;
    assert_eq!(world.data("s1").await["description"], "ours");
    assert_eq!(world.data("s2").await["description"], "theirs");
    assert_eq!(world.conflict("s1").await["losers"], json!(["remote"]));
    assert_eq!(world.conflict("s2").await["losers"], json!(["local"]));
}

/// A clock that is wrong moves what wins, as far as it is wrong.
#[tokio::test]
async fn the_newest_edit_wins_by_skewed_clocks_too() {
    let world = World::start().await;
    world.strategy("newest_wins").await;
    // Upstream's clock is 4 minutes fast, within the bound.
    world.atom.skew_clock(4 * 60_000);
    world.remote("s1", &json!({ "description": "theirs" }));
    world.pass(MINUTE * 2);
    world.edit("s1", json!({ "description": "ours" })).await;
    world.sync().await;
    assert_eq!(world.data("s1").await["description"], "theirs");
    // And an hour slow.
    world.edit("s2", json!({ "description": "ours" })).await;
    world.pass(MINUTE * 10);
    world.atom.skew_clock(-60 * 60_000);
    world.remote("s2", &json!({ "description": "theirs" }));
    world.sync().await;
    assert_eq!(world.data("s2").await["description"], "ours");
}

/// A clock that was a year fast is believed by five minutes: after these the
/// skill can be changed again.
#[tokio::test]
async fn a_clock_from_next_year_does_not_freeze_a_skill() {
    let world = World::start().await;
    world.atom.skew_clock(365 * 24 * 3_600_000);
    world.remote("s1", &json!({ "description": "from next year" }));
    world.sync().await;
    assert_eq!(world.data("s1").await["description"], "from next year");
    world.atom.skew_clock(0);
    world.pass(MINUTE * 6);
    world.remote("s1", &json!({ "description": "of today" }));
    world.sync().await;
    assert_eq!(world.data("s1").await["description"], "of today");
    world.strategy("newest_wins").await;
    world.remote("s1", &json!({ "description": "theirs" }));
    world.pass(MINUTE);
    world.edit("s1", json!({ "description": "ours" })).await;
    world.sync().await;
    assert_eq!(world.data("s1").await["description"], "ours");
}
