//! A thousand users and Strava's limits.

use std::time::Duration;

use tidegate_fakes::provider::answer::Answer as Said;
use tidegate_fakes::provider::strava::{ACTIVITY, activity};

use crate::integrations::world::{STRAVA, Stage, World, time};
use crate::support::eventually;

const USERS: u64 = 1_000;
const QUARTER_MS: i64 = 15 * 60_000;
const DAY_MS: i64 = 96 * QUARTER_MS;

fn user(number: u64) -> String {
    format!("user{number}")
}

fn athlete(number: u64) -> String {
    (10_000 + number).to_string()
}

/// All connect on the day before, whose requests somebody else has used: they begin
/// together.
async fn connect_all(world: &World) {
    let strava = &world.providers.strava;
    strava.spend("", 1_000);
    for number in 0..USERS {
        let start = world.now_ms() - 3 * 3_600_000;
        strava.put(&athlete(number), ACTIVITY, activity(number + 1, start, 1_800, "Run"));
        world.authorize(&user(number), STRAVA, &athlete(number)).await.expect(200);
    }
}

/// Waits until there were so many requests for activities, and no more come.
async fn settle(world: &World, expected: u64) {
    let total = || lists(world).iter().sum::<u64>();
    world.looks_until("the window's requests", async || total() >= expected).await;
    for _ in 0..2 {
        world.look().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(total(), expected);
}

/// Lets time go by to the next quarter hour, and a little more.
fn next_quarter(world: &World) {
    let left = QUARTER_MS - world.now_ms() % QUARTER_MS;
    let left = Duration::from_millis(left.unsigned_abs());
    world.gateway.move_clock(left + Duration::from_secs(2));
}

fn next_day(world: &World) {
    let day = world.now_ms() / DAY_MS;
    while world.now_ms() / DAY_MS == day {
        next_quarter(world);
    }
}

fn refused(world: &World) -> usize {
    let requests = world.providers.strava.requests();
    requests.iter().filter(|request| request.status == Some(429)).count()
}

fn lists(world: &World) -> Vec<u64> {
    let of = |number| world.providers.strava.calls_of(&athlete(number), Some("list"));
    (0..USERS).map(of).collect()
}

/// With the default limits: no 429 of ours, nobody served twice as often as
/// another, everybody as often as the limits allow, and told when next.
#[tokio::test]
async fn a_thousand_users_share_stravas_limits() {
    let world = Stage::new().await.set("providers.timeout_s", "300").start().await;
    connect_all(&world).await;
    let refused_before = refused(&world);
    let before = lists(&world);
    next_day(&world);
    for quarter in 0..96 + 12 {
        let expected = quarter / 96 * 900 + (90 * (quarter % 96 + 1)).min(900);
        settle(&world, before.iter().sum::<u64>() + expected).await;
        let served = lists(&world);
        let served: Vec<u64> = served.iter().zip(&before).map(|(now, was)| now - was).collect();
        let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
        assert!(most - least <= 1, "after quarter {quarter}: {least} to {most}");
        if quarter % 96 == 20 {
            let view = world.view(&user(quarter * 7 % USERS), STRAVA).await;
            let midnight = (world.now_ms() / DAY_MS + 1) * DAY_MS;
            assert_eq!(view["next_sync_at"], time(midnight), "{view}");
            assert_eq!(view["sync_status"], "idle", "{view}");
        }
        next_quarter(&world);
    }
    assert_eq!(refused(&world), refused_before, "no 429 of ours");
}

/// With webhooks, and a reserve that fits what they tell, everybody's newest activity
/// is there within five minutes, whatever runs do.
#[tokio::test]
async fn with_webhooks_the_newest_activity_is_there_within_minutes() {
    let stage = Stage::new().await.set("providers.reserve_percent", "80");
    let world = stage
        .set("providers.strava.read_limits", "[200, 2000]")
        .set("providers.strava.limits", "[400, 4000]")
        .set("providers.timeout_s", "300")
        .start()
        .await;
    let strava = &world.providers.strava;
    for (window, limit) in
        [("read_15m", 200), ("read_day", 2_000), ("all_15m", 400), ("all_day", 4_000)]
    {
        strava.set_limit(window, limit);
    }
    let address = world.gateway.address();
    strava.set_callback_url(&format!("http://{address}/api/v1/webhooks/strava"));
    connect_all(&world).await;
    let refused_before = refused(&world);
    next_day(&world);
    settle(&world, lists(&world).iter().sum::<u64>() + 40).await;
    // Each has one activity that day, one after the other.
    for number in 0..USERS {
        let id = 100_000 + number;
        let start = world.now_ms() - 3_600_000;
        strava.put(&athlete(number), ACTIVITY, activity(id, start, 1_800, "Run"));
        let event = strava.activity_event(&athlete(number), &id.to_string(), "create");
        assert_eq!(strava.deliver(&event).await, [Some(200)]);
        let at = world.now_ms();
        let fetched = async || strava.calls_of(&athlete(number), Some("one")) > 0;
        world.looks_until(&format!("what {number} made"), fetched).await;
        if number % 100 == 0 {
            eventually("the activity", async || {
                let known = world.activities(&user(number)).await;
                known.contains(&id.to_string()).then_some(())
            })
            .await;
        }
        assert!(world.now_ms() - at < 300_000);
        world.gateway.move_clock(Duration::from_secs(80));
    }
    assert_eq!(refused(&world), refused_before, "no 429 of ours");
    let runs = lists(&world).iter().sum::<u64>();
    assert!(runs > 300, "runs go on beside them: {runs}");
    strava.script().set_fallback(Said::Ok);
}
