//! Runs: what is read again, what a failure means, and where a cut run goes on.

use std::time::Duration;

use serde_json::Value;
use tidegate_fakes::provider::answer::Answer as Said;
use tidegate_fakes::provider::strava::{ACTIVITY, activity};

use crate::integrations::world::{GOOGLE, OURA, STRAVA, Stage, World};
use crate::support::eventually;

/// Runs come by themselves, and read what is new and what changed lately.
#[tokio::test]
async fn runs_come_by_themselves() {
    let world = World::start().await;
    world.run_of("1001", 1, 24);
    let first = world.connect("ana", STRAVA, "1001").await;
    world.run_of("1001", 2, 1);
    let longer = activity(1, world.now_ms() - 24 * 3_600_000, 7_200, "Run");
    world.providers.strava.put("1001", ACTIVITY, longer);
    world.pass(Duration::from_mins(23)).await;
    world.has("ana", 2).await;
    let view = world.rests("ana", STRAVA).await;
    assert!(view["last_synced_at"].as_str() > first["last_synced_at"].as_str(), "{view}");
    let list = world.phone("ana").get("/api/v1/activities").await.expect(200);
    assert_eq!(list["items"][1]["elapsed_s"], 7_200, "{list}");
    // Not from the beginning: from a week before the newest.
    let requests = world.providers.strava.requests();
    let after: Vec<i64> = requests
        .iter()
        .filter(|request| request.call == "list")
        .filter_map(|request| request.uri.split_once("after=")?.1.split('&').next()?.parse().ok())
        .collect();
    let days = |after: &i64| (world.now_ms() / 1_000 - after) / 86_400;
    assert_eq!(days(after.first().unwrap()), 30);
    assert_eq!(days(after.last().unwrap()), 8);
}

/// A failure is a failure of that run, and never "no data"; the next one mends it.
#[tokio::test]
async fn a_failure_is_never_no_data() {
    let world = World::start().await;
    world.providers.strava.fill("1001", 3, 86_400);
    world.connect("ana", STRAVA, "1001").await;
    for (said, word) in [
        (Said::Status(500), "provider_unavailable"),
        (Said::Html502, "provider_unavailable"),
        (Said::Drop, "provider_unavailable"),
        (Said::CutBody, "provider_unavailable"),
        (Said::HalfBody, "provider_unavailable"),
        (Said::EmptyBody, "provider_unavailable"),
        (Said::IllShaped, "provider_unavailable"),
        (Said::NotJson, "provider_unavailable"),
        (Said::Inactive, "app_inactive"),
        (Said::Status(404), "provider_error"),
        (Said::Status(422), "provider_error"),
    ] {
        world.providers.strava.script().extend("list", [said.clone()]);
        let requests = world.providers.strava.calls_of("1001", Some("list"));
        let view = world.sync("ana", STRAVA).await;
        assert_eq!((&view["sync_status"], &view["sync_error"]), (&"error".into(), &word.into()));
        assert!(view["sync_error_detail"].is_string(), "{view}");
        assert!(view["next_sync_at"].is_string(), "{said:?}: {view}");
        let tried = world.providers.strava.calls_of("1001", Some("list")) - requests;
        assert_eq!(tried, 1, "no retry inside a run: {said:?}");
        assert_eq!(world.activities("ana").await.len(), 3);
    }
    world.pass(Duration::from_mins(23)).await;
    let view = world.stands("ana", STRAVA, |view| view["sync_status"] == "idle").await;
    assert_eq!(view["sync_error"], Value::Null, "{view}");
    assert_eq!(world.activities("ana").await.len(), 3);
}

/// What fails for one user touches no other, nor that user's other provider.
#[tokio::test]
async fn one_users_failure_touches_no_other() {
    let world = World::start().await;
    for (user, athlete) in [("ana", "1001"), ("bob", "1002"), ("eve", "1003")] {
        world.run_of(athlete, athlete.parse().unwrap(), 5);
        world.connect(user, STRAVA, athlete).await;
    }
    world.providers.oura.fill("o1", 1);
    world.connect("bob", OURA, "o1").await;
    world.providers.strava.script().set_standing("@1002", Some(Said::Status(500)));
    for (athlete, id) in [("1001", 7), ("1002", 8), ("1003", 9)] {
        world.run_of(athlete, id, 1);
    }
    world.pass(Duration::from_mins(23)).await;
    world.has("ana", 2).await;
    world.has("eve", 2).await;
    let failed = world.stands("bob", STRAVA, |view| view["sync_status"] == "error").await;
    assert_eq!(failed["sync_error"], "provider_unavailable");
    for user in ["ana", "eve"] {
        assert_eq!(world.rests(user, STRAVA).await["sync_status"], "idle");
    }
    let other = world.stands("bob", OURA, |view| view["sync_status"] == "idle").await;
    assert_eq!(other["sync_error"], Value::Null);
    assert_eq!(world.activities("bob").await.len(), 2);
}

/// A gateway that is stopped between two pages goes on with the next one, and
/// nothing is lost or doubled.
#[tokio::test]
async fn a_cut_run_goes_on_where_it_was() {
    let mut world = World::start().await;
    world.providers.strava.fill("1001", 450, 3_600);
    // The third page does not come.
    let script = world.providers.strava.script();
    script.extend("list", [Said::Ok, Said::Ok]);
    script.set_standing("list", Some(Said::Hang));
    world.authorize("ana", STRAVA, "1001").await.expect(200);
    eventually("the third page's request", async || {
        (world.providers.strava.calls_of("1001", Some("list")) == 3).then_some(())
    })
    .await;
    assert_eq!(world.view("ana", STRAVA).await["sync_status"], "syncing");
    world.gateway.restart().await;
    world.providers.strava.script().set_standing("list", None);
    let view = world.rests("ana", STRAVA).await;
    assert_eq!(view["sync_status"], "idle", "{view}");
    let pages: Vec<String> = world
        .providers
        .strava
        .requests()
        .iter()
        .filter(|request| request.call == "list")
        .map(|request| request.uri.split_once("&page=").unwrap().1.replace("&per_page=200", ""))
        .collect();
    assert_eq!(pages, ["1", "2", "3", "3", "4"]);
    assert_eq!(world.activities("ana").await.len(), 450);
}

/// A gateway that is stopped while a page is under way, after it was answered,
/// reads it again and stores nothing twice.
#[tokio::test]
async fn a_page_that_is_read_twice_is_stored_once() {
    let mut world = World::start().await;
    world.providers.google.fill("g1", 5);
    world.connect("ana", GOOGLE, "g1").await;
    let before = world.activities("ana").await;
    let steps = async |world: &World| {
        let path = "/api/v1/entries?from=2026-11-20&to=2026-11-27";
        let list = world.phone("ana").get(path).await.expect(200);
        let steps = |day: &Value| (day["date"].clone(), day["steps"].clone());
        list["items"].as_array().unwrap().iter().map(steps).collect::<Vec<_>>()
    };
    let known = steps(&world).await;
    for _ in 0..3 {
        let path = "/api/v1/integrations/google_health/sync";
        let answer = world.phone("ana").call(reqwest::Method::POST, path, None).await;
        answer.expect(202);
        world.gateway.restart().await;
        world.rests("ana", GOOGLE).await;
    }
    assert_eq!(world.activities("ana").await, before);
    assert_eq!(steps(&world).await, known);
}

/// The steps of a page that cannot be read are not taken for none.
#[tokio::test]
async fn what_one_kind_lacks_keeps_nothing_of_the_others() {
    let world = World::start().await;
    world.providers.google.fill("g1", 3);
    world.providers.google.script().extend("list/sleep", [Said::Status(500)]);
    let view = world.connect("ana", GOOGLE, "g1").await;
    assert_eq!(view["sync_error"], "provider_unavailable", "{view}");
    // Exercises come before sleep.
    assert_eq!(world.activities("ana").await.len(), 3);
    let view = world.sync("ana", GOOGLE).await;
    assert_eq!(view["sync_status"], "idle", "{view}");
    let nights = world.phone("ana").get("/api/v1/sleep").await.expect(200);
    assert_eq!(nights["items"].as_array().unwrap().len(), 3);
}

/// Users are spread over the interval, and each comes again after one.
#[tokio::test]
async fn users_are_spread_over_the_interval() {
    let world = Stage::new().await.set("providers.interval_s", "900").start().await;
    let mut due = Vec::new();
    for number in 0..12 {
        let (user, athlete) = (format!("user{number}"), format!("{}", 2_000 + number));
        let view = world.connect(&user, STRAVA, &athlete).await;
        due.push(view["next_sync_at"].as_str().unwrap().to_owned());
    }
    due.sort_unstable();
    due.dedup();
    assert_eq!(due.len(), 12, "{due:?}");
    let (first, last) = (due.first().unwrap(), due.last().unwrap());
    assert!(first.as_str() > "2026-11-26T12:08" && last.as_str() < "2026-11-26T12:24", "{due:?}");
}
