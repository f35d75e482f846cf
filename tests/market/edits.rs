//! Local edits: what they change, who hears of it, and what is refused.

use reqwest::Method;
use serde_json::{Value, json};

use crate::market::world::{EDITOR, World};
use crate::support::{Caller, Token, check};

const S1: &str = "/api/v1/marketplace/skills/s1";

async fn patch(caller: &Caller, body: &str) -> crate::support::Answer {
    caller.call(Method::PATCH, S1, Some(body)).await
}

/// An edit is served at once, journalled as a patch, and noted for auditors.
#[tokio::test]
async fn an_edit_reaches_devices_and_the_audit_log() {
    let world = World::start().await;
    let mut phone = world.follower("u1").await;
    world.shown();
    let edited = world.edit("s1", json!({ "description": "edited" })).await;
    assert_eq!(edited["version"], 2);
    assert_eq!(edited["data"]["description"], "edited");
    assert_eq!(edited["data"]["name"], "Send Email");
    let entries = phone.entries(1).await;
    assert_eq!(entries[0]["kind"], "skill");
    let expected = json!({
        "id": "s1",
        "version": 2,
        "op": "patch",
        "base_version": 1,
        "patch": { "description": "edited" },
    });
    assert_eq!(entries[0]["body"], expected);
    let audit = world.audit("skill:s1").await;
    let detail = json!({ "version": 2, "fields": ["description"] });
    assert_eq!(audit, [(EDITOR.to_owned(), "skill.edit".to_owned(), detail)]);
}

/// Removing a field cannot be said in a patch that keeps nulls out, so that
/// the whole skill is sent.
#[tokio::test]
async fn a_removed_field_is_sent_as_a_whole() {
    let world = World::start().await;
    let mut phone = world.follower("u1").await;
    let edited = world.edit("s1", json!({ "category": null, "metadata": { "x": 1 } })).await;
    let data = &edited["data"];
    assert!(!data.as_object().unwrap().contains_key("category"), "{data}");
    assert_eq!(data["metadata"], json!({ "author": "Nadia Okoro", "x": 1 }));
    let entries = phone.entries(1).await;
    let body = &entries[0]["body"];
    assert_eq!((&body["op"], &body["data"]), (&json!("put"), data));
}

/// What changes nothing is journalled to nobody, and what upstream has is no
/// edit.
#[tokio::test]
async fn edits_that_change_nothing_leave_no_trace() {
    let world = World::start().await;
    let mut phone = world.follower("u1").await;
    for same in [json!({}), json!({ "name": "Send Email" }), json!({ "nothing": null })] {
        let skill = world.edit("s1", same).await;
        assert_eq!((&skill["version"], &skill["edited"]), (&json!(1), &Value::Null));
    }
    phone.expect_nothing_pending().await;
    assert_eq!(world.audit("skill:s1").await, []);
    let edited = world.edit("s1", json!({ "description": "edited" })).await;
    assert_eq!(
        (&edited["edited"]["by"], &edited["edited"]["base_version"]),
        (&json!(EDITOR), &json!(1))
    );
    let again = world.edit("s1", json!({ "name": "Send Letters" })).await;
    assert_eq!(again["edited"]["base_version"], 1, "both edits stand on what upstream has");
    let back = json!({ "name": "Send Email", "description": "Send Email, step by step" });
    let back = world.edit("s1", back).await;
    assert_eq!((&back["version"], &back["edited"]), (&json!(4), &Value::Null));
    world.remote("s1", &json!({ "description": "theirs" }));
    world.sync().await;
    assert_eq!(world.data("s1").await["description"], "theirs");
    assert!(world.conflicts("s1").await.is_empty(), "nothing of ours was left");
}

/// `If-Match` names the version an edit was made on, as the `ETag` does.
#[tokio::test]
async fn an_edit_may_name_its_version() {
    let world = World::start().await;
    let on = |tag: &str| world.admin.clone().with_header("if-match", tag);
    let answer = patch(&on("\"1\""), r#"{"description":"one"}"#).await;
    let tag = answer.header("etag").unwrap().to_owned();
    assert_eq!(answer.expect(200)["version"], 2);
    patch(&on(&tag), r#"{"description":"two"}"#).await.expect(200);
    patch(&on("*"), r#"{"description":"three"}"#).await.expect(200);
    patch(&on("4"), r#"{"description":"four"}"#).await.expect(200);
    for old in ["\"1\"", "W/\"4\"", "\"99\""] {
        let error = patch(&on(old), r#"{"description":"late"}"#).await;
        let error = error.expect_error(409, "version_conflict");
        assert_eq!(error["details"][0]["field"], "if-match", "{error}");
    }
    for rubbish in ["\"\"", "abc", "\"one\"", "W/", "\"5\", \"6\""] {
        let error = patch(&on(rubbish), r#"{"description":"late"}"#).await;
        let error = error.expect_error(422, "invalid");
        assert_eq!(error["details"][0]["field"], "if-match", "{rubbish}");
    }
    assert_eq!(world.data("s1").await["description"], "four");
}

/// Of many edits of one version at the same time exactly one is made.
#[tokio::test]
async fn one_of_many_edits_of_a_version_is_made() {
    let world = World::start().await;
    let caller = world.admin.clone().with_header("if-match", "\"1\"");
    let bodies: Vec<String> =
        (0..10).map(|number| json!({ "description": number.to_string() }).to_string()).collect();
    let edits = bodies.iter().map(|body| patch(&caller, body));
    let answers = futures_util::future::join_all(edits).await;
    let (made, late): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((made.len(), late.len()), (1, 9));
    for answer in late {
        answer.expect_error(409, "version_conflict");
    }
    assert_eq!(world.skill("s1").await["version"], 2);
}

/// What an edit may not hold, and who may not edit.
#[tokio::test]
async fn wrong_edits_are_refused() {
    let world = World::start().await;
    let mut phone = world.follower("u1").await;
    for (body, field) in [
        (json!({ "skill_id": "s9" }), "skill_id"),
        (json!({ "id": "s9" }), "id"),
        (json!({ "average_rating": 5 }), "average_rating"),
        (json!({ "rating_count": 5 }), "rating_count"),
        (json!({ "ratings": [] }), "ratings"),
        (json!({ "created_at": null }), "created_at"),
        (json!({ "description": "x", "updated_at": "2026-01-01T00:00:00Z" }), "updated_at"),
        (json!({ "name": "" }), "name"),
        (json!({ "name": null }), "name"),
        (json!({ "name": " \t" }), "name"),
        (json!({ "name": 7 }), "name"),
    ] {
        let error = world.try_edit("s1", &body).await.expect_error(422, "invalid");
        assert_eq!(error["details"][0]["field"], field, "{body}: {error}");
    }
    for body in ["[]", "\"text\"", "null", "7", r#"{"description":"\u0000"}"#] {
        patch(&world.admin, body).await.expect_error(422, "invalid");
    }
    for body in ["", "{", "{} {}"] {
        patch(&world.admin, body).await.expect_error(400, "malformed");
    }
    let large = json!({ "code": "x".repeat(128 * 1024) });
    world.try_edit("s1", &large).await.expect_error(413, "too_large");
    let unknown = world.try_edit("nobody", &json!({ "description": "x" })).await;
    unknown.expect_error(404, "not_found");
    for token in [Token::device("u1"), Token::service("backend")] {
        let refused = patch(&world.caller(&token), r#"{"description":"x"}"#).await;
        refused.expect_error(403, "forbidden");
    }
    let stranger = world.admin.clone().without_token();
    patch(&stranger, "{}").await.expect_error(401, "unauthenticated");
    phone.expect_nothing_pending().await;
    assert_eq!(world.skill("s1").await["version"], 1);
}

/// RFC 7396 gives its patches a media type.
#[tokio::test]
async fn patches_come_under_either_name() {
    let world = World::start().await;
    for (media_type, text) in [
        ("application/merge-patch+json", "one"),
        ("application/json", "two"),
        ("Application/Merge-Patch+JSON; charset=utf-8", "three"),
    ] {
        let caller = world.admin.clone().with_header("content-type", media_type);
        let body = json!({ "description": text }).to_string();
        let edited = patch(&caller, &body).await.expect(200);
        assert_eq!(edited["data"]["description"], text);
    }
    for media_type in ["text/plain", "application/json-patch+json"] {
        let caller = world.admin.clone().with_header("content-type", media_type);
        patch(&caller, "{}").await.expect_error(415, "unsupported_media_type");
    }
}

/// How refusals look.
#[tokio::test]
async fn refused_edits_are_shown() {
    let world = World::start().await;
    world.shown();
    let refused = world.try_edit("s1", &json!({ "average_rating": 5 })).await;
    world.show("a field of upstream's", &refused.body);
    let late = world.admin.clone().with_header("if-match", "\"7\"");
    world.show("another version", &patch(&late, r#"{"description":"x"}"#).await.body);
    let nameless = world.try_edit("s1", &json!({ "name": "" })).await;
    world.show("no name", &nameless.body);
    world.open_conflict("s1").await;
    let waiting = world.try_edit("s1", &json!({ "description": "x" })).await;
    world.show("a conflict is open", &waiting.body);
    check!("refused_edits", world.shown());
}
