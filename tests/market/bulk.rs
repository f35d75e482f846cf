//! Several decisions in one call, each by itself.

use serde_json::{Value, json};

use crate::market::world::{World, skill};
use crate::support::check;

const BULK: &str = "/api/v1/conflicts/bulk-resolve";

fn decision(conflict: &Value, choice: &str, version: i64) -> Value {
    json!({
        "conflict_id": conflict["conflict_id"],
        "choice": choice,
        "expected_remote_version": version,
    })
}

/// Good decisions are carried out, others say why not, in their order.
#[tokio::test]
async fn decisions_stand_or_fall_by_themselves() {
    let world = World::start().await;
    let mut conflicts = Vec::new();
    for id in ["s1", "s2", "s3"] {
        conflicts.push(world.open_conflict(id).await);
    }
    let unknown = json!({ "conflict_id": "nobody" });
    let mut incomplete = decision(&conflicts[2], "fields", 3);
    incomplete["fields"] = json!({ "tags": "local" });
    let body = json!({ "conflicts": [
        decision(&conflicts[0], "local", 3),
        decision(&unknown, "local", 3),
        decision(&conflicts[1], "remote", 2),
        decision(&conflicts[0], "remote", 4),
        incomplete,
        decision(&conflicts[2], "merged", 3),
    ] });
    world.shown();
    let answer = world.admin.post(BULK, &body).await.expect(207);
    let statuses: Vec<&Value> =
        answer["results"].as_array().unwrap().iter().map(|result| &result["status"]).collect();
    assert_eq!(statuses, [200, 404, 409, 409, 422, 200]);
    assert_eq!((&answer["resolved_count"], &answer["failed_count"]), (&json!(2), &json!(4)));
    world.show("a bulk result", &answer);
    check!("bulk", world.shown());
    assert_eq!(world.data("s1").await["description"], "ours");
    assert_eq!(world.conflict("s2").await["status"], "open");
}

/// 1 to 100 decisions; one that cannot be read refuses the call, and nothing
/// is done.
#[tokio::test]
async fn a_call_that_cannot_be_read_does_nothing() {
    let world = World::start().await;
    let conflict = world.open_conflict("s1").await;
    let good = decision(&conflict, "local", 3);
    let with = |field: &str, value: Value| {
        let mut decision = good.clone();
        decision[field] = value;
        decision
    };
    let without = |field: &str| {
        let mut decision = good.clone();
        decision.as_object_mut().unwrap().remove(field);
        decision
    };
    for (conflicts, field) in [
        (json!([]), "conflicts"),
        (json!(vec![good.clone(); 101]), "conflicts"),
        (json!({}), "conflicts"),
        (json!([good, without("conflict_id")]), "conflicts[1].conflict_id"),
        (json!([good, without("choice")]), "conflicts[1].choice"),
        (json!([without("expected_remote_version")]), "conflicts[0].expected_remote_version"),
        (json!([good, with("choice", json!("both"))]), "conflicts[1].choice"),
        (json!([with("fields", json!({ "code": "x" }))]), "conflicts[0].fields.code"),
        (
            json!([good, with("justification", json!("x".repeat(2_001)))]),
            "conflicts[1].justification",
        ),
    ] {
        let error = world.admin.post(BULK, &json!({ "conflicts": conflicts })).await;
        let error = error.expect_error(422, "invalid");
        assert_eq!(error["details"][0]["field"], field, "{error}");
    }
    let error = world.admin.post(BULK, &json!({})).await.expect_error(422, "invalid");
    assert_eq!(error["details"][0]["field"], "conflicts");
    assert_eq!(world.conflict("s1").await["status"], "open");
}

/// A hundred conflicts in one call.
#[tokio::test]
async fn a_hundred_conflicts_are_decided_at_once() {
    let ids: Vec<String> = (0..100).map(|number| format!("s{number:03}")).collect();
    let skills: Vec<Value> = ids.iter().map(|id| skill(id, &format!("Skill {id}"))).collect();
    let world = World::filled(&skills, |setup, _| setup).await;
    world.strategy("manual").await;
    for id in &ids {
        world.edit(id, json!({ "description": "ours" })).await;
        world.remote(id, &json!({ "description": "theirs" }));
    }
    world.sync().await;
    let open = world.admin.get("/api/v1/conflicts?status=open").await.expect(200);
    let open = open["items"].as_array().unwrap();
    let decisions: Vec<Value> = open.iter().map(|one| decision(one, "local", 3)).collect();
    assert_eq!(decisions.len(), 100);
    let answer = world.admin.post(BULK, &json!({ "conflicts": decisions })).await.expect(207);
    assert_eq!((&answer["resolved_count"], &answer["failed_count"]), (&json!(100), &json!(0)));
    for id in &ids {
        assert_eq!(world.data(id).await["description"], "ours");
    }
}
