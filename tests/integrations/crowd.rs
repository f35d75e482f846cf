//! A thousand users and Strava's limits, for a day.

use std::time::Duration;

use tidegate_fakes::provider::strava::activity;

use crate::integrations::world::{STRAVA, Stage, World, time};
use crate::support::eventually;

const USERS: u64 = 1_000;
const QUARTER: Duration = Duration::from_mins(15);

fn user(number: u64) -> String {
    format!("user{number}")
}

fn athlete(number: u64) -> String {
    (10_000 + number).to_string()
}

/// Connects them without a browser, as one who had connected before.
async fn connect_all(world: &World) {
    for number in 0..USERS {
        let account = athlete(number);
        world.authorize(&user(number), STRAVA, &account).await.expect(200);
    }
}

/// Lets a quarter's work be done: until nothing more is asked.
async fn settle(world: &World) {
    let strava = &world.providers.strava;
    let mut calls = u64::MAX;
    loop {
        world.look().await;
        eventually("turns to end", async || {
            let now = strava.calls();
            let is_quiet = now == calls;
            calls = now;
            is_quiet.then_some(())
        })
        .await;
        let before = strava.calls();
        world.look().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        if strava.calls() == before {
            return;
        }
        calls = u64::MAX;
    }
}

/// With the default limits: no 429 of ours, nobody served twice as often as
/// another, everybody as often as the limits allow, and told when next.
#[tokio::test]
async fn a_thousand_users_share_stravas_limits() {
    let world = Stage::new().await.set("providers.reserve_percent", "10").start().await;
    let strava = &world.providers.strava;
    strava.limit_requests(true);
    for number in 0..USERS {
        let id = number + 1;
        let start = world.now_ms() - 3 * 3_600_000;
        strava.put(&athlete(number), "activity", activity(id, start, 1_800, "Run"));
    }
    connect_all(&world).await;
    let served =
        || (0..USERS).map(|n| strava.calls_of(&athlete(n), Some("list"))).collect::<Vec<_>>();
    // To midnight, and the day after it.
    for quarter in 0..(48 + 96) {
        settle(&world).await;
        let served = served();
        let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
        assert!(most - least <= 1, "after quarter {quarter}: {least} to {most}");
        if quarter % 16 == 5 {
            let view = world.view(&user(quarter * 7 % USERS), STRAVA).await;
            assert!(view["next_sync_at"].as_str() >= time(world.now_ms()).as_str(), "{view}");
        }
        let left =
            QUARTER.as_millis() - u128::from(world.now_ms().unsigned_abs()) % QUARTER.as_millis();
        let left = Duration::from_millis(u64::try_from(left).unwrap());
        world.gateway.move_clock(left + Duration::from_secs(2));
    }
    settle(&world).await;
    let refused = strava.requests().iter().filter(|r| r.status == Some(429)).count();
    assert_eq!(refused, 0);
    // Twelve hours, a day, and its first quarter hour.
    let total: u64 = served().iter().sum();
    assert_eq!(total, 900 + 900 + 90);
}
