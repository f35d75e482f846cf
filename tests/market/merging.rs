//! The strategy `merge`: field by field against what both sides started from.

use serde_json::{Value, json};

use crate::market::world::World;

/// Each field comes from the side that changed it; lists are united, the
/// version is the next one.
#[tokio::test]
async fn both_sides_are_merged_field_by_field() {
    let world = World::start().await;
    world.strategy("merge").await;
    let local = json!({
        "name": "Our Name",
        "code": "ours",
        "version": "1.1.0",
        "python_packages": ["zlib", "attrs", "requests"],
        "npm_packages": ["zod"],
        "tags": ["ours", "daily"],
    });
    world.edit("s1", local).await;
    let remote = json!({
        "description": "their description",
        "code": "theirs",
        "version": "1.2.0",
        "python_packages": ["requests", "lxml"],
        "tags": ["theirs"],
        "average_rating": 2.0,
    });
    world.remote("s1", &remote);
    world.sync().await;
    let mut expected = world.atom.skill("s1").unwrap();
    expected["name"] = "Our Name".into();
    expected["version"] = "1.2.1".into();
    expected["python_packages"] = json!(["attrs", "lxml", "requests", "zlib"]);
    expected["npm_packages"] = json!(["zod"]);
    expected["tags"] = json!(["daily", "ours", "theirs"]);
    let skill = world.skill("s1").await;
    assert_eq!(skill["data"], expected);
    assert_eq!(skill["edited"]["by"], "ann");
    let conflict = world.conflict("s1").await;
    assert_eq!(conflict["decided_by"], "strategy");
    assert_eq!(conflict["losers"], json!(["local", "remote"]), "neither is there whole");
    assert_eq!(conflict["result"]["data"], expected);
}

/// Merging a merged skill again changes nothing, and the version gets no
/// number without a change.
#[tokio::test]
async fn merging_again_changes_nothing() {
    let world = World::start().await;
    world.strategy("merge").await;
    world.edit("s1", json!({ "version": "2.0.0", "python_packages": ["b", "a"] })).await;
    world.remote("s1", &json!({ "version": "1.9.0", "python_packages": ["c"] }));
    world.sync().await;
    let merged = world.skill("s1").await;
    assert_eq!(merged["data"]["version"], "2.0.1");
    for _ in 0..3 {
        world.sync().await;
    }
    let again = world.skill("s1").await;
    assert_eq!((&again["version"], &again["data"]), (&merged["version"], &merged["data"]));
    assert_eq!(world.conflicts("s1").await.len(), 1);
    // What upstream changes from now on in other fields leaves them alone.
    for description in ["one", "two", "three"] {
        world.remote("s1", &json!({ "description": description }));
        world.sync().await;
        let data = world.data("s1").await;
        assert_eq!(data["version"], "2.0.1", "only we changed it since");
        assert_eq!(data["python_packages"], json!(["a", "b", "c"]));
        assert_eq!(data["description"], description);
    }
}

/// A version of any writing gets a next number and never a growing tail.
#[tokio::test]
async fn versions_do_not_grow() {
    let world = World::start().await;
    world.strategy("merge").await;
    let longest = 12;
    for turn in 1..=8 {
        world.edit("s1", json!({ "version": format!("1.{turn}.0") })).await;
        world.remote("s1", &json!({ "version": format!("1.{turn}.5"), "tags": [turn] }));
        world.sync().await;
        let version = world.data("s1").await["version"].as_str().unwrap().to_owned();
        assert_eq!(version, format!("1.{turn}.6"));
    }
    for (ours, theirs) in [("1.0.0-beta", "1.0.0"), ("v3", "v2"), ("2026.11", "2026.10")] {
        world.edit("s2", json!({ "version": ours })).await;
        world.remote("s2", &json!({ "version": theirs, "description": theirs }));
        world.sync().await;
        let version = world.data("s2").await["version"].as_str().unwrap().to_owned();
        assert!(version.len() <= longest && !version.contains('+'), "{version}");
    }
}

/// A field that one side removed stays removed; without it lists are empty.
#[tokio::test]
async fn removed_fields_are_merged_too() {
    let world = World::start().await;
    world.strategy("merge").await;
    world.edit("s1", json!({ "metadata": null, "npm_packages": null })).await;
    world.remote("s1", &json!({ "description": "theirs", "npm_packages": ["zod"] }));
    world.sync().await;
    let data = world.data("s1").await;
    let fields = data.as_object().unwrap();
    assert!(!fields.contains_key("metadata"), "{data}");
    assert_eq!(fields["npm_packages"], json!(["zod"]));
    assert_eq!(fields["description"], "theirs");
}

/// Where both sides only differ in what the rules give to remote, remote is
/// the result, and nothing of the edit is left.
#[tokio::test]
async fn a_merge_that_ends_with_remote_is_no_edit_any_more() {
    let world = World::start().await;
    world.strategy("merge").await;
    world.edit("s1", json!({ "description": "ours" })).await;
    world.remote("s1", &json!({ "description": "theirs" }));
    world.sync().await;
    let skill = world.skill("s1").await;
    assert_eq!(skill["data"], world.atom.skill("s1").unwrap());
    assert_eq!(skill["edited"], Value::Null);
    assert_eq!(world.conflict("s1").await["losers"], json!(["local"]));
}
