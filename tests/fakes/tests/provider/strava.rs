//! Strava: order, pages, scopes, windows, tokens.

use std::time::Duration;

use serde_json::json;
use tidegate_clock::Hands;
use tidegate_fakes::provider::strava::{FakeStrava, activity};
use tidegate_fakes::provider::{CLIENT_ID, CLIENT_SECRET, Rotation};

use crate::stage::{DAY_MS, START_MS, USER, clock, get, ids, own, post};

async fn start() -> (FakeStrava, Hands) {
    let (clock, hands) = clock();
    (FakeStrava::start(clock).await.unwrap(), hands)
}

fn fault(message: &str, resource: &str, field: &str, code: &str) -> serde_json::Value {
    json!({
        "message": message,
        "errors": [{"resource": resource, "field": field, "code": code}],
    })
}

#[tokio::test]
async fn lists_are_newest_first_unless_after_is_given() {
    let (fake, _) = start().await;
    for id in 1..=40_i64 {
        let number = u64::try_from(id).unwrap();
        fake.put_activity(USER, activity(number, START_MS - DAY_MS + id * 1000, 60, "Run"));
    }
    let token = fake.connect(USER).access_token;
    let list = async |query: &str| {
        let reply = get(&format!("{}/athlete/activities?{query}", fake.base_url()), &token).await;
        assert_eq!(reply.status, 200, "{query}");
        ids(&reply.json())
    };
    let newest: Vec<u64> = (11..=40).rev().collect();
    assert_eq!(list("").await, newest, "30 by default");
    assert_eq!(list("page=2").await, (1..=10).rev().collect::<Vec<_>>());
    assert!(list("page=3").await.is_empty());
    let begin_s = (START_MS - DAY_MS) / 1000;
    let after = format!("after={}&per_page=3", begin_s + 10);
    assert_eq!(list(&after).await, [11, 12, 13], "it is open, and oldest come first");
    assert_eq!(list(&format!("before={}", begin_s + 3)).await, [2, 1]);
    assert_eq!(list("per_page=1000").await.len(), 40);
    for bad in ["page=0", "per_page=x", "after=x"] {
        let reply = get(&format!("{}/athlete/activities?{bad}", fake.base_url()), &token).await;
        assert_eq!(reply.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn at_most_200_are_on_a_page() {
    let (fake, _) = start().await;
    fake.fill(USER, 250, 60);
    let token = fake.connect(USER).access_token;
    let reply = get(&format!("{}/athlete/activities?per_page=250", fake.base_url()), &token).await;
    assert_eq!(ids(&reply.json()).len(), 200);
}

#[tokio::test]
async fn every_answer_of_the_api_says_how_the_windows_stand() {
    let (fake, hands) = start().await;
    let token = fake.connect(USER).access_token;
    let ask =
        async |path: &str, token: &str| get(&format!("{}{path}", fake.base_url()), token).await;
    for (used, (path, token, status)) in (1..).zip([
        ("/athlete", token.as_str(), 200),
        ("/athlete", "other", 401),
        ("/activities/9", token.as_str(), 404),
    ]) {
        let reply = ask(path, token).await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("x-ratelimit-limit"), "200,2000");
        assert_eq!(reply.header("x-ratelimit-usage"), format!("{used},{used}"));
        assert_eq!(reply.header("x-readratelimit-limit"), "100,1000");
        assert_eq!(reply.header("x-readratelimit-usage"), format!("{used},{used}"));
    }
    fake.spend(USER, 97);
    let over = ask("/athlete", &token).await;
    assert_eq!((over.status, over.header("x-readratelimit-usage")), (429, "101,101"));
    let body = fault("Rate Limit Exceeded", "Application", "rate limit", "exceeded");
    assert_eq!((over.json(), over.header("retry-after")), (body, ""));
    // Quarters begin at :00, :15, :30 and :45; it is 11:06:40.
    hands.advance(Duration::from_secs(8 * 60 + 19));
    assert_eq!(ask("/athlete", &token).await.status, 429);
    hands.advance(Duration::from_secs(1));
    let free = ask("/athlete", &token).await;
    assert_eq!((free.status, free.header("x-readratelimit-usage")), (200, "1,103"));
    fake.spend(USER, 900);
    hands.advance(Duration::from_mins(15));
    assert_eq!(ask("/athlete", &token).await.status, 429, "the day is spent");
    hands.advance(Duration::from_mins(12 * 60 + 45));
    let token = fake.connect(USER).access_token;
    assert_eq!(ask("/athlete", &token).await.header("x-ratelimit-usage"), "1,1", "midnight UTC");
    fake.spend(USER, 5000);
    fake.limit_requests(false);
    assert_eq!(ask("/athlete", &token).await.status, 200);
}

#[tokio::test]
async fn both_token_paths_take_both_grants_and_refuse_by_name() {
    let (fake, hands) = start().await;
    let refuse = async |form: &[(&str, &str)]| {
        let reply = post(&fake.token_url(), false, form).await;
        assert_eq!(reply.status, 400);
        reply.json()
    };
    let wrong = [("client_id", "x"), ("client_secret", CLIENT_SECRET)];
    assert_eq!(refuse(&wrong).await, fault("Bad Request", "Application", "client_id", "invalid"));
    let wrong = [("client_id", CLIENT_ID), ("client_secret", "x")];
    assert_eq!(
        refuse(&wrong).await,
        fault("Bad Request", "Application", "client_secret", "invalid")
    );
    let code = own(&[("grant_type", "authorization_code"), ("code", "x")]);
    assert_eq!(refuse(&code).await, fault("Bad Request", "AuthorizationCode", "code", "invalid"));
    let dead = own(&[("grant_type", "refresh_token"), ("refresh_token", "x")]);
    assert_eq!(
        refuse(&dead).await,
        fault("Bad Request", "RefreshToken", "refresh_token", "invalid")
    );
    let pair = fake.connect(USER);
    let form = own(&[("grant_type", "refresh_token"), ("refresh_token", &pair.refresh_token)]);
    let other_path = format!("{}/oauth/token", fake.base_url());
    hands.advance(Duration::from_secs(1000));
    let same = post(&other_path, false, &form).await.json();
    assert_eq!(same["access_token"], pair.access_token.as_str());
    assert_eq!(same["expires_in"], 20_600);
    assert_eq!(same.get("athlete"), None);
    fake.set_rotation(Rotation::Repeated);
    hands.advance(Duration::from_secs(20_000));
    let next = post(&other_path, false, &form).await.json();
    assert_ne!(next["access_token"], pair.access_token.as_str());
    assert_eq!(next["refresh_token"], pair.refresh_token.as_str(), "it does not rotate now");
}

#[tokio::test]
async fn revoking_is_forgiving_and_deauthorizing_is_not() {
    let (fake, _) = start().await;
    let pair = fake.connect(USER);
    let revoke = fake.revoke_url();
    assert_eq!(post(&revoke, false, &[("token", "x")]).await.status, 401);
    assert_eq!(post(&revoke, true, &[]).await.status, 400);
    assert_eq!(post(&revoke, true, &[("token", "unknown")]).await.status, 200);
    let reply = post(&revoke, true, &[("token", &pair.refresh_token)]).await;
    assert_eq!((reply.status, reply.text.as_str()), (200, ""));
    let athlete = format!("{}/athlete", fake.base_url());
    assert_eq!(get(&athlete, &pair.access_token).await.status, 401);
    let pair = fake.connect(USER);
    let old_way = revoke.replace("revoke", "deauthorize");
    let form = [("access_token", pair.access_token.as_str())];
    assert_eq!(
        post(&old_way, false, &form).await.json(),
        json!({"access_token": pair.access_token})
    );
    assert_eq!(post(&old_way, false, &form).await.status, 401);
}

#[tokio::test]
async fn users_have_what_is_theirs() {
    let (fake, _) = start().await;
    fake.put_activity("1", activity(5, START_MS, 60, "Run"));
    let token = fake.connect("2").access_token;
    let reply = get(&format!("{}/activities/5", fake.base_url()), &token).await;
    assert_eq!(reply.status, 404);
    let reply = get(&format!("{}/elsewhere", fake.base_url()), &token).await;
    assert_eq!(reply.status, 404);
    let calls: Vec<_> = fake.requests().iter().map(|request| request.call).collect();
    assert_eq!(calls, ["one", "unknown"]);
}
