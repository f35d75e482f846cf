//! Rate windows: taken before a request, corrected by answers, told to users.

use std::time::Duration;

use tidegate_fakes::answer::RetryAfter;
use tidegate_fakes::provider::answer::Answer as Said;

use crate::integrations::world::{FITBIT, GOOGLE, STRAVA, Stage, World, time};
use crate::support::eventually;

/// 12:15, in milliseconds.
fn quarter(world: &World) -> i64 {
    let now = world.now_ms();
    now - now.rem_euclid(900_000) + 900_000
}

/// A window that the provider says is spent is left alone until its end, which is
/// told; then the run goes on.
#[tokio::test]
async fn a_spent_window_is_waited_for() {
    let world = World::start().await;
    world.connect("ana", STRAVA, "1001").await;
    world.run_of("1001", 1, 1);
    world.providers.strava.script().extend("list", [Said::RateLimited(None)]);
    let view = world.sync("ana", STRAVA).await;
    assert_eq!(view["sync_status"], "idle", "{view}");
    assert_eq!(view["sync_error"], serde_json::Value::Null, "{view}");
    assert_eq!(view["next_sync_at"], time(quarter(&world)), "{view}");
    let calls = world.providers.strava.calls();
    // Another one asked for ends the same way, and asks nothing.
    let view = world.sync("ana", STRAVA).await;
    assert_eq!(view["next_sync_at"], time(quarter(&world)), "{view}");
    world.look().await;
    assert_eq!(world.providers.strava.calls(), calls);
    let left = quarter(&world) - world.now_ms();
    world.pass(Duration::from_millis(left.unsigned_abs()) + Duration::from_secs(3)).await;
    world.has("ana", 1).await;
}

/// What others used of a window counts, from the first answer on.
#[tokio::test]
async fn windows_are_corrected_by_answers() {
    let world = World::start().await;
    world.connect("ana", STRAVA, "1001").await;
    world.connect("bob", STRAVA, "1002").await;
    // Somebody else with the same application.
    world.providers.strava.spend("", 84);
    world.sync("ana", STRAVA).await;
    let calls = world.providers.strava.calls();
    let used = world.providers.strava.windows("")[0].used;
    assert!(used >= 85, "{used}");
    for _ in 0..8 {
        world.sync("ana", STRAVA).await;
    }
    let window = world.providers.strava.windows("")[0];
    assert!(window.used <= 90, "runs leave a tenth alone: {window:?}");
    assert!(world.providers.strava.calls() - calls <= 6);
    let view = world.view("bob", STRAVA).await;
    assert_eq!(view["next_sync_at"], time(quarter(&world)), "for everybody: {view}");
}

/// Windows of single users hold up nobody else.
#[tokio::test]
async fn a_users_own_window_is_its_own() {
    let world = World::start().await;
    for (user, account) in [("ana", "f1"), ("bob", "f2")] {
        world.connect(user, FITBIT, account).await;
    }
    world.providers.fitbit.spend("f1", 150);
    let view = world.sync("ana", FITBIT).await;
    assert_eq!(view["sync_status"], "idle", "{view}");
    let hour = world.now_ms() - world.now_ms().rem_euclid(3_600_000) + 3_600_000;
    assert_eq!(view["next_sync_at"], time(hour), "{view}");
    let calls = world.providers.fitbit.calls_of("f2", None);
    let view = world.sync("bob", FITBIT).await;
    assert!(world.providers.fitbit.calls_of("f2", None) > calls);
    assert!(view["next_sync_at"].as_str() < time(hour).as_str(), "{view}");
}

/// A `Retry-After` is heeded, of a limit and of an outage.
#[tokio::test]
async fn a_provider_that_asks_for_patience_gets_it() {
    for said in [
        Said::RateLimited(Some(RetryAfter::Seconds(700))),
        Said::Unavailable(Some(RetryAfter::Seconds(700))),
    ] {
        let world = World::start().await;
        world.connect("ana", GOOGLE, "g1").await;
        world.providers.google.script().extend("list", [said.clone()]);
        let view = world.sync("ana", GOOGLE).await;
        let asked = time(world.now_ms() + 700_000);
        if matches!(said, Said::RateLimited(_)) {
            assert_eq!(view["next_sync_at"], asked, "{view}");
        }
        let calls = world.providers.google.calls();
        world.pass(Duration::from_secs(690)).await;
        world.look().await;
        assert_eq!(world.providers.google.calls(), calls, "{said:?}");
        world.pass(Duration::from_mins(20)).await;
        eventually("another request", async || {
            (world.providers.google.calls() > calls).then_some(())
        })
        .await;
    }
}

/// No 429 is caused by us, whatever the windows are, and all of them are used.
#[tokio::test]
async fn no_limit_is_overrun() {
    let world = Stage::new()
        .await
        .set("providers.strava.read_limits", "[10, 35]")
        .set("providers.strava.limits", "[100, 1000]")
        .set("providers.reserve_percent", "0")
        .start()
        .await;
    let strava = &world.providers.strava;
    strava.set_limit("read_15m", 10);
    strava.set_limit("read_day", 35);
    strava.limit_requests(true);
    for number in 0..30 {
        let (user, athlete) = (format!("user{number}"), (3_000 + number).to_string());
        world.authorize(&user, STRAVA, &athlete).await.expect(200);
    }
    let reads = || strava.requests().iter().filter(|request| request.call == "list").count();
    for (quarter, most) in [(0, 10), (1, 20), (2, 30), (3, 35), (4, 35)] {
        world.looks_until("the window's requests", async || reads() == most).await;
        world.look().await;
        assert_eq!(reads(), most, "in quarter {quarter}");
        let left = self::quarter(&world) - world.now_ms();
        world.pass(Duration::from_millis(left.unsigned_abs()) + Duration::from_secs(2)).await;
    }
    assert!(strava.requests().iter().all(|request| request.status != Some(429)));
}
