//! What providers tell: handshakes, proofs, repetition, order, and what is fetched
//! later.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_fakes::provider::answer::Answer as Said;
use tidegate_fakes::provider::oura::{SLEEP, WORKOUT};
use tidegate_fakes::provider::strava::{ACTIVITY, activity};
use tidegate_fakes::provider::{google_health, oura};

use crate::integrations::world::{GOOGLE, OURA, STRAVA, Stage, World};
use crate::support::eventually;

const SECRET: &str = "Bearer agreed-on-5f2c";

/// With all that webhooks need, and nothing read by runs in between.
async fn world() -> World {
    let world = Stage::new()
        .await
        .set("providers.strava.verify_token", "verify-me-77")
        .set("providers.oura.verify_token", "verify-me-78")
        .set("providers.google_health.webhook_secret", SECRET)
        .start()
        .await;
    let at = format!("http://{}/api/v1/webhooks", world.gateway.address());
    world.providers.strava.set_callback_url(&format!("{at}/strava"));
    world.providers.oura.set_callback_url(&format!("{at}/oura"));
    world.providers.google.set_subscriber(&format!("{at}/google_health"), SECRET);
    world
}

async fn done(world: &World, result: &str) -> u64 {
    world.figure(&format!("tidegate_webhook_events_done_total{{result=\"{result}\"}}")).await
}

/// Waits until so many events came to this end.
async fn ended(world: &World, result: &str, count: u64) {
    eventually(result, async || (done(world, result).await >= count).then_some(())).await;
}

async fn deliver(world: &World, events: &[tidegate_fakes::provider::Event]) {
    for event in events {
        assert_eq!(world.providers.strava.deliver(event).await, [Some(200)]);
    }
}

/// Strava asks whether its news are wanted.
#[tokio::test]
async fn a_handshake_needs_the_verify_token() {
    let world = world().await;
    let ask = async |path: &str| world.nobody().get(&format!("/api/v1/webhooks/{path}")).await;
    let answer = ask("strava?hub.mode=subscribe&hub.challenge=c1&hub.verify_token=verify-me-77");
    assert_eq!(answer.await.expect(200), json!({ "hub.challenge": "c1" }));
    let answer = ask("oura?verification_token=verify-me-78&challenge=c2").await;
    assert_eq!(answer.expect(200), json!({ "challenge": "c2" }));
    for path in [
        "strava?hub.challenge=c&hub.verify_token=verify-me-78",
        "strava?hub.challenge=c",
        "strava?hub.verify_token=verify-me-77",
        "strava",
        "oura?verification_token=&challenge=c",
        "oura",
    ] {
        ask(path).await.expect_error(403, "forbidden");
    }
    let google = &world.providers.google;
    let endpoint = format!("http://{}/api/v1/webhooks/google_health", world.gateway.address());
    assert!(google.handshake(&endpoint, SECRET).await);
}

/// New, changed and deleted activities follow each other within seconds.
#[tokio::test]
async fn news_of_strava_are_fetched() {
    let world = world().await;
    let strava = &world.providers.strava;
    world.connect("ana", STRAVA, "1001").await;
    strava.make_events(true);
    for is_signed in [false, true] {
        strava.sign_events(is_signed);
        let id = 50 + u64::from(is_signed);
        world.run_of("1001", id, 2 + i64::from(is_signed) * 5);
        deliver(&world, &strava.take_events()).await;
    }
    assert_eq!(world.has("ana", 2).await, ["50", "51"]);
    let longer = activity(50, world.now_ms() - 2 * 3_600_000, 5_400, "Run");
    world.gateway.move_clock(Duration::from_secs(1));
    strava.put_activity("1001", longer);
    deliver(&world, &strava.take_events()).await;
    eventually("the change", async || {
        let list = world.phone("ana").get("/api/v1/activities").await.expect(200);
        let items = list["items"].as_array().unwrap();
        items.iter().any(|item| item["elapsed_s"] == 5_400).then_some(())
    })
    .await;
    strava.remove_activity("1001", "51");
    deliver(&world, &strava.take_events()).await;
    assert_eq!(world.has("ana", 1).await, ["50"]);
    assert_eq!(strava.calls_of("1001", Some("list")), 1, "no run was needed");
}

/// The same event twice, and in another order, is as good as once and in order.
#[tokio::test]
async fn repetition_and_order_change_nothing() {
    let world = world().await;
    let strava = &world.providers.strava;
    world.connect("ana", STRAVA, "1001").await;
    strava.make_events(true);
    world.run_of("1001", 1, 5);
    world.run_of("1001", 2, 9);
    world.gateway.move_clock(Duration::from_secs(1));
    strava.remove_activity("1001", "2");
    let mut events = strava.take_events();
    assert_eq!(events.len(), 3);
    events.reverse();
    deliver(&world, &events).await;
    deliver(&world, &events).await;
    ended(&world, "fetched", 1).await;
    ended(&world, "gone", 2).await;
    deliver(&world, &events).await;
    world.look().await;
    assert_eq!(world.activities("ana").await, ["1"]);
    assert_eq!(strava.calls_of("1001", Some("one")), 3, "each once");
}

/// What a webhook says is confirmed by the API: nobody deletes by a forged event.
#[tokio::test]
async fn a_deletion_must_be_true() {
    let world = world().await;
    let strava = &world.providers.strava;
    world.run_of("1001", 1, 5);
    world.connect("ana", STRAVA, "1001").await;
    deliver(&world, &[strava.activity_event("1001", "1", "delete")]).await;
    ended(&world, "fetched", 1).await;
    assert_eq!(world.activities("ana").await, ["1"]);
    deliver(&world, &[strava.deauthorized_event("1001")]).await;
    ended(&world, "void", 1).await;
    assert_eq!(world.view("ana", STRAVA).await["connected"], true);
    // Who stands between does not speak for Strava.
    world.gateway.move_clock(Duration::from_secs(1));
    strava.script().extend("one", [Said::Html404]);
    deliver(&world, &[strava.activity_event("1001", "1", "delete")]).await;
    eventually("the look", async || (strava.calls_of("1001", Some("one")) == 2).then_some(()))
        .await;
    world.look().await;
    assert_eq!(world.activities("ana").await, ["1"]);
}

/// Who withdraws what was granted at Strava is disconnected, and what was read of
/// there is gone.
#[tokio::test]
async fn who_withdraws_is_forgotten() {
    let world = world().await;
    let strava = &world.providers.strava;
    world.run_of("1001", 1, 5);
    world.run_of("1001", 2, 9);
    world.connect("ana", STRAVA, "1001").await;
    world.providers.oura.fill("o1", 1);
    world.connect("ana", OURA, "o1").await;
    assert_eq!(world.activities("ana").await.len(), 3);
    strava.revoke_user("1001");
    deliver(&world, &[strava.deauthorized_event("1001")]).await;
    let view = world.stands("ana", STRAVA, |view| view["connected"] == false).await;
    assert_eq!(view["sync_error"], Value::Null, "{view}");
    world.has("ana", 1).await;
    assert_eq!(world.view("ana", OURA).await["connected"], true);
    assert!(
        world
            .audit("ana", STRAVA)
            .await
            .iter()
            .any(|(actor, action)| { actor == "strava" && action == "integration.disconnect" })
    );
}

/// Also where a run heard of it first, and ended the calls.
#[tokio::test]
async fn who_withdraws_is_forgotten_though_a_run_was_refused_before() {
    let world = world().await;
    let strava = &world.providers.strava;
    world.run_of("1001", 1, 5);
    world.connect("ana", STRAVA, "1001").await;
    strava.revoke_user("1001");
    let view = world.sync("ana", STRAVA).await;
    assert_eq!(view["sync_error"], "reconnect_required", "{view}");
    assert_eq!(world.activities("ana").await.len(), 1);
    let calls = strava.calls();
    deliver(&world, &[strava.deauthorized_event("1001")]).await;
    world.stands("ana", STRAVA, |view| view["connected"] == false).await;
    world.has("ana", 0).await;
    assert_eq!(strava.calls(), calls, "it is known already");
}

/// Signatures: Strava's where there is one, Oura's always, Google's secret.
#[tokio::test]
async fn a_wrong_proof_is_refused() {
    let world = world().await;
    world.connect("ana", STRAVA, "1001").await;
    world.connect("ana", OURA, "o1").await;
    let strava = world.providers.strava.activity_event("1001", "1", "create").body;
    let oura = world.providers.oura.event("o1", "workout", "w1", "create").body;
    let post = async |path: &str, headers: &[(&str, &str)], body: &str| {
        let mut caller = world.nobody();
        for (name, value) in headers {
            caller = caller.with_header(name, value);
        }
        caller.post_text(&format!("/api/v1/webhooks/{path}"), body).await
    };
    for signature in ["t=1,v1=00", "", "x"] {
        let answer = post("strava", &[("x-strava-signature", signature)], &strava).await;
        answer.expect_error(403, "forbidden");
    }
    post("strava", &[], &strava).await.expect(200);
    post("oura", &[], &oura).await.expect_error(403, "forbidden");
    let headers = [("x-oura-signature", "00"), ("x-oura-timestamp", "1795694460")];
    post("oura", &headers, &oura).await.expect_error(403, "forbidden");
    for authorization in ["", "Bearer", "Bearer agreed-on"] {
        let headers = [("authorization", authorization)];
        let answer = post("google_health", &headers, "[]").await;
        answer.expect_error(401, "unauthenticated");
    }
    post("google_health", &[("authorization", SECRET)], "[]").await.expect(200);
    // Signed, but long ago.
    world.providers.oura.sign_events(true);
    let event = world.providers.oura.event("o1", "workout", "w1", "create");
    assert_eq!(world.providers.oura.deliver(&event).await, [Some(200)]);
    for body in ["", "{", "[]", "{}", "null", r#"{"object_type":1}"#] {
        post("strava", &[], body).await.expect_error(400, "malformed");
    }
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(65_536));
    post("strava", &[], &large).await.expect_error(413, "too_large");
    // Of nobody here, and of things nobody asked for.
    let foreign = strava.replace("\"owner_id\":1001", "\"owner_id\":9");
    post("strava", &[], &foreign).await.expect(200);
    let other = strava.replace("\"activity\"", "\"segment\"");
    post("strava", &[], &other).await.expect(200);
}

/// Oura tells of documents, Google of spans of time.
#[tokio::test]
async fn news_of_oura_and_google_are_fetched() {
    let world = world().await;
    world.connect("ana", OURA, "o1").await;
    world.connect("ana", GOOGLE, "g1").await;
    let (oura, google) = (&world.providers.oura, &world.providers.google);
    oura.sign_events(true);
    oura.make_events(true);
    let hour = 3_600_000;
    oura.put_document(
        "o1",
        WORKOUT,
        oura::workout("w1", world.now_ms() - 5 * hour, 3_600, "cycling", 0),
    );
    oura.put_document("o1", SLEEP, oura::night("s1", world.now_ms() - 4 * hour, 28_000, 0));
    for event in oura.take_events() {
        assert_eq!(oura.deliver(&event).await, [Some(200)]);
    }
    assert_eq!(world.has("ana", 1).await, ["w1"]);
    let start = world.now_ms() - 30 * hour;
    google.put(
        "g1",
        google_health::EXERCISE,
        google_health::exercise(7, start, 1_800, "RUNNING", 0),
    );
    let event = google.notification("g1", "exercise", (start, start + hour));
    assert_eq!(google.deliver(&event).await, [Some(200)]);
    world.has("ana", 2).await;
    oura.remove_document("o1", WORKOUT, "w1");
    for event in oura.take_events() {
        oura.deliver(&event).await;
    }
    world.has("ana", 1).await;
    // The same span again: it may have changed again.
    google.put(
        "g1",
        google_health::EXERCISE,
        google_health::exercise(8, start - hour, 1_800, "RUNNING", 0),
    );
    let again = google_health::GoogleHealth::joined(&[event.clone(), event]);
    assert_eq!(google.deliver(&again).await, [Some(200)]);
    world.has("ana", 2).await;
}

/// A flood for one user is bounded, and nothing of it is lost.
#[tokio::test]
async fn a_flood_is_bounded() {
    let world = world().await;
    let strava = &world.providers.strava;
    world.connect("ana", STRAVA, "1001").await;
    strava.script().set_standing("one", Some(Said::Hang));
    for id in 1..=60 {
        strava.put(
            "1001",
            ACTIVITY,
            activity(id, world.now_ms() - i64::try_from(id).unwrap() * 7_200_000, 60, "Run"),
        );
        let event = strava.activity_event("1001", &id.to_string(), "create");
        deliver(&world, &[event]).await;
    }
    let taken = "tidegate_webhook_events_total{result=\"taken\"}";
    let dropped = "tidegate_webhook_events_total{result=\"dropped\"}";
    assert_eq!(world.figure(taken).await, 50);
    assert_eq!(world.figure(dropped).await, 10);
}

/// The provider does not answer: it is asked again later.
#[tokio::test]
async fn an_event_outlasts_an_outage() {
    let world = world().await;
    let strava = &world.providers.strava;
    world.connect("ana", STRAVA, "1001").await;
    strava.make_events(true);
    world.run_of("1001", 5, 5);
    strava.script().extend("one", [Said::Status(500), Said::Drop]);
    deliver(&world, &strava.take_events()).await;
    world
        .looks_until("the third look", async || {
            world.gateway.move_clock(Duration::from_mins(1));
            strava.calls_of("1001", Some("one")) >= 3
        })
        .await;
    world.has("ana", 1).await;
    assert_eq!(world.view("ana", STRAVA).await["sync_error"], Value::Null);
}
