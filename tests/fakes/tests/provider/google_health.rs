//! Google Health: filters, pages, numbers as texts, errors.

use serde_json::json;
use tidegate_fakes::provider::google_health::FakeGoogleHealth;

use crate::stage::{USER, clock, get, own, post};

async fn start() -> (FakeGoogleHealth, String) {
    let fake = FakeGoogleHealth::start(clock().0).await.unwrap();
    fake.fill(USER, 30);
    let token = fake.connect(USER).access_token;
    (fake, token)
}

fn points(fake: &FakeGoogleHealth, kind: &str, query: &str) -> String {
    format!("{}/users/me/dataTypes/{kind}/dataPoints?{query}", fake.base_url())
}

#[tokio::test]
async fn sessions_come_25_at_a_time_whatever_is_asked_for() {
    let (fake, token) = start().await;
    for query in ["", "pageSize=1000", "pageSize=0"] {
        let page = get(&points(&fake, "exercise", query), &token).await.json();
        assert_eq!(page["dataPoints"].as_array().unwrap().len(), 25, "{query}");
        let next = page["nextPageToken"].as_str().unwrap();
        let rest = format!("{query}&pageToken={next}");
        let page = get(&points(&fake, "exercise", &rest), &token).await.json();
        assert_eq!(page["dataPoints"].as_array().unwrap().len(), 5);
        assert_eq!(page["nextPageToken"], "");
    }
    let steps = get(&points(&fake, "steps", ""), &token).await.json();
    assert_eq!(steps["dataPoints"].as_array().unwrap().len(), 720, "others are not sessions");
}

#[tokio::test]
async fn a_position_is_good_for_its_own_query() {
    let (fake, token) = start().await;
    let page = get(&points(&fake, "sleep", ""), &token).await.json();
    let next = page["nextPageToken"].as_str().unwrap();
    let filter = "filter=sleep.interval.end_time+%3E%3D+%222026-01-01T00:00:00Z%22";
    let other = get(&points(&fake, "sleep", &format!("{filter}&pageToken={next}")), &token).await;
    assert_eq!(other.status, 400);
    assert_eq!(get(&points(&fake, "sleep", "pageToken=x"), &token).await.status, 400);
}

#[tokio::test]
async fn the_last_page_may_be_an_empty_object() {
    let (fake, token) = start().await;
    let filter = "filter=sleep.interval.end_time+%3C+%222020-01-01T00:00:00Z%22";
    assert_eq!(get(&points(&fake, "sleep", filter), &token).await.text, "{}");
}

#[tokio::test]
async fn a_member_that_is_not_supported_is_named() {
    let (fake, token) = start().await;
    let filter = "filter=sleep.interval.civil_start_time+%3E%3D+%222026-01-01%22";
    let refused = get(&points(&fake, "sleep", filter), &token).await;
    assert_eq!(refused.status, 400);
    let error = &refused.json()["error"];
    assert_eq!(error["status"], "INVALID_ARGUMENT");
    assert_eq!(
        error["message"],
        "Invalid data point filter: INVALID_DATA_POINT_FILTER_DATA_TYPE_MEMBER."
    );
    assert_eq!(error["details"][0]["reason"], "INVALID_DATA_POINT_FILTER");
    assert_eq!(
        error["details"][1]["fieldViolations"][0]["description"],
        "Member 'sleep.interval.civil_start_time' is not supported for filtering. (at line 1, \
         column 1)"
    );
}

#[tokio::test]
async fn numbers_of_64_bits_are_texts_and_intervals_have_no_name() {
    let (fake, token) = start().await;
    let steps = get(&points(&fake, "steps", "pageSize=1"), &token).await.json();
    let point = &steps["dataPoints"][0];
    assert_eq!((&point["steps"]["count"], point.get("name")), (&json!("44"), None));
    let exercise = get(&points(&fake, "exercise", "pageSize=1"), &token).await.json();
    let point = &exercise["dataPoints"][0];
    let summary = &point["exercise"]["metricsSummary"];
    assert_eq!(summary["averageHeartRateBeatsPerMinute"], "115");
    assert_eq!(summary["caloriesKcal"], 202);
    assert!(point["name"].is_string());
}

#[tokio::test]
async fn errors_are_googles() {
    let (fake, token) = start().await;
    let url = points(&fake, "sleep/7/x", "");
    let reply = get(&points(&fake, "exercise", ""), "other").await;
    assert_eq!((reply.status, &reply.json()["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
    assert_eq!(get(&url, &token).await.status, 404);
    assert_eq!(get(&points(&fake, "nonsense", ""), &token).await.status, 404);
    let narrow = fake.connect_with(USER, &[]).access_token;
    let reply = get(&points(&fake, "weight", ""), &narrow).await;
    assert_eq!(
        (reply.status, &reply.json()["error"]["status"]),
        (403, &json!("PERMISSION_DENIED"))
    );
    fake.spend(USER, 300);
    let reply = get(&points(&fake, "exercise", ""), &token).await;
    assert_eq!(
        (reply.status, &reply.json()["error"]["status"]),
        (429, &json!("RESOURCE_EXHAUSTED"))
    );
}

#[tokio::test]
async fn token_answers_are_googles() {
    let (fake, _) = start().await;
    let dead = own(&[("grant_type", "refresh_token"), ("refresh_token", "x")]);
    let reply = post(&fake.token_url(), false, &dead).await;
    let body = json!({"error": "invalid_grant", "error_description": "Bad Request"});
    assert_eq!((reply.status, reply.json()), (400, body));
    let refresh = fake.connect(USER).refresh_token;
    let form = own(&[("grant_type", "refresh_token"), ("refresh_token", &refresh)]);
    let answer = post(&fake.token_url(), false, &form).await.json();
    assert_eq!((answer.get("refresh_token"), &answer["expires_in"]), (None, &json!(3599)));
    let identity = format!("{}/users/me/identity", fake.base_url());
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(get(&identity, token).await.json()["healthUserId"], USER);
}
