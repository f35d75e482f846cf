//! Rules of a file: what they change, and what a broken one says.

use serde_json::json;
use tempfile::TempDir;

use crate::crash::data::Data;
use crate::crash::process::Process;
use crate::market::world::{World, skill};

const RULES: &str = r#"
[skill]
strategy = "merge"

[skill.fields]
description = "longer_text"
code = "manual"

[[skill.groups]]
fields = ["command", "env_vars"]
rule = "local"
"#;

/// A file with these rules, and its path.
fn file(rules: &str) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("rules.toml");
    std::fs::write(&path, rules).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

async fn with_rules(rules: &str) -> (World, TempDir) {
    let (folder, path) = file(rules);
    let skills = ["s1", "s2", "s3"].map(|id| {
        let mut skill = skill(id, "Skill");
        skill["env_vars"] = json!({ "MODE": "first" });
        skill
    });
    let world = World::filled(&skills, |setup, _| setup.set("conflicts.rules_file", &path)).await;
    (world, folder)
}

/// The file's strategy and the rules of its fields are in force.
#[tokio::test]
async fn fields_follow_the_rules_of_the_file() {
    let (world, _file) = with_rules(RULES).await;
    let config = world.admin.get("/api/v1/admin/sync/config").await.expect(200);
    assert_eq!(config["strategy"], "merge");
    for (id, ours, theirs) in
        [("s1", "longer than theirs", "short"), ("s2", "short", "not so short")]
    {
        world.edit(id, json!({ "description": ours })).await;
        world.remote(id, &json!({ "description": theirs }));
        world.sync().await;
        let longer = if ours.len() > theirs.len() { ours } else { theirs };
        assert_eq!(world.data(id).await["description"], longer);
        assert_eq!(world.conflict(id).await["status"], "resolved");
    }
}

/// Fields of a group come from one side.
#[tokio::test]
async fn groups_move_together() {
    let (world, _file) = with_rules(RULES).await;
    world.edit("s1", json!({ "command": "node", "tags": ["ours"] })).await;
    world.remote("s1", &json!({ "env_vars": { "MODE": "second" }, "name": "Their Name" }));
    world.sync().await;
    let data = world.data("s1").await;
    assert_eq!(
        (&data["command"], &data["env_vars"]),
        (&json!("node"), &json!({ "MODE": "first" }))
    );
    assert_eq!((&data["tags"], &data["name"]), (&json!(["ours"]), &json!("Their Name")));
}

/// A field that only a person can decide opens the conflict, and nothing else
/// does.
#[tokio::test]
async fn manual_fields_wait_for_a_person() {
    let (world, _file) = with_rules(RULES).await;
    world
        .edit("s1", json!({ "code": "ours", "description": "a longer description of ours" }))
        .await;
    world.remote("s1", &json!({ "code": "theirs", "description": "theirs" }));
    world.sync().await;
    let conflict = world.conflict("s1").await;
    assert_eq!((&conflict["status"], &conflict["undecided"]), (&json!("open"), &json!(["code"])));
    assert_eq!(world.data("s1").await, world.atom.skill("s1").unwrap());
    assert_eq!(conflict["proposal"]["description"], "a longer description of ours");
    let merged = json!({ "choice": "merged", "expected_remote_version": 3 });
    let error = world.resolve(&conflict, &merged).await.expect_error(422, "invalid");
    assert_eq!(error["details"][0]["field"], "fields");
    assert!(error["details"][0]["reason"].as_str().unwrap().contains("code"), "{error}");
    let fields = json!({
        "choice": "fields", "fields": { "code": "local" }, "expected_remote_version": 3,
    });
    world.resolve(&conflict, &fields).await.expect(200);
    let data = world.data("s1").await;
    assert_eq!(data["code"], "ours");
    assert_eq!(data["description"], "a longer description of ours");
}

/// The real program does not start with rules that it does not understand,
/// and says where they are.
#[tokio::test]
async fn broken_rules_stop_the_start() {
    for (rules, place) in [
        ("[skill", "line 1"),
        ("[skill]\nstrategy = \"oldest_wins\"\n", "line 2"),
        ("[skill.fields]\n\ndescription = \"longest\"\n", "line 3"),
        ("[skils]\n", "skils"),
        ("[skill]\nfield = {}\n", "field"),
        ("[skill.fields]\naverage_rating = \"max\"\n", "skill.fields.average_rating"),
        ("[[skill.groups]]\nfields = [\"code\"]\n", "skill.groups[0]"),
        ("[[category.groups]]\nfields = [\"a\", \"b\"]\nrule = \"sum\"\n", "category.groups[0]"),
    ] {
        let (_folder, path) = file(rules);
        let error = start_with(&path).await;
        for part in ["conflicts.rules_file", &*path, place] {
            assert!(error.contains(part), "{rules:?}: `{part}` is not in {error}");
        }
    }
    let error = start_with("/nowhere/rules.toml").await;
    assert!(error.contains("/nowhere/rules.toml"), "{error}");
}

/// Starts the real program, which must not listen; what it said.
async fn start_with(path: &str) -> String {
    let data = Data::fresh().await;
    let variable = ("TIDEGATE_CONFLICTS__RULES_FILE".to_owned(), path.to_owned());
    let started = Process::start_with(&data, &[variable]).await;
    started.err().expect("broken rules")
}
