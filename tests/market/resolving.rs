//! Deciding a conflict: what each choice makes of it, and what is refused.

use serde_json::{Value, json};

use crate::market::world::World;
use crate::support::check;

/// Both sides changed four fields each, two of them differently.
async fn rich_conflict(world: &World, id: &str) -> Value {
    world.strategy("manual").await;
    let local = json!({
        "description": "ours",
        "code": "ours",
        "name": "Our Name",
        "python_packages": ["attrs"],
    });
    world.edit(id, local).await;
    let remote = json!({
        "description": "theirs",
        "code": "theirs",
        "category": "theirs",
        "python_packages": ["lxml"],
    });
    world.remote(id, &remote);
    world.sync().await;
    world.conflict(id).await
}

/// Fields and what they should be.
type Fields = [(&'static str, Value); 5];

/// What each choice publishes.
#[tokio::test]
async fn every_choice_publishes_what_it_says() {
    let given = |upstream: &Value| {
        let mut data = upstream.clone();
        data["description"] = "neither".into();
        data
    };
    let expect = |name: &str, description: &str, code: &str, packages: &[&str]| -> Fields {
        [
            ("name", name.into()),
            ("description", description.into()),
            ("code", code.into()),
            ("python_packages", json!(packages)),
            ("category", "theirs".into()),
        ]
    };
    let picks = json!({ "code": "local", "python_packages": "remote", "name": "remote" });
    for (decision, expected) in [
        (json!({ "choice": "local" }), expect("Our Name", "ours", "ours", &["attrs"])),
        (json!({ "choice": "remote" }), expect("Send Email", "theirs", "theirs", &["lxml"])),
        (json!({ "choice": "merged" }), expect("Our Name", "theirs", "theirs", &["attrs", "lxml"])),
        (
            json!({ "choice": "merged", "data": "given" }),
            expect("Send Email", "neither", "theirs", &["lxml"]),
        ),
        (
            json!({ "choice": "fields", "fields": picks }),
            expect("Send Email", "theirs", "ours", &["lxml"]),
        ),
    ] {
        let world = World::start().await;
        let mut phone = world.follower("u1").await;
        let conflict = rich_conflict(&world, "s1").await;
        phone.entries(2).await;
        let mut decision = decision;
        decision["expected_remote_version"] = conflict["current_version"].clone();
        decision["justification"] = "it was agreed".into();
        if decision["data"] == "given" {
            decision["data"] = given(&world.atom.skill("s1").unwrap());
        }
        let resolved = world.resolve(&conflict, &decision).await.expect(200);
        assert_eq!(resolved["justification"], "it was agreed");
        let skill = world.skill("s1").await;
        for (field, value) in expected {
            assert_eq!(skill["data"][field], value, "{decision}: {field}");
        }
        assert_eq!(resolved["result"]["data"], skill["data"]);
        let is_remote = skill["data"] == world.atom.skill("s1").unwrap();
        assert_eq!(skill["edited"].is_null(), is_remote, "{decision}");
        if is_remote {
            phone.expect_nothing_pending().await;
        } else {
            assert_eq!(phone.entries(1).await[0]["body"]["version"], skill["version"]);
        }
        world.sync().await;
        assert_eq!(world.skill("s1").await["version"], skill["version"], "{decision}");
    }
}

/// What does not say enough, or too much, is refused and names the place.
#[tokio::test]
async fn wrong_decisions_are_refused() {
    let world = World::start().await;
    let conflict = rich_conflict(&world, "s1").await;
    let long = "x".repeat(2_001);
    for (body, field) in [
        (json!({ "expected_remote_version": 3 }), "choice"),
        (json!({ "choice": "local" }), "expected_remote_version"),
        (json!({ "choice": "both", "expected_remote_version": 3 }), "choice"),
        (json!({ "choice": "local", "expected_remote_version": "3" }), "expected_remote_version"),
        (json!({ "choice": "local", "expected_remote_version": 3.5 }), "expected_remote_version"),
        (json!({ "choice": "fields", "expected_remote_version": 3 }), "choice"),
        (json!({ "choice": "fields", "fields": {}, "expected_remote_version": 3 }), "choice"),
        (
            json!({ "choice": "fields", "fields": { "code": "ours" }, "expected_remote_version": 3 }),
            "fields.code",
        ),
        (
            json!({ "choice": "fields", "fields": { "tags": "local" }, "expected_remote_version": 3 }),
            "fields.tags",
        ),
        (
            json!({ "choice": "local", "fields": { "code": "local" }, "expected_remote_version": 3 }),
            "choice",
        ),
        (json!({ "choice": "local", "data": {}, "expected_remote_version": 3 }), "choice"),
        (json!({ "choice": "merged", "data": [], "expected_remote_version": 3 }), "choice"),
        (
            json!({ "choice": "local", "justification": long, "expected_remote_version": 3 }),
            "justification",
        ),
        (
            json!({ "choice": "local", "justification": 7, "expected_remote_version": 3 }),
            "justification",
        ),
    ] {
        let error = world.resolve(&conflict, &body).await.expect_error(422, "invalid");
        assert_eq!(error["details"][0]["field"], field, "{body}: {error}");
    }
    let large = json!({ "skill_id": "s1", "name": "Large", "code": "x".repeat(128 * 1024) });
    let large = json!({ "choice": "merged", "data": large, "expected_remote_version": 3 });
    let status = world.resolve(&conflict, &large).await.status;
    assert!(status == 413 || status == 422, "{status}");
    assert_eq!(world.conflict("s1").await["status"], "open");
    for (loser, version) in [(json!("neither"), json!(3)), (json!("local"), json!("x"))] {
        let id = conflict["conflict_id"].as_str().unwrap();
        let body = json!({ "loser": loser, "expected_remote_version": version });
        let answer = world.admin.post(&format!("/api/v1/conflicts/{id}/restore"), &body).await;
        answer.expect_error(422, "invalid");
    }
}

/// A merged value is a skill like any other: an edit could not make it
/// another one, or one without a name.
#[tokio::test]
async fn a_merged_value_stays_the_skill_it_is() {
    let world = World::start().await;
    let conflict = rich_conflict(&world, "s1").await;
    let upstream = world.atom.skill("s1").unwrap();
    for (field, value) in [
        ("skill_id", json!("s9")),
        ("skill_id", Value::Null),
        ("average_rating", json!(5.0)),
        ("updated_at", Value::Null),
        ("name", json!("")),
        ("name", Value::Null),
    ] {
        let mut data = upstream.clone();
        if value.is_null() {
            data.as_object_mut().unwrap().remove(field);
        } else {
            data[field] = value.clone();
        }
        let body = json!({ "choice": "merged", "data": data, "expected_remote_version": 3 });
        let error = world.resolve(&conflict, &body).await.expect_error(422, "invalid");
        assert_eq!(error["details"][0]["field"], format!("data.{field}"), "{value}: {error}");
    }
    assert_eq!(world.conflict("s1").await["status"], "open");
}

/// What merging would give can be sent back as it was shown, changed or not.
#[tokio::test]
async fn a_proposal_can_be_taken() {
    let world = World::start().await;
    for (id, description) in [("s1", None), ("s2", Some("by hand"))] {
        let conflict = rich_conflict(&world, id).await;
        let mut data = conflict["proposal"].clone();
        if let Some(description) = description {
            data["description"] = description.into();
        }
        let version = conflict["current_version"].clone();
        let body = json!({ "choice": "merged", "data": data, "expected_remote_version": version });
        world.resolve(&conflict, &body).await.expect(200);
        assert_eq!(world.data(id).await, data);
        world.sync().await;
        assert_eq!(world.data(id).await, data);
    }
}

/// A conflict is decided once.
#[tokio::test]
async fn a_conflict_is_decided_once() {
    let world = World::start().await;
    let conflict = rich_conflict(&world, "s1").await;
    let on = |choice: &str, version: i64| json!({ "choice": choice, "expected_remote_version": version });
    world.resolve(&conflict, &on("local", 2)).await.expect_error(409, "remote_moved");
    world.resolve(&conflict, &on("local", 3)).await.expect(200);
    for version in [3, 4] {
        let again = world.resolve(&conflict, &on("remote", version)).await;
        again.expect_error(409, "conflict_state");
    }
    let unknown = json!({ "conflict_id": "nobody" });
    world.resolve(&unknown, &on("local", 3)).await.expect_error(404, "not_found");
    world.restore(&unknown, "local", 3).await.expect_error(404, "not_found");
    world.restore(&conflict, "remote", 4).await.expect(200);
    let data = world.data("s1").await;
    assert_eq!(data, world.atom.skill("s1").unwrap(), "the loser of a decision can be restored");
}

/// Of many who decide at the same time exactly one does.
#[tokio::test]
async fn one_of_many_decides() {
    let world = World::start().await;
    for (id, choice) in [("s1", "local"), ("s2", "remote"), ("s3", "merged")] {
        let conflict = rich_conflict(&world, id).await;
        let decision = json!({ "choice": choice, "expected_remote_version": 3 });
        let asked = (0..10).map(|_| world.resolve(&conflict, &decision));
        let answers = futures_util::future::join_all(asked).await;
        let (won, lost): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!((won.len(), lost.len()), (1, 9), "{choice}");
        for answer in lost {
            answer.expect_error(409, "conflict_state");
        }
        let rulings = world.audit(&format!("skill:{id}")).await;
        let rulings = rulings.iter().filter(|(_, action, _)| action == "conflict.resolve");
        assert_eq!(rulings.count(), 1);
    }
    let metrics = world.admin.get("/metrics").await;
    for counted in [
        "tidegate_conflicts_detected_total{type=\"CONTENT_MISMATCH\"} 3",
        "tidegate_conflicts_resolved_total{strategy=\"manual\"} 3",
    ] {
        assert!(metrics.text().contains(counted), "{}", metrics.text());
    }
}

/// How conflicts, moved ones and refusals look.
#[tokio::test]
async fn conflicts_are_shown_whole() {
    let world = World::start().await;
    world.shown();
    let conflict = rich_conflict(&world, "s1").await;
    world.show("an open conflict", &conflict);
    let late = json!({ "choice": "local", "expected_remote_version": 2 });
    world.show("it moved", &world.resolve(&conflict, &late).await.body);
    let wrong = json!({
        "choice": "fields", "fields": { "tags": "local" }, "expected_remote_version": 3,
    });
    world.show("a field that cannot be chosen", &world.resolve(&conflict, &wrong).await.body);
    let fields = json!({ "code": "local", "python_packages": "remote" });
    let decision = json!({
        "choice": "fields",
        "fields": fields,
        "justification": "their packages are newer",
        "expected_remote_version": 3,
    });
    world.show("a resolved conflict", &world.resolve(&conflict, &decision).await.expect(200));
    world.show("decided already", &world.resolve(&conflict, &decision).await.body);
    check!("conflicts", world.shown());
}
