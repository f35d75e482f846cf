//! Oura: dates, pages, the sandbox, errors.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_fakes::provider::answer::Answer;
use tidegate_fakes::provider::oura::FakeOura;

use crate::stage::{USER, clock, get, own, post};

async fn start() -> (FakeOura, String) {
    let fake = FakeOura::start(clock().0).await.unwrap();
    fake.fill(USER, 10);
    let token = fake.connect(USER).access_token;
    (fake, token)
}

fn days(page: &Value) -> Vec<&str> {
    let data = page["data"].as_array().unwrap();
    data.iter().map(|document| document["day"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn dates_are_yesterday_and_today_unless_they_are_given() {
    let (fake, token) = start().await;
    let list = async |query: &str| {
        get(&format!("{}/usercollection/workout?{query}", fake.base_url()), &token).await
    };
    assert_eq!(days(&list("").await.json()), ["2026-11-17"]);
    let some = list("start_date=2026-11-10&end_date=2026-11-12").await.json();
    assert_eq!(days(&some), ["2026-11-10", "2026-11-11", "2026-11-12"]);
    assert_eq!(some["next_token"], Value::Null);
    assert_eq!(list("start_date=2026-11-12&end_date=2026-11-10").await.status, 400);
    let bad = list("start_date=12.11.2026").await;
    assert_eq!(bad.status, 422);
    assert_eq!(bad.json()["detail"][0]["loc"], json!(["query", "start_date"]));
}

#[tokio::test]
async fn next_token_leads_on_within_its_own_query() {
    let (fake, token) = start().await;
    fake.set_page_items(4);
    let list = async |query: &str| {
        get(&format!("{}/usercollection/sleep?{query}", fake.base_url()), &token).await
    };
    let query = "start_date=2026-11-01&end_date=2026-11-30";
    let (mut position, mut found) = (String::new(), 0);
    for left in [6, 2, 0] {
        let page = list(&format!("{query}{position}")).await.json();
        found += days(&page).len();
        assert_eq!(found, 10 - left);
        let next = page["next_token"].as_str();
        assert_eq!(next.is_some(), left > 0);
        position = format!("&next_token={}", next.unwrap_or_default());
    }
    let first = list(query).await.json();
    let next = first["next_token"].as_str().unwrap();
    let other = format!("start_date=2026-11-02&end_date=2026-11-30&next_token={next}");
    assert_eq!(list(&other).await.status, 400);
}

#[tokio::test]
async fn the_sandbox_takes_any_token_and_never_changes() {
    let (fake, _) = start().await;
    let url = format!("{}/usercollection/sleep", fake.sandbox_url());
    let reply = get(&url, "whatever").await;
    assert_eq!((reply.status, days(&reply.json()).len()), (200, 3));
    assert_eq!(days(&reply.json())[2], "2022-07-13");
    assert_eq!(get(&url, "").await.status, 401);
    let info = format!("{}/usercollection/personal_info", fake.sandbox_url());
    assert_eq!(get(&info, "whatever").await.status, 404);
}

#[tokio::test]
async fn errors_have_a_detail() {
    let (fake, token) = start().await;
    let url = format!("{}/usercollection/daily_activity", fake.base_url());
    assert!(get(&url, "other").await.json()["detail"].is_string());
    assert_eq!(get(&format!("{url}/x"), &token).await.status, 404);
    let narrow = fake.connect_with(USER, &["workout"]).access_token;
    assert_eq!(get(&url, &narrow).await.status, 403);
    fake.script().extend("list/daily_activity", [Answer::Status(426), Answer::Status(422)]);
    assert_eq!(get(&url, &token).await.status, 426);
    assert!(get(&url, &token).await.json()["detail"].is_array());
}

#[tokio::test]
async fn five_thousand_in_five_minutes_for_everybody() {
    let (clock, hands) = clock();
    let fake = FakeOura::start(clock).await.unwrap();
    let (one, two) = (fake.connect("1").access_token, fake.connect("2").access_token);
    let url = format!("{}/usercollection/workout", fake.base_url());
    fake.spend("1", 4999);
    let last = get(&url, &two).await;
    assert_eq!((last.status, last.header("x-ratelimit-limit")), (200, "5000"));
    let over = get(&url, &one).await;
    assert_eq!((over.status, over.header("retry-after")), (429, "200"));
    hands.advance(Duration::from_secs(200));
    assert_eq!(get(&url, &one).await.status, 200);
}

#[tokio::test]
async fn refresh_tokens_work_once() {
    let (fake, _) = start().await;
    let pair = fake.connect(USER);
    let form = own(&[("grant_type", "refresh_token"), ("refresh_token", &pair.refresh_token)]);
    let next = post(&fake.token_url(), false, &form).await.json();
    assert_ne!(next["refresh_token"], pair.refresh_token.as_str());
    let again = post(&fake.token_url(), false, &form).await;
    assert_eq!((again.status, again.json()), (400, json!({"error": "invalid_grant"})));
    let revoke = format!("{}?access_token={}", fake.revoke_url(), pair.access_token);
    assert_eq!(post(&revoke, false, &[]).await.status, 200);
    assert_eq!(post(&revoke, false, &[]).await.status, 401);
}
