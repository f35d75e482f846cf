//! Subscriptions to webhooks, and the signatures of what comes by them.

use std::time::Duration;

use tidegate_fakes::provider::CLIENT_SECRET;
use tidegate_fakes::provider::callback::Callback;
use tidegate_fakes::provider::oura::{SLEEP, night};
use tidegate_protocol::time::Timestamp;
use tidegate_services::provider::{ProviderError, signature};

use super::stage::{USER, google, oura, strava};
use crate::stage::START_MS;

const DAY: Duration = Duration::from_hours(24);

const VERIFY: &str = "verify-token-1";

const NOW: Timestamp = Timestamp::from_millis(START_MS);

#[tokio::test]
async fn strava_has_one_subscription_per_application() {
    let stage = strava().await;
    let callback = Callback::start(VERIFY).await.unwrap();
    stage.fake.set_callback_url("https://old.example/hook");
    stage.client.subscribe(&callback.url(), VERIFY, DAY).await.unwrap();
    assert_eq!(stage.fake.callback_url(), Some(callback.url()), "the old one was replaced");
    let before = stage.fake.calls();
    stage.client.subscribe(&callback.url(), VERIFY, DAY).await.unwrap();
    assert_eq!(stage.fake.calls() - before, 1, "it was only looked at");
    let query = callback.challenges().pop().unwrap();
    assert!(query.contains("hub.mode=subscribe") && query.contains(VERIFY), "{query}");
}

#[tokio::test]
async fn an_address_that_does_not_confirm_is_not_subscribed() {
    for token in ["another-token", VERIFY] {
        let callback = Callback::start(VERIFY).await.unwrap();
        let (strava, oura) = (strava().await, oura().await);
        let of_strava = strava.client.subscribe(&callback.url(), token, DAY).await;
        let of_oura = oura.client.subscribe(&callback.url(), token, DAY).await;
        if token == VERIFY {
            assert_eq!((of_strava, of_oura), (Ok(()), Ok(())));
        } else {
            for refused in [of_strava.unwrap_err(), of_oura.unwrap_err()] {
                assert!(matches!(refused, ProviderError::Refused { status: 400, .. }));
                assert!(!refused.to_string().contains(token));
            }
        }
    }
}

#[tokio::test]
async fn oura_has_one_for_each_event_and_type_and_they_are_renewed_in_time() {
    let stage = oura().await;
    let callback = Callback::start(VERIFY).await.unwrap();
    let subscribe = async || stage.client.subscribe(&callback.url(), VERIFY, 7 * DAY).await;
    subscribe().await.unwrap();
    let mut pairs: Vec<_> = stage
        .fake
        .subscriptions()
        .into_iter()
        .map(|known| format!("{} {}", known.data_type, known.event_type))
        .collect();
    pairs.sort();
    pairs.dedup();
    assert_eq!(pairs.len(), 9);
    let mut before = stage.fake.calls();
    let mut calls = || {
        let now = stage.fake.calls();
        now - std::mem::replace(&mut before, now)
    };
    stage.hands.advance(82 * DAY);
    subscribe().await.unwrap();
    assert_eq!(calls(), 1, "none ends within 7 days");
    stage.hands.advance(2 * DAY);
    subscribe().await.unwrap();
    assert_eq!(calls(), 10, "all were renewed");
    assert_eq!(stage.fake.subscriptions().len(), 9);
    subscribe().await.unwrap();
    assert_eq!(calls(), 1);
    let other = Callback::start(VERIFY).await.unwrap();
    stage.client.subscribe(&other.url(), VERIFY, 7 * DAY).await.unwrap();
    assert_eq!(stage.fake.subscriptions().len(), 18, "those of another address stay");
}

#[tokio::test]
async fn google_is_not_asked() {
    let stage = google().await;
    stage.client.subscribe("https://gate.example/hook", VERIFY, DAY).await.unwrap();
    assert_eq!(stage.fake.calls(), 0);
}

#[tokio::test]
async fn signatures_of_the_fakes_hold() {
    let callback = Callback::start(VERIFY).await.unwrap();
    let strava = strava().await;
    strava.fake.set_callback_url(&callback.url());
    strava.fake.sign_events(true);
    strava.fake.deliver(&strava.fake.activity_event(USER, "7", "create")).await;
    let oura = oura().await;
    oura.fake.set_callback_url(&callback.url());
    oura.fake.make_events(true);
    oura.fake.put_document(USER, SLEEP, night("n1", START_MS, 28_800, 0));
    oura.fake.deliver(&oura.fake.take_events()[0]).await;
    let [of_strava, of_oura] = callback.deliveries().try_into().unwrap();
    let header = |headers: &reqwest::header::HeaderMap, name: &str| {
        headers[name].to_str().unwrap().to_owned()
    };
    let value = header(&of_strava.headers, "x-strava-signature");
    assert!(signature::strava(CLIENT_SECRET, &value, of_strava.body.as_bytes(), NOW));
    let value = header(&of_oura.headers, "x-oura-signature");
    let timestamp = header(&of_oura.headers, "x-oura-timestamp");
    let body = of_oura.body.as_bytes();
    assert!(signature::oura(CLIENT_SECRET, &value, &timestamp, body, NOW));
    assert_eq!(value, value.to_uppercase());
    assert!(!signature::oura("other", &value, &timestamp, body, NOW));
}
