//! Connecting, coming back, and disconnecting.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_fakes::provider::answer::Answer as Said;

use crate::integrations::world::{FITBIT, GOOGLE, OURA, STRAVA, Stage, World};
use crate::support::{Setup, Token, eventually};

/// Of each provider: the way from the phone to the provider and back, a first run,
/// and what it read.
#[tokio::test]
async fn a_user_connects_and_has_the_data() {
    let world = World::start().await;
    world.providers.strava.fill("1001", 3, 86_400);
    world.providers.google.fill("g1", 3);
    world.providers.oura.fill("o1", 3);
    world.providers.fitbit.fill("f1", 3);
    for (provider, account) in [(STRAVA, "1001"), (GOOGLE, "g1"), (OURA, "o1"), (FITBIT, "f1")] {
        let view = world.connect("ana", provider, account).await;
        assert_eq!(view["sync_status"], "idle", "{view}");
        assert_eq!(view["connected"], true, "{view}");
        assert!(view["last_synced_at"].is_string(), "{view}");
        assert!(view["next_sync_at"].as_str() > view["last_synced_at"].as_str(), "{view}");
        assert!(!view["scopes"].as_array().unwrap().is_empty(), "{view}");
        let path = format!("/api/v1/activities?canonical=false&source={provider}");
        let list = world.phone("ana").get(&path).await.expect(200);
        assert_eq!(list["items"].as_array().unwrap().len(), 3, "{provider}: {list}");
        let connect = ("ana".to_owned(), "integration.connect".to_owned());
        assert_eq!(world.audit("ana", provider).await, [connect]);
    }
    let nights = world.phone("ana").get("/api/v1/sleep?canonical=false").await.expect(200);
    assert!(nights["items"].as_array().unwrap().len() >= 6, "{nights}");
    let other = world.view("bob", STRAVA).await;
    assert_eq!(other, json!({ "provider": "strava", "connected": false, "sync_status": "idle" }));
}

/// A state is good once, for its provider, and for ten minutes.
#[tokio::test]
async fn a_state_is_good_once() {
    let world = World::start().await;
    let page = world.begin("ana", STRAVA, None).await;
    let back = world.consent(STRAVA, "1001", page).await;
    let other = back.replace("/strava/", "/oura/");
    world.nobody().get(&other).await.expect_error(400, "invalid_state");
    world.nobody().get(&back).await.expect_error(400, "invalid_state");

    let page = world.begin("ana", STRAVA, None).await;
    let back = world.consent(STRAVA, "1001", page).await;
    world.nobody().get(&back).await.expect(200);
    world.nobody().get(&back).await.expect_error(400, "invalid_state");

    let page = world.begin("ana", STRAVA, None).await;
    let back = world.consent(STRAVA, "1001", page).await;
    world.gateway.move_clock(Duration::from_mins(10));
    world.nobody().get(&back).await.expect_error(400, "invalid_state");
    for query in ["", "?state=", "?code=x", "?state=made-up&code=x", "?error=access_denied"] {
        let path = format!("/api/v1/integrations/strava/callback{query}");
        world.nobody().get(&path).await.expect_error(400, "invalid_state");
    }
    world.nobody().get("/api/v1/integrations/garmin/callback").await.expect_error(404, "not_found");
}

/// Who says no, gives too little, or brings a bad code, is told so, by us or by the
/// app.
#[tokio::test]
async fn a_refused_connection_says_why() {
    let world = World::start().await;
    let app = "https://app.example/done?x=1";
    let strava = &world.providers.strava;
    for (is_denied, scopes, said, status, code) in [
        (true, None, None, 400, "connect_refused"),
        (false, Some(["read"].as_slice()), None, 400, "connect_refused"),
        (false, None, Some(Said::Status(400)), 400, "connect_refused"),
        (false, None, Some(Said::Status(500)), 503, "unavailable"),
        (false, None, Some(Said::Drop), 503, "unavailable"),
        (false, None, Some(Said::NotJson), 503, "unavailable"),
    ] {
        strava.deny(is_denied);
        strava.grant_only(scopes);
        let back = async |return_url| {
            let page = world.begin("ana", STRAVA, return_url).await;
            let back = world.consent(STRAVA, "1001", page).await;
            strava.script().extend("token", said.clone());
            back
        };
        world.nobody().get(&back(None).await).await.expect_error(status, code);
        let to = world.sent_on(&back(Some(app)).await).await;
        let expected = format!("{app}&provider=strava&status=error&error={code}");
        assert_eq!(to, expected);
    }
    strava.grant_only(None);
    assert_eq!(world.view("ana", STRAVA).await["connected"], false);
    let page = world.begin("ana", STRAVA, Some(app)).await;
    let to = world.sent_on(&world.consent(STRAVA, "1001", page).await).await;
    assert_eq!(to, "https://app.example/done?x=1&provider=strava&status=connected");
    // What was granted too little was given back.
    let revoked = strava.requests().iter().filter(|request| request.call == "revoke").count();
    assert_eq!(revoked, 2);
}

/// Only where the settings allow it is a browser sent on.
#[tokio::test]
async fn a_browser_is_sent_only_where_it_is_allowed() {
    let world = World::start().await;
    let path = "/api/v1/integrations/strava/connect";
    for url in [
        "https://app.example.evil/done",
        "https://app.example@evil/done",
        "https://app.example/doner",
        "http://app.example/done",
        "javascript:alert(1)",
        "/done",
        "",
    ] {
        let answer = world.phone("ana").post(path, &json!({ "return_url": url })).await;
        let error = answer.expect_error(422, "invalid");
        assert_eq!(error["details"][0]["field"], "return_url", "{url}");
    }
    let long = format!("https://app.example/done?{}", "x".repeat(2_048));
    world.phone("ana").post(path, &json!({ "return_url": long })).await.expect(422);
}

/// What is not set up is not offered.
#[tokio::test]
async fn a_provider_that_is_not_set_up_is_not_offered() {
    let gateway = crate::support::Gateway::start().await;
    let phone = gateway.caller("ana", &Token::device("ana").sign()).quiet();
    let connect = async |provider: &str| {
        phone.post(&format!("/api/v1/integrations/{provider}/connect"), &json!({})).await
    };
    connect(STRAVA).await.expect_error(501, "not_supported");
    connect(FITBIT).await.expect_error(410, "provider_gone");
    connect("garmin").await.expect_error(404, "not_found");
    let sync = "/api/v1/integrations/strava/sync";
    phone.call(Method::POST, sync, None).await.expect_error(404, "not_found");
    phone.delete("/api/v1/integrations/strava").await.expect(204);
    let list = phone.get("/api/v1/integrations").await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 4);
    phone.get("/api/v1/integrations?user_id=bob").await.expect_error(403, "forbidden");
    let coach = gateway.caller("coach", &Token::service("coach").sign()).quiet();
    coach.get("/api/v1/integrations").await.expect_error(422, "invalid");
    coach.get("/api/v1/integrations?user_id=ana").await.expect(200);
}

/// Tokens are gone and revoked, what was read stays, and nothing is asked any more.
#[tokio::test]
async fn a_user_disconnects_and_keeps_the_data() {
    let world = World::start().await;
    world.providers.strava.fill("1001", 2, 86_400);
    world.connect("ana", STRAVA, "1001").await;
    let coach = world.gateway.caller("coach", &Token::service("coach").sign()).quiet();
    coach.delete("/api/v1/integrations/strava?user_id=ana").await.expect(204);
    let view = world.view("ana", STRAVA).await;
    assert_eq!(view["connected"], false, "{view}");
    assert_eq!(view["next_sync_at"], Value::Null, "{view}");
    assert_eq!(world.activities("ana").await.len(), 2);
    assert!(world.providers.strava.pairs_of("1001").is_empty());
    let disconnect = ("coach".to_owned(), "integration.disconnect".to_owned());
    assert_eq!(world.audit("ana", STRAVA).await.last(), Some(&disconnect));
    let sync = "/api/v1/integrations/strava/sync";
    world.phone("ana").call(Method::POST, sync, None).await.expect_error(404, "not_found");
    let calls = world.providers.strava.calls();
    world.pass(Duration::from_hours(2)).await;
    world.look().await;
    assert_eq!(world.providers.strava.calls(), calls);
    // Again is no error, and nothing happens.
    world.phone("ana").delete("/api/v1/integrations/strava").await.expect(204);
    assert_eq!(world.audit("ana", STRAVA).await.len(), 2);
}

/// A provider that cannot be reached keeps nobody connected.
#[tokio::test]
async fn a_provider_that_is_down_does_not_keep_a_user_connected() {
    let world = World::start().await;
    world.connect("ana", OURA, "o1").await;
    world.providers.oura.set_down(true);
    world.phone("ana").delete("/api/v1/integrations/oura").await.expect(204);
    assert_eq!(world.view("ana", OURA).await["connected"], false);
}

/// One run at a time; a coach may ask for it.
#[tokio::test]
async fn one_run_at_a_time_is_asked_for() {
    let world = World::start().await;
    world.connect("ana", STRAVA, "1001").await;
    world.providers.strava.script().set_standing("list", Some(Said::Hang));
    let sync = "/api/v1/integrations/strava/sync";
    let coach = world.gateway.caller("coach", &Token::service("coach").sign()).quiet();
    let answer = coach.call(Method::POST, &format!("{sync}?user_id=ana"), None).await;
    let accepted = answer.expect(202);
    assert_eq!(accepted["status"], "accepted");
    assert!(accepted["sync_id"].is_string());
    let again = async || world.phone("ana").call(Method::POST, sync, None).await;
    again().await.expect_error(409, "sync_already_in_progress");
    assert_eq!(world.view("ana", STRAVA).await["sync_status"], "syncing");
    eventually("the request", async || {
        (world.providers.strava.calls_of("1001", Some("list")) >= 2).then_some(())
    })
    .await;
    again().await.expect_error(409, "sync_already_in_progress");
}

/// What Fitbit says today: its service was switched off, for good.
#[tokio::test]
async fn fitbit_is_gone() {
    let world = World::start().await;
    world.connect("ana", FITBIT, "f1").await;
    world.providers.fitbit.set_gone(true);
    let view = world.sync("ana", FITBIT).await;
    assert_eq!(view["sync_error"], "provider_gone", "{view}");
    assert_eq!(view["next_sync_at"], Value::Null, "{view}");
    let calls = world.providers.fitbit.calls();
    world.pass(Duration::from_hours(1)).await;
    world.look().await;
    assert_eq!(world.providers.fitbit.calls(), calls, "calls end");
    let sync = "/api/v1/integrations/fitbit/sync";
    let again = world.phone("ana").call(Method::POST, sync, None).await;
    again.expect_error(409, "reconnect_required");
}

/// Not more than a few authorizations of one user wait.
#[tokio::test]
async fn authorizations_that_wait_are_few() {
    let world = Stage::of(Setup::new()).await.start().await;
    let first = world.begin("ana", STRAVA, None).await;
    let back = world.consent(STRAVA, "1001", first).await;
    for _ in 0..5 {
        world.gateway.move_clock(Duration::from_secs(1));
        world.begin("ana", STRAVA, None).await;
    }
    world.nobody().get(&back).await.expect_error(400, "invalid_state");
}
