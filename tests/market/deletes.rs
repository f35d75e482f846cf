//! Upstream deletes what is edited here: a delete is an edit.

use std::time::Duration;

use serde_json::{Value, json};

use crate::market::world::World;
use crate::support::eventually;

/// A world in which upstream deleted what was edited, and the gateway knows.
async fn deleted(strategy: &str) -> World {
    let world = World::start().await;
    world.strategy(strategy).await;
    world.edit("s1", json!({ "description": "ours" })).await;
    world.atom.remove_skill("s1");
    world.sync().await;
    world
}

/// The delete wins; the edit is kept and can be brought back, for good.
#[tokio::test]
async fn remote_wins_deletes_and_keeps_the_edit() {
    let world = deleted("remote_wins").await;
    assert!(world.is_gone("s1").await);
    let conflict = world.conflict("s1").await;
    assert_eq!((&conflict["status"], &conflict["losers"]), (&json!("resolved"), &json!(["local"])));
    assert_eq!(conflict["remote"]["data"], Value::Null);
    assert_eq!(conflict["result"], json!({ "version": 3, "data": null }));
    let mut phone = world.follower("u1").await;
    world.restore(&conflict, "local", 3).await.expect(200);
    let entry = phone.entries(1).await.remove(0);
    assert_eq!((&entry["body"]["op"], &entry["body"]["version"]), (&json!("put"), &json!(4)));
    world.sync().await;
    assert_eq!(world.data("s1").await["description"], "ours");
    phone.expect_nothing_pending().await;
}

/// The edit wins, and goes on being served although upstream has nothing.
#[tokio::test]
async fn local_wins_keeps_the_skill() {
    let world = deleted("local_wins").await;
    let skill = world.skill("s1").await;
    assert_eq!(skill["data"]["description"], "ours");
    assert_eq!(skill["edited"]["by"], "ann");
    let conflict = world.conflict("s1").await;
    assert_eq!(conflict["losers"], json!(["remote"]));
    world.sync().await;
    let again = world.skill("s1").await;
    assert_eq!(again["version"], skill["version"]);
    assert_eq!(world.conflicts("s1").await.len(), 1);
    let version = again["version"].as_i64().unwrap();
    world.restore(&conflict, "remote", version).await.expect(200);
    assert!(world.is_gone("s1").await, "the delete was what lost");
}

/// The later of both: a poll sees a delete now, a message says since when.
#[tokio::test]
async fn newest_wins_compares_the_delete_with_the_edit() {
    let world = deleted("newest_wins").await;
    assert!(world.is_gone("s1").await);

    let world = World::with_socket().await;
    world.strategy("newest_wins").await;
    let deleted_at = world.atom.stamp();
    world.pass(Duration::from_mins(1));
    world.edit("s1", json!({ "description": "ours" })).await;
    world.atom.remove_skill("s1");
    let message = json!({ "skill_id": "s1", "deleted_at": deleted_at });
    world.atom.broadcast(json!({ "type": "skill_delete", "data": message }));
    let conflict = eventually("a conflict", async || world.conflicts("s1").await.pop()).await;
    assert_eq!(conflict["losers"], json!(["remote"]));
    assert_eq!(world.data("s1").await["description"], "ours");
}

/// Merging says nothing of deletes: the delete wins.
#[tokio::test]
async fn merge_deletes() {
    let world = deleted("merge").await;
    assert!(world.is_gone("s1").await);
    let conflict = world.conflict("s1").await;
    assert_eq!(
        (&conflict["status"], &conflict["decided_by"]),
        (&json!("resolved"), &json!("delete"))
    );
    assert_eq!(conflict["losers"], json!(["local"]));
}

/// A person decides: the skill is gone until then.
#[tokio::test]
async fn a_person_decides_about_a_delete() {
    for choice in ["local", "remote", "merged"] {
        let world = deleted("manual").await;
        assert!(world.is_gone("s1").await, "remote stays");
        let conflict = world.conflict("s1").await;
        assert_eq!(conflict["status"], "open");
        let edit = world.try_edit("s1", &json!({ "tags": [] })).await;
        edit.expect_error(404, "not_found");
        let fields = json!({
            "choice": "fields",
            "fields": { "description": "local" },
            "expected_remote_version": 3,
        });
        world.resolve(&conflict, &fields).await.expect_error(422, "invalid");
        let decision = json!({ "choice": choice, "expected_remote_version": 3 });
        let resolved = world.resolve(&conflict, &decision).await.expect(200);
        assert_eq!(resolved["status"], "resolved");
        for _ in 0..2 {
            assert_eq!(world.is_gone("s1").await, choice != "local", "{choice}");
            world.sync().await;
        }
    }
}

/// Upstream takes a delete back while its conflict is open.
#[tokio::test]
async fn a_deleted_skill_may_come_back_under_an_open_conflict() {
    let world = deleted("manual").await;
    let mut back = crate::market::world::skill("s1", "Back Again");
    back["updated_at"] = world.atom.stamp().into();
    world.atom.put_skill(back.clone());
    world.sync().await;
    assert_eq!(world.data("s1").await, back);
    let conflict = world.conflict("s1").await;
    assert_eq!(conflict["status"], "open");
    let version = conflict["current_version"].clone();
    let local = json!({ "choice": "local", "expected_remote_version": version });
    world.resolve(&conflict, &local).await.expect(200);
    let data = world.data("s1").await;
    assert_eq!((&data["name"], &data["description"]), (&json!("Back Again"), &json!("ours")));
}
