//! Lists of days.

use serde_json::{Value, json};

use crate::health::world::World;

#[tokio::test]
async fn days_are_paged_newest_first_and_tagged() {
    let world = World::start().await;
    let steps: Vec<Value> = (1..=9)
        .map(|day| json!({ "date": format!("2026-11-{day:02}"), "total_steps": day * 100 }))
        .collect();
    world.ingest("steps", json!({ "steps": steps })).await;
    let first = world.phone.get("/api/v1/entries?limit=5").await;
    let next = first.body["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(first.body["items"][0]["date"], "2026-11-09");
    let path = format!("/api/v1/entries?limit=5&cursor={next}");
    let second = world.phone.get(&path).await.expect(200);
    assert_eq!(second["items"].as_array().unwrap().len(), 4);
    assert_eq!(second["items"][0]["date"], "2026-11-04");
    assert_eq!(second["next_cursor"], Value::Null);
    let some = world.list("entries?from=2026-11-02&to=2026-11-03").await;
    assert_eq!(some.len(), 2);
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let again = world.phone.clone().with_header("if-none-match", &tag);
    assert_eq!(again.get("/api/v1/entries?limit=5").await.status, 304);
    world.steps("2026-11-09", 1).await;
    assert_eq!(again.get("/api/v1/entries?limit=5").await.status, 200);
    let day = world.phone.get("/api/v1/entries/2026-11-09").await;
    let again = world.phone.clone().with_header("if-none-match", day.header("etag").unwrap());
    assert_eq!(again.get("/api/v1/entries/2026-11-09").await.status, 304);
}

#[tokio::test]
async fn nobody_reads_anothers_days() {
    let world = World::start().await;
    world.steps("2026-11-09", 1).await;
    let other = world.gateway.caller("other", &crate::support::Token::device("u2").sign()).quiet();
    other.get("/api/v1/entries/2026-11-09").await.expect_error(404, "not_found");
    for path in ["entries", "sleep", "activities", "profile"] {
        let path = format!("/api/v1/{path}");
        other.get(&format!("{path}?user_id=u1")).await.expect_error(403, "forbidden");
        world.coach.get(&path).await.expect_error(422, "invalid");
        world.coach.get(&format!("{path}?user_id=u1")).await.expect(200);
        other.clone().without_token().get(&path).await.expect_error(401, "unauthenticated");
    }
}
