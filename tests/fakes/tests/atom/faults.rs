//! Each way to fail, as a client sees it.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_fakes::atom::answer::Answer;
use tidegate_fakes::atom::skill_id;

use crate::stage::{PATIENCE, Stage, ids};

const SKILLS: &str = "/api/v1/skills?page=1&page_size=4";

/// Status, `Retry-After` and body of the next answer.
async fn next(stage: &Stage, answer: Answer) -> (u16, Option<String>, Vec<u8>) {
    stage.atom.script().extend("skills", [answer]);
    let answer = stage.get(SKILLS).await;
    let retry_after = answer.headers().get("retry-after");
    let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), retry_after, answer.bytes().await.unwrap().to_vec())
}

fn value(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[tokio::test]
async fn statuses_come_as_the_platform_sends_them() {
    let stage = Stage::filled(4).await;
    let (status, _, body) = next(&stage, Answer::Status(500)).await;
    assert_eq!((status, value(&body)), (500, json!({"error": "Internal server error"})));
    let (status, retry_after, body) =
        next(&stage, Answer::RateLimited { retry_after: Some(7) }).await;
    let expected = json!({"error": "Rate limit exceeded", "retry_after": 7});
    assert_eq!((status, retry_after.as_deref(), value(&body)), (429, Some("7"), expected));
    let (status, retry_after, body) = next(&stage, Answer::RateLimited { retry_after: None }).await;
    let expected = json!({"error": "Rate limit exceeded"});
    assert_eq!((status, retry_after, value(&body)), (429, None, expected));
    let (status, retry_after, _) =
        next(&stage, Answer::Unavailable { retry_after: Some(120) }).await;
    assert_eq!((status, retry_after.as_deref()), (503, Some("120")));
    let (status, _, body) = next(&stage, Answer::Html502).await;
    assert!(status == 502 && body.starts_with(b"<html>"));
    stage.atom.script().extend("skills", [Answer::Status(401)]);
    assert!(stage.get(SKILLS).await.headers().contains_key("www-authenticate"));
    assert_eq!(stage.get(SKILLS).await.status(), 200, "each is used once");
    let seen: Vec<_> = stage.atom.requests().iter().map(|request| request.status).collect();
    assert_eq!(seen, [500, 429, 429, 503, 502, 401, 200].map(Some));
}

#[tokio::test]
async fn bodies_come_spoilt() {
    let stage = Stage::filled(10).await;
    let (status, _, whole) = next(&stage, Answer::Ok).await;
    assert_eq!((status, ids(&value(&whole)).len()), (200, 4));
    assert_eq!(next(&stage, Answer::EmptyBody).await, (200, None, vec![]));
    let (status, _, body) = next(&stage, Answer::NotJson).await;
    assert!(status == 200 && serde_json::from_slice::<Value>(&body).is_err());
    let (status, _, body) = next(&stage, Answer::HalfBody).await;
    assert_eq!((status, &body[..]), (200, &whole[..whole.len() / 2]));

    let (_, _, body) = next(&stage, Answer::HalfPage).await;
    assert_eq!((ids(&value(&body)).len(), &value(&body)["total"]), (2, &json!(10)));
    let (status, _, body) = next(&stage, Answer::EmptyListing).await;
    let expected = json!({"skills": [], "page": 1, "page_size": 4, "total": 0, "total_pages": 0});
    assert_eq!((status, value(&body)), (200, expected));
    let (status, _, body) = next(&stage, Answer::BareEmptyListing).await;
    assert_eq!((status, value(&body)), (200, json!({"skills": []})));
    stage.atom.script().extend("skills?page=2", [Answer::FirstPage]);
    let (_, again) = stage.json("/api/v1/skills?page=2&page_size=4").await;
    assert_eq!(again["skills"], value(&whole)["skills"]);
    let (_, _, body) = next(&stage, Answer::MissingTotal).await;
    assert_eq!((ids(&value(&body)).len(), value(&body).get("total")), (4, None));
    let (_, _, body) = next(&stage, Answer::WrongTotal(9)).await;
    assert_eq!((ids(&value(&body)).len(), &value(&body)["total"]), (4, &json!(9)));

    stage.atom.script().extend("categories", [Answer::EmptyListing]);
    assert_eq!(stage.json("/api/v1/categories").await, (200, json!({"categories": []})));
}

#[tokio::test]
async fn a_cut_body_ends_before_its_length() {
    let stage = Stage::filled(4).await;
    let whole = stage.get(SKILLS).await.content_length();
    stage.atom.script().extend("skills", [Answer::CutBody]);
    let mut answer = stage.get(SKILLS).await;
    assert_eq!((answer.status().as_u16(), answer.content_length()), (200, whole));
    let mut came = 0;
    let ended = loop {
        match answer.chunk().await {
            Ok(Some(bytes)) => came += bytes.len() as u64,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert!(ended.is_err());
    assert_eq!(Some(came), whole.map(|length| length / 2));
}

#[tokio::test]
async fn connections_drop_hang_and_are_late() {
    let stage = Stage::filled(4).await;
    stage.atom.script().extend("skills", [Answer::Drop, Answer::Hang]);
    assert!(stage.request("GET", SKILLS).send().await.is_err());
    let hanging = stage.request("GET", SKILLS).send();
    let seen = tokio::select! {
        _ = hanging => panic!("it was answered"),
        seen = stage.atom.request_seen("skills", 2) => seen,
    };
    assert_eq!([seen[0].answer, seen[1].answer], ["drop", "hang"]);
    assert_eq!([seen[0].status, seen[1].status], [None, None]);

    let late = Duration::from_millis(50);
    stage.atom.script().extend("skill", vec![Answer::Slow(late); 3]);
    let path = format!("/api/v1/skills/{}", skill_id(1));
    let (a, b, c) = tokio::join!(stage.get(&path), stage.get(&path), stage.get(&path));
    assert!([a, b, c].iter().all(|answer| answer.status() == 200));
    assert!(stage.atom.most_at_once() >= 2);
}

/// A page of its own goes before all pages, one skill before all skills.
#[tokio::test]
async fn the_more_precise_addressee_goes_first() {
    let stage = Stage::filled(8).await;
    let script = stage.atom.script();
    script.extend("skills?page=2", [Answer::Status(500)]);
    script.extend("skills", [Answer::HalfPage]);
    assert_eq!(stage.get("/api/v1/skills?page=2&page_size=4").await.status(), 500);
    assert_eq!(ids(&stage.page("page=2&page_size=4").await).len(), 2);
    assert_eq!(ids(&stage.page("page=2&page_size=4").await).len(), 4);
    script.extend(&format!("skill/{}", skill_id(1)), [Answer::Status(503)]);
    assert_eq!(stage.json(&format!("/api/v1/skills/{}", skill_id(0))).await.0, 200);
    assert_eq!(stage.json(&format!("/api/v1/skills/{}", skill_id(1))).await.0, 503);
    script.set_fallback(Answer::Unavailable { retry_after: None });
    assert_eq!(stage.get("/health").await.status(), 503);
}

#[tokio::test]
async fn an_outage_takes_everything_until_it_is_over() {
    let stage = Stage::filled(4).await;
    let mut socket = stage.connect().await.unwrap();
    stage.atom.set_down(true);
    assert_eq!(socket.end().await, None);
    for path in [SKILLS, "/api/v1/categories", "/health"] {
        assert!(stage.request("GET", path).send().await.is_err(), "{path}");
    }
    assert!(stage.connect().await.is_err());
    assert!(stage.atom.requests().iter().skip(1).all(|request| request.answer == "down"));
    stage.atom.set_down(false);
    assert_eq!(stage.get(SKILLS).await.status(), 200);
    assert!(stage.connect().await.is_ok());
}

#[tokio::test]
async fn everything_ends_when_it_is_dropped() {
    let stage = Stage::filled(1).await;
    let mut socket = stage.connect().await.unwrap();
    drop(stage);
    let ended = tokio::time::timeout(PATIENCE, socket.end()).await;
    assert_eq!(ended.unwrap(), None);
}
