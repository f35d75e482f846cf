//! The strategy `manual`: upstream's value stays, one skill waits, a person
//! decides.

use serde_json::{Value, json};

use crate::market::world::World;

/// While a conflict is open upstream's value is served and only that skill
/// takes no edits.
#[tokio::test]
async fn an_open_conflict_keeps_only_its_own_skill_waiting() {
    let world = World::start().await;
    let conflict = world.open_conflict("s1").await;
    let skill = world.skill("s1").await;
    assert_eq!(skill["data"], world.atom.skill("s1").unwrap());
    assert_eq!(skill["conflict_id"], conflict["conflict_id"]);
    assert_eq!(skill["edited"], Value::Null);
    assert_eq!(conflict["losers"], json!(["local"]));
    assert_eq!(conflict["decided_by"], Value::Null);
    assert_eq!(conflict["proposal"], world.atom.skill("s1").unwrap());

    let refused = world.try_edit("s1", &json!({ "tags": ["x"] })).await;
    refused.expect_error(409, "conflict_open");
    world.restore(&conflict, "local", 3).await.expect_error(409, "conflict_open");
    let other = world.edit("s2", json!({ "tags": ["x"] })).await;
    assert_eq!(other["version"], 2);

    let version = conflict["current_version"].clone();
    let remote = json!({ "choice": "remote", "expected_remote_version": version });
    let resolved = world.resolve(&conflict, &remote).await.expect(200);
    assert_eq!((&resolved["status"], &resolved["decided_by"]), (&json!("resolved"), &json!("ann")));
    let skill = world.skill("s1").await;
    assert_eq!((&skill["version"], &skill["conflict_id"]), (&version, &Value::Null));
    world.edit("s1", json!({ "tags": ["x"] })).await;
}

/// Upstream goes on while a conflict is open: it is served, and whoever
/// decides has to have seen it.
#[tokio::test]
async fn upstream_goes_on_while_a_conflict_is_open() {
    let world = World::start().await;
    let conflict = world.open_conflict("s1").await;
    world.remote("s1", &json!({ "name": "Their Name" }));
    world.sync().await;
    assert_eq!(world.data("s1").await["name"], "Their Name");
    let still = world.conflict("s1").await;
    assert_eq!(still["status"], "open", "and it is the only one");
    assert_eq!((&conflict["current_version"], &still["current_version"]), (&json!(3), &json!(4)));
    let on = |version: i64| json!({ "choice": "local", "expected_remote_version": version });
    let moved = world.resolve(&conflict, &on(3)).await;
    let data = world.atom.skill("s1").unwrap();
    assert_eq!(moved.body["remote"], json!({ "version": 4, "data": data }));
    let error = moved.expect_error(409, "remote_moved");
    assert_eq!(error["details"][0]["field"], "expected_remote_version");
    let resolved = world.resolve(&conflict, &on(4)).await.expect(200);
    assert_eq!(resolved["remote"]["data"], data);
    let data = world.data("s1").await;
    assert_eq!((&data["name"], &data["description"]), (&json!("Their Name"), &json!("ours")));
}

/// An open conflict survives a restart, and still keeps its skill waiting.
#[tokio::test]
async fn an_open_conflict_survives_a_restart() {
    let mut world = World::start().await;
    let conflict = world.open_conflict("s1").await;
    world.restart().await;
    let again = world.conflict("s1").await;
    assert_eq!(again, conflict);
    let refused = world.try_edit("s1", &json!({ "tags": ["x"] })).await;
    refused.expect_error(409, "conflict_open");
    let local = json!({ "choice": "local", "expected_remote_version": 3 });
    world.resolve(&conflict, &local).await.expect(200);
    assert_eq!(world.data("s1").await["description"], "ours");
}

/// What a person decided for local holds against the next polls, as an edit of
/// that person.
#[tokio::test]
async fn a_decision_for_local_holds() {
    let world = World::start().await;
    let conflict = world.open_conflict("s1").await;
    let root = world.caller(&crate::support::Token::admin("root"));
    let path = format!("/api/v1/conflicts/{}/resolve", conflict["conflict_id"].as_str().unwrap());
    let local = json!({ "choice": "local", "expected_remote_version": 3 });
    root.post(&path, &local).await.expect(200);
    for _ in 0..2 {
        world.sync().await;
    }
    let skill = world.skill("s1").await;
    assert_eq!(skill["data"]["description"], "ours");
    assert_eq!((&skill["version"], &skill["edited"]["by"]), (&json!(4), &json!("root")));
    assert_eq!(world.conflicts("s1").await.len(), 1);
    let audit = world.audit("skill:s1").await;
    let last = audit.last().unwrap();
    assert_eq!((&*last.0, &*last.1), ("root", "conflict.resolve"));
    assert_eq!(last.2["conflict_id"], conflict["conflict_id"]);
}

/// The row of an open conflict shows what upstream has now, with all that follows
/// from it; the editor's devices are told.
#[tokio::test]
async fn an_open_conflict_shows_the_current_remote() {
    let world = World::start().await;
    let conflict = world.open_conflict("s1").await;
    let mut own = world.gateway.device("phone", crate::market::world::EDITOR).open().await;
    assert_eq!(conflict["severity"], "LOW");
    for (fields, severity) in [
        (json!({ "description": "theirs again", "code": "theirs" }), "CRITICAL"),
        (json!({ "description": "Send Email, step by step", "code": "def run(): pass" }), "LOW"),
    ] {
        world.remote("s1", &fields);
        world.sync().await;
        let now = world.conflict("s1").await;
        let data = world.atom.skill("s1").unwrap();
        assert_eq!(
            (&now["status"], &now["conflict_id"]),
            (&json!("open"), &conflict["conflict_id"])
        );
        assert_eq!((&now["remote"]["data"], &now["result"]["data"]), (&data, &data));
        assert_eq!(now["remote"]["version"], now["current_version"]);
        assert_eq!(now["severity"], severity, "{now}");
        assert_eq!(now["local"], conflict["local"]);
        let told = own.entries(1).await.remove(0);
        assert_eq!(told["body"]["version"], now["current_version"]);
        assert_eq!(
            (&told["body"]["status"], &told["body"]["severity"]),
            (&json!("open"), &json!(severity))
        );
    }
    let version = world.conflict("s1").await["current_version"].clone();
    let local = json!({ "choice": "local", "expected_remote_version": version });
    world.resolve(&conflict, &local).await.expect(200);
    assert_eq!(world.data("s1").await["description"], "ours");
}
