//! Fitbit: gone by default, and what it was before.

use serde_json::json;
use tidegate_fakes::provider::fitbit::{ACTIVITY, FakeFitbit, activity};

use crate::stage::{DAY_MS, START_MS, USER, clock, get, post};

async fn start() -> (FakeFitbit, String) {
    let fake = FakeFitbit::start(clock().0).await.unwrap();
    fake.set_gone(false);
    fake.fill(USER, 10);
    let token = fake.connect(USER).access_token;
    (fake, token)
}

#[tokio::test]
async fn everything_is_gone_at_first() {
    let fake = FakeFitbit::start(clock().0).await.unwrap();
    let token = fake.connect(USER).access_token;
    for path in ["/1/user/-/profile.json", "/1/user/-/activities/list.json", "/elsewhere"] {
        assert_eq!(get(&format!("{}{path}", fake.base_url()), &token).await.status, 410, "{path}");
    }
    assert_eq!(get(&fake.authorize_url(), "").await.status, 410);
    assert_eq!(post(&fake.token_url(), true, &[]).await.status, 410);
    assert_eq!(post(&fake.revoke_url(), true, &[]).await.status, 410);
}

#[tokio::test]
async fn links_lead_on_and_only_they_do() {
    let (fake, token) = start().await;
    for id in 100..250 {
        fake.put(USER, ACTIVITY, activity(id, START_MS - 5 * DAY_MS, 60, "Run"));
    }
    fake.set_link_host(&fake.base_url());
    let list = format!("{}/1/user/-/activities/list.json", fake.base_url());
    let url = format!("{list}?afterDate=2026-11-01&sort=asc&limit=100&offset=0");
    let first = get(&url, &token).await.json();
    assert_eq!(first["activities"].as_array().unwrap().len(), 100);
    let next = first["pagination"]["next"].as_str().unwrap();
    let end = get(next, &token).await.json();
    assert_eq!(end["activities"].as_array().unwrap().len(), 60);
    assert_eq!(end["pagination"]["next"], "");
    for bad in [
        "",
        "afterDate=2026-11-01&sort=desc&limit=100&offset=0",
        "afterDate=2026-11-01&beforeDate=2026-11-02&sort=asc&limit=100&offset=0",
        "afterDate=2026-11-01&sort=asc&limit=101&offset=0",
        "afterDate=2026-11-01&sort=asc&limit=100&offset=100",
        "afterDate=yesterday&sort=asc&limit=100&offset=0",
        "afterDate=2026-11-01&sort=asc&limit=100",
    ] {
        let refused = get(&format!("{list}?{bad}"), &token).await;
        assert_eq!(refused.status, 400, "{bad}");
        assert_eq!(refused.json()["errors"][0]["errorType"], "validation");
    }
}

#[tokio::test]
async fn ranges_have_bounds_and_steps_are_texts() {
    let (fake, token) = start().await;
    let ask = async |path: &str| get(&format!("{}{path}", fake.base_url()), &token).await;
    let steps = ask("/1/user/-/activities/steps/date/2026-11-16/2026-11-18.json").await.json();
    let day = |date: &str, value: &str| json!({"dateTime": date, "value": value});
    assert_eq!(
        steps["activities-steps"],
        json!([day("2026-11-16", "13474"), day("2026-11-17", "13474"), day("2026-11-18", "0")])
    );
    let nights = ask("/1.2/user/-/sleep/date/2026-11-16/2026-11-18.json").await.json();
    assert_eq!(nights["sleep"].as_array().unwrap().len(), 2);
    assert_eq!(ask("/1.2/user/-/sleep/date/2026-01-01/2026-04-10.json").await.status, 200);
    for bad in ["2026-01-01/2026-04-11.json", "2026-01-02/2026-01-01.json", "x/y.json"] {
        assert_eq!(ask(&format!("/1.2/user/-/sleep/date/{bad}")).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn each_user_has_150_an_hour() {
    let (fake, token) = start().await;
    let url = format!("{}/1/user/-/profile.json", fake.base_url());
    let first = get(&url, &token).await;
    assert_eq!(first.header("fitbit-rate-limit-limit"), "150");
    assert_eq!(first.header("fitbit-rate-limit-remaining"), "149");
    assert_eq!(first.header("fitbit-rate-limit-reset"), "3200");
    fake.spend(USER, 149);
    let over = get(&url, &token).await;
    assert_eq!((over.status, over.header("retry-after")), (429, "3200"));
    assert_eq!(
        over.json(),
        json!({
            "errors": [
                {"errorType": "system", "fieldName": "n/a", "message": "Too Many Requests"}
            ],
            "success": false,
        })
    );
    assert_eq!(get(&url, &fake.connect("2").access_token).await.status, 200);
    let expired = get(&url, "other").await.json();
    assert_eq!(expired["errors"][0]["errorType"], "expired_token");
}
