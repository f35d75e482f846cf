//! Listing conflicts: filters, pages, and whose they are.

use serde_json::{Value, json};

use crate::market::world::{World, skill};
use crate::support::{Caller, Token};

const CONFLICTS: &str = "/api/v1/conflicts";

async fn subjects(caller: &Caller, query: &str) -> Vec<String> {
    let page = caller.get(&format!("{CONFLICTS}?{query}")).await.expect(200);
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item["subject"].as_str().unwrap().to_owned()).collect()
}

/// One resolved conflict and three open ones, of two editors.
async fn four_conflicts() -> World {
    let world = World::filled(
        &["s1", "s2", "s3", "s4"].map(|id| skill(id, &format!("Skill {id}"))),
        |setup, _| setup,
    )
    .await;
    let bea = world.caller(&Token::admin("bea"));
    let conflicts = [
        ("s1", "description", "remote_wins"),
        ("s2", "code", "manual"),
        ("s3", "metadata", "manual"),
        ("s4", "version", "manual"),
    ];
    for (id, field, strategy) in conflicts {
        world.strategy(strategy).await;
        let body = json!({ field: "ours" }).to_string();
        let path = format!("/api/v1/marketplace/skills/{id}");
        let editor = if id == "s4" { &bea } else { &world.admin };
        editor.call(reqwest::Method::PATCH, &path, Some(&body)).await.expect(200);
        world.remote(id, &json!({ field: "theirs" }));
        world.sync().await;
    }
    world
}

/// Newest first, by status, severity and subject.
#[tokio::test]
async fn conflicts_are_filtered() {
    let world = four_conflicts().await;
    for (query, expected) in [
        ("", &["skill:s4", "skill:s3", "skill:s2", "skill:s1"][..]),
        ("status=open", &["skill:s4", "skill:s3", "skill:s2"]),
        ("status=resolved", &["skill:s1"]),
        ("severity=CRITICAL", &["skill:s2"]),
        ("severity=high", &["skill:s4"]),
        ("severity=Medium", &["skill:s3"]),
        ("severity=LOW&status=resolved", &["skill:s1"]),
        ("severity=LOW&status=open", &[]),
        ("subject=skill:s3", &["skill:s3"]),
        ("subject=skill:s3&status=resolved", &[]),
        ("subject=skill:nobody", &[]),
    ] {
        assert_eq!(subjects(&world.admin, query).await, expected, "{query}");
        let for_operators = format!("/api/v1/admin/conflicts?{query}");
        let page = world.admin.get(&for_operators).await.expect(200);
        assert_eq!(page["items"].as_array().unwrap().len(), expected.len(), "{query}");
    }
    for (query, field) in [
        ("status=closed", "status"),
        ("status=", "status"),
        ("severity=HUGE", "severity"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("cursor=!!", "cursor"),
        ("subject=%00", "subject"),
    ] {
        let error = world.admin.get(&format!("{CONFLICTS}?{query}")).await;
        let error = error.expect_error(422, "invalid");
        assert_eq!(error["details"][0]["field"], field, "{query}");
    }
}

/// Pages hold everything once, also where filters apply.
#[tokio::test]
async fn conflicts_come_in_pages() {
    let world = four_conflicts().await;
    for (filter, limit, expected) in [("", 1, 4), ("", 3, 4), ("", 4, 4), ("status=open", 2, 3)] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("{CONFLICTS}?{filter}&limit={limit}{cursor}");
            let page = world.admin.get(&path).await.expect(200);
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= limit);
            seen.extend(items.iter().map(|item| item["conflict_id"].clone()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let count = seen.len();
        seen.dedup();
        assert_eq!((count, seen.len()), (expected, expected), "{filter} {limit}");
    }
}

/// Operators see all; everybody else sees the conflicts of their own edits.
#[tokio::test]
async fn everybody_sees_their_own_conflicts() {
    let world = four_conflicts().await;
    let all = world.admin.get(CONFLICTS).await.expect(200)["items"].clone();
    let of = |subject: &str| -> &Value {
        all.as_array().unwrap().iter().find(|item| item["subject"] == subject).unwrap()
    };
    let path =
        |subject: &str| format!("{CONFLICTS}/{}", of(subject)["conflict_id"].as_str().unwrap());
    let ann = world.caller(&Token::device("ann"));
    let bea = world.caller(&Token::device("bea"));
    let backend = world.caller(&Token::service("backend"));
    assert_eq!(subjects(&ann, "").await, ["skill:s3", "skill:s2", "skill:s1"]);
    assert_eq!(subjects(&bea, "").await, ["skill:s4"]);
    assert_eq!(subjects(&backend, "").await, [""; 0]);
    assert_eq!(subjects(&bea, "subject=skill:s1").await, [""; 0]);
    assert_eq!(ann.get(&path("skill:s1")).await.expect(200), *of("skill:s1"));
    assert_eq!(world.admin.get(&path("skill:s4")).await.expect(200), *of("skill:s4"));
    for (caller, subject) in [(&bea, "skill:s1"), (&ann, "skill:s4"), (&backend, "skill:s1")] {
        caller.get(&path(subject)).await.expect_error(404, "not_found");
    }
    world.admin.get(&format!("{CONFLICTS}/nobody")).await.expect_error(404, "not_found");
    for caller in [&ann, &backend] {
        let of_operators = path("skill:s1").replace("/v1/", "/v1/admin/");
        caller.get("/api/v1/admin/conflicts").await.expect_error(403, "forbidden");
        caller.get(&of_operators).await.expect_error(403, "forbidden");
    }
    let stranger = world.admin.clone().without_token();
    stranger.get(CONFLICTS).await.expect_error(401, "unauthenticated");
}

/// What operators do with conflicts is found beside their other calls too.
#[tokio::test]
async fn operators_decide_at_either_address() {
    let world = four_conflicts().await;
    let id = async |subject: &str| {
        world.conflict(subject).await["conflict_id"].as_str().unwrap().to_owned()
    };
    let of_operators = |path: &str| format!("/api/v1/admin/conflicts/{path}");
    let first = id("s2").await;
    let found = world.admin.get(&of_operators(&first)).await.expect(200);
    assert_eq!(found["subject"], "skill:s2");
    let local = json!({ "choice": "local", "expected_remote_version": 3 });
    world.admin.post(&of_operators(&format!("{first}/resolve")), &local).await.expect(200);
    assert_eq!(world.data("s2").await["code"], "ours");
    let undo = json!({ "loser": "remote", "expected_remote_version": 4 });
    world.admin.post(&of_operators(&format!("{first}/restore")), &undo).await.expect(200);
    assert_eq!(world.data("s2").await["code"], "theirs");
    let second = json!({
        "conflict_id": id("s3").await, "choice": "remote", "expected_remote_version": 3,
    });
    let bulk = json!({ "conflicts": [second] });
    let answer = world.admin.post(&of_operators("bulk-resolve"), &bulk).await.expect(207);
    assert_eq!(answer["resolved_count"], 1);
}

/// Whoever may look may not decide.
#[tokio::test]
async fn only_operators_decide() {
    let world = four_conflicts().await;
    let decision = json!({ "choice": "local", "expected_remote_version": 3 });
    let undo = json!({ "loser": "local", "expected_remote_version": 3 });
    for token in [Token::device("ann"), Token::service("backend")] {
        let caller = world.caller(&token);
        for subject in ["s1", "s2"] {
            let id = world.conflict(subject).await["conflict_id"].as_str().unwrap().to_owned();
            for (path, body) in [
                (format!("{CONFLICTS}/{id}/resolve"), &decision),
                (format!("{CONFLICTS}/{id}/restore"), &undo),
                (format!("/api/v1/admin/conflicts/{id}/resolve"), &decision),
                (format!("{CONFLICTS}/bulk-resolve"), &json!({ "conflicts": [] })),
            ] {
                caller.post(&path, body).await.expect_error(403, "forbidden");
            }
        }
    }
    assert_eq!(subjects(&world.admin, "status=open").await.len(), 3);
}
