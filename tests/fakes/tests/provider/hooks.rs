//! Webhooks: handshakes, deliveries, and what may go wrong with them.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_fakes::provider::callback::Callback;
use tidegate_fakes::provider::fitbit::{FakeFitbit, Fitbit};
use tidegate_fakes::provider::google_health::{FakeGoogleHealth, GoogleHealth};
use tidegate_fakes::provider::oura::{FakeOura, SLEEP, night};
use tidegate_fakes::provider::strava::{FakeStrava, activity};

use crate::stage::{START_MS, USER, clock, own, post};

const VERIFY: &str = "verify-1";

#[tokio::test]
async fn strava_subscribes_who_gives_the_challenge_back() {
    let fake = FakeStrava::start(clock().0).await.unwrap();
    let callback = Callback::start(VERIFY).await.unwrap();
    let url = format!("{}/push_subscriptions", fake.base_url());
    let address = callback.url();
    let subscribe = async |token: &str| {
        let form = own(&[("callback_url", address.as_str()), ("verify_token", token)]);
        post(&url, false, &form).await
    };
    assert_eq!(subscribe("wrong").await.status, 400);
    let made = subscribe(VERIFY).await;
    assert_eq!((made.status, made.json()["id"].is_u64()), (201, true));
    assert_eq!(subscribe(VERIFY).await.status, 400, "there is one already");
    assert_eq!(fake.callback_url(), Some(address.clone()));
    let long = format!("{address}?{}", "x".repeat(255));
    let form = own(&[("callback_url", long.as_str()), ("verify_token", VERIFY)]);
    assert_eq!(post(&url, false, &form).await.status, 400);
}

#[tokio::test]
async fn an_event_is_delivered_three_times_at_most() {
    let fake = FakeStrava::start(clock().0).await.unwrap();
    let callback = Callback::start(VERIFY).await.unwrap();
    let event = fake.activity_event(USER, "7", "create");
    assert!(fake.deliver(&event).await.is_empty(), "nobody is subscribed");
    fake.set_callback_url(&callback.url());
    callback.answer_with([500, 503]);
    assert_eq!(fake.deliver(&event).await, [Some(500), Some(503), Some(200)]);
    callback.answer_with([500, 500, 500, 500]);
    assert_eq!(fake.deliver(&event).await.len(), 3);
    fake.set_callback_url("http://127.0.0.1:9/nobody");
    assert_eq!(fake.deliver(&event).await, [None, None, None]);
}

#[tokio::test]
async fn changes_make_events_that_may_come_twice_and_in_any_order() {
    let fake = FakeStrava::start(clock().0).await.unwrap();
    let callback = Callback::start(VERIFY).await.unwrap();
    fake.set_callback_url(&callback.url());
    fake.put_activity("9", activity(1, START_MS, 60, "Run"));
    fake.make_events(true);
    fake.put_activity(USER, activity(7, START_MS, 60, "Run"));
    fake.put_activity(USER, activity(7, START_MS, 90, "Run"));
    fake.remove_activity(USER, "7");
    fake.remove_activity(USER, "7");
    let pair = fake.connect(USER);
    post(&fake.revoke_url(), true, &[("token", &pair.refresh_token)]).await;
    let events = fake.take_events();
    assert!(fake.take_events().is_empty());
    for event in events.iter().rev().chain(&events) {
        assert_eq!(fake.deliver(event).await, [Some(200)]);
    }
    let told: Vec<_> = callback
        .deliveries()
        .iter()
        .map(|delivery| {
            assert!(!delivery.headers.contains_key("x-strava-signature"));
            let body: Value = serde_json::from_str(&delivery.body).unwrap();
            assert_eq!(body["owner_id"], 1513);
            format!(
                "{} {}",
                body["object_type"].as_str().unwrap(),
                body["aspect_type"].as_str().unwrap()
            )
        })
        .collect();
    let in_order = ["activity create", "activity update", "activity delete", "athlete update"];
    assert_eq!(told[4..], in_order);
    assert_eq!(told[..4].iter().rev().collect::<Vec<_>>(), in_order.iter().collect::<Vec<_>>());
    let last: Value = serde_json::from_str(&events[3].body).unwrap();
    assert_eq!(last["updates"], json!({"authorized": "false"}));
}

#[tokio::test]
async fn ouras_subscriptions_end() {
    let (clock, hands) = clock();
    let fake = FakeOura::start(clock).await.unwrap();
    let callback = Callback::start(VERIFY).await.unwrap();
    fake.set_callback_url(&callback.url());
    assert_eq!(fake.subscriptions().len(), 9);
    fake.make_events(true);
    fake.put_document(USER, SLEEP, night("n", START_MS, 28_800, 0));
    let event = fake.take_events().remove(0);
    let body: Value = serde_json::from_str(&event.body).unwrap();
    assert_eq!(
        body,
        json!({
            "event_type": "create",
            "data_type": "sleep",
            "object_id": "n",
            "event_time": "2026-11-18T11:06:40+00:00",
            "user_id": USER,
        })
    );
    assert_eq!(fake.deliver(&event).await, [Some(200)]);
    fake.sign_events(false);
    assert_eq!(fake.deliver(&event).await, [Some(200)]);
    let signed: Vec<_> = callback
        .deliveries()
        .iter()
        .map(|delivery| delivery.headers.contains_key("x-oura-signature"))
        .collect();
    assert_eq!(signed, [true, false]);
    hands.advance(Duration::from_hours(90 * 24));
    assert!(fake.deliver(&event).await.is_empty());
}

#[tokio::test]
async fn google_shakes_hands_twice() {
    let fake = FakeGoogleHealth::start(clock().0).await.unwrap();
    let callback = Callback::start("Bearer hook-secret").await.unwrap();
    assert!(fake.handshake(&callback.url(), "Bearer hook-secret").await);
    assert!(!fake.handshake(&callback.url(), "Bearer other").await);
    let url = format!("{}/projects/7/subscribers?subscriberId=sub-1", fake.base_url());
    let subscribe = async |secret: &str| {
        let body = json!({
            "endpointUri": callback.url(),
            "subscriberConfigs": [
                {"dataTypes": ["sleep"], "subscriptionCreatePolicy": "AUTOMATIC"}
            ],
            "endpointAuthorization": {"secret": secret},
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(&url).bearer_auth("service-account").json(&body);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(subscribe("Bearer other").await, 400);
    assert_eq!(subscribe("Bearer hook-secret").await, 200);
    assert_eq!(subscribe("Bearer hook-secret").await, 409);
    let span_ms = (START_MS - 1000, START_MS);
    let events = [fake.notification(USER, "sleep", span_ms), fake.removal(USER, "steps", span_ms)];
    assert_eq!(fake.deliver(&GoogleHealth::joined(&events)).await, [Some(200)]);
    let delivery = callback.deliveries().remove(0);
    assert_eq!(delivery.headers["authorization"], "Bearer hook-secret");
    let told: Value = serde_json::from_str(&delivery.body).unwrap();
    assert_eq!(told[0]["data"]["operation"], "UPSERT");
    assert_eq!(told[1]["data"]["dataType"], "steps");
    assert_eq!(
        told[0]["data"]["intervals"][0]["physicalTimeInterval"],
        json!({"startTime": "2026-11-18T11:06:39Z", "endTime": "2026-11-18T11:06:40Z"})
    );
}

#[tokio::test]
async fn fitbit_wants_204_for_the_code_and_404_for_another() {
    let fake = FakeFitbit::start(clock().0).await.unwrap();
    let callback = Callback::start(VERIFY).await.unwrap();
    assert!(fake.is_verified(&callback.url(), VERIFY).await);
    assert!(!fake.is_verified(&callback.url(), "other").await);
    let event = Fitbit::notification("37FDYX", "activities", "2017-11-13");
    callback.answer_with([204]);
    assert_eq!(fake.deliver(&callback.url(), &event).await, [Some(204)]);
    assert!(callback.deliveries()[0].headers.contains_key("x-fitbit-signature"));
}
