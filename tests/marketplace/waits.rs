//! How long a run waits: as long as the marketplace asks, and not for ever.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_fakes::atom::answer::Answer;
use tidegate_fakes::atom::skill_id;

use crate::marketplace::world::{Stage, World};
use crate::support::eventually;

/// Milliseconds between the last two requests for an addressee.
fn pause_ms(world: &World, addressee: &str) -> i64 {
    let asked = world.atom.requests();
    let times: Vec<_> =
        asked.iter().filter(|r| r.is_for(addressee)).map(|request| request.at_ms).collect();
    times[times.len() - 1] - times[times.len() - 2]
}

/// `Retry-After` is a floor, however short the schedule.
#[tokio::test]
async fn retry_after_is_not_undercut() {
    let world = Stage::new().await.filled(120).synced().await;
    for answer in
        [Answer::Unavailable { retry_after: Some(1) }, Answer::RateLimited { retry_after: Some(1) }]
    {
        world.atom.script().extend("skills?page=2", [answer.clone()]);
        let run = world.sync().await;
        assert_eq!(run["status"], "idle", "{run}");
        let waited_ms = pause_ms(&world, "skills?page=2");
        assert!(waited_ms >= 1_000, "{answer:?}: {waited_ms} ms");
    }
}

/// The seconds that an operator's call is put off by.
async fn put_off(world: &World, path: &str) -> i64 {
    let answer = world.operator().quiet().post(path, &json!({})).await;
    let seconds = answer.header("retry-after").unwrap().parse().unwrap();
    answer.expect_error(503, "unavailable");
    seconds
}

const TRIGGER: &str = "/api/v1/admin/sync/trigger";

/// One that is longer than a run may last ends it, and holds: over the schedule,
/// operators and a restart, until it is over, or the longest that is heeded.
#[tokio::test]
async fn a_long_retry_after_holds_until_it_is_over() {
    for (answer, holds_s) in [
        (Answer::Unavailable { retry_after: Some(1_800) }, 1_800),
        (Answer::RateLimitedUntil { seconds: 1_800 }, 1_800),
        (Answer::Unavailable { retry_after: Some(2_000_000) }, 2_400),
    ] {
        let stage = Stage::new().await.filled(120).set("retry_after_max_s", "2400");
        let mut world = stage.set("interval_s", "300").synced().await;
        world.gateway.stop_clock();
        world.atom.script().extend("skills?page=1", [answer.clone()]);
        let run = world.sync().await;
        assert_eq!((&run["status"], &run["error_count"]), (&json!("error"), &json!(1)));
        assert!(run["asked_until"].is_string(), "{run}");
        let asked = world.atom.requests().len();
        for path in [TRIGGER, "/api/v1/admin/sync/ratings"] {
            assert_eq!(put_off(&world, path).await, holds_s, "{answer:?}");
        }
        // Due by the schedule; and on a node that starts meanwhile.
        world.move_clock(Duration::from_mins(10));
        world.gateway.restart().await;
        world.move_clock(Duration::from_mins(10));
        assert_eq!(put_off(&world, TRIGGER).await, holds_s - 1_200, "{answer:?}");
        assert_eq!(world.status().await["sync"]["total_syncs"], 2);
        assert_eq!(world.atom.requests().len(), asked, "nothing is asked meanwhile");
        world.move_clock(Duration::from_secs(1_201));
        let run = world.ended(3).await;
        assert_eq!((&run["status"], &run["asked_until"]), (&json!("idle"), &Value::Null));
    }
}

/// It holds for everything that is asked of the marketplace, whatever it was an
/// answer to: runs that a dropped socket asks for, the socket itself, ratings,
/// and skills whose time is over.
#[tokio::test]
async fn a_retry_after_holds_for_everything() {
    let stage = Stage::new().await.filled(20).with_socket().set("ttl_s", "60");
    let world = stage.set("rating_interval_s", "60").set("interval_s", "300").synced().await;
    let busy = Answer::RateLimited { retry_after: Some(1_800) };
    world.atom.script().extend("rate", [busy]);
    let path = format!("/api/v1/marketplace/skills/{}/rate", skill_id(1));
    world.user().post(&path, &json!({ "rating": 4 })).await.expect(202);
    let upload = "/api/v1/admin/sync/ratings";
    world.operator().quiet().post(upload, &json!({})).await.expect(202);
    let asked_until = async || {
        let until = world.status().await["sync"]["asked_until"].take();
        until.is_string().then_some(until)
    };
    eventually("the refusal", asked_until).await;
    let asked = world.atom.requests().len();
    world.atom.drop_sockets();
    world.connected(false).await;
    world.move_clock(Duration::from_mins(15));
    assert_eq!(world.skill(&skill_id(2)).await["stale"], true);
    put_off(&world, TRIGGER).await;
    put_off(&world, upload).await;
    put_off(&world, "/api/v1/admin/websocket/reconnect").await;
    // Each of them would have been asked for within a second.
    world.gateway.pass_time(Duration::from_secs(2)).await;
    world.status().await;
    world.gateway.pass_time(Duration::from_secs(2)).await;
    assert_eq!(world.atom.requests().len(), asked);
    world.move_clock(Duration::from_secs(901));
    world.connected(true).await;
    world.operator().quiet().post(upload, &json!({})).await.expect(202);
    eventually("the run and the rating", async || {
        let is_rated = world.atom.ratings().len() == 1;
        (is_rated && world.status().await["sync"]["total_syncs"] != 1).then_some(())
    })
    .await;
}

/// A marketplace that allows a hundred requests a minute is read to the end,
/// at its own pace.
#[tokio::test]
async fn a_limit_of_requests_is_kept_to() {
    const MINUTE: Duration = Duration::from_secs(61);
    let stage = Stage::new().await.filled(1_200).set("page_size", "10");
    stage.atom.limit_requests(true);
    let world = stage.start().await;
    let is_refused = || world.atom.requests().iter().any(|request| request.status == Some(429));
    eventually("the limit", async || is_refused().then_some(())).await;
    assert_eq!(world.atom.requests().len(), 101);
    let is_heard = async || world.status().await["sync"]["asked_until"].is_string().then_some(());
    eventually("the gateway's patience", is_heard).await;
    world.move_clock(MINUTE);
    world.gateway.pass_time(MINUTE).await;
    assert_eq!(world.ended(1).await["status"], "idle");
    world.assert_same(1_200).await;
    assert_eq!(world.atom.requests().len(), 122, "one refusal, and what it was for");
}

/// What asking again cannot mend is not asked again.
#[tokio::test]
async fn a_token_that_is_refused_is_not_tried_again() {
    let world = Stage::new().await.filled(120).synced().await;
    for status in [401, 403, 404] {
        world.atom.script().extend("categories", [Answer::Status(status)]);
        let before = world.atom.count("categories");
        let run = world.sync().await;
        assert_eq!(run["status"], "error", "{run}");
        assert!(run["last_error"].as_str().unwrap().contains(&status.to_string()), "{run}");
        assert_eq!(world.atom.count("categories"), before + 1);
        world.assert_same(120).await;
    }
}

/// An answer that never comes is given up after its time and asked for again;
/// meanwhile a second run is refused.
#[tokio::test]
async fn a_request_that_hangs_is_given_up() {
    let world = Stage::new().await.filled(250).set("timeout_s", "1").synced().await;
    world.atom.script().extend("skills?page=2", [Answer::Hang]);
    world.trigger().await;
    world.atom.request_seen("skills?page=2", 2).await;
    assert_eq!(world.status().await["sync"]["status"], "syncing");
    let again = world.operator().post("/api/v1/admin/sync/trigger", &json!({})).await;
    again.expect_error(409, "sync_already_in_progress");
    let run = world.ended(2).await;
    assert_eq!((&run["status"], &run["failed_syncs"]), (&json!("idle"), &json!(0)));
    assert!(pause_ms(&world, "skills?page=2") >= 1_000);
    world.assert_same(250).await;
}

/// Runs begin by themselves when their time has come, failed ones too.
#[tokio::test]
async fn runs_begin_by_themselves() {
    let world = Stage::new().await.filled(20).set("interval_s", "300").synced().await;
    world.atom.edit_skill(&skill_id(1), |skill| skill["name"] = json!("Renamed"));
    world.move_clock(Duration::from_secs(301));
    world.ended(2).await;
    world.assert_same(20).await;
    world.atom.set_down(true);
    world.move_clock(Duration::from_secs(301));
    assert_eq!(world.ended(3).await["status"], "error");
    world.atom.set_down(false);
    world.move_clock(Duration::from_secs(301));
    assert_eq!(world.ended(4).await["status"], "idle");
}

/// Operators change the schedule at run time, within its range.
#[tokio::test]
async fn the_schedule_is_changed_at_run_time() {
    let world = Stage::new().await.filled(20).synced().await;
    let (operator, path) = (world.operator().quiet(), "/api/v1/admin/sync/config");
    let put = async |body: &Value| {
        operator.call(reqwest::Method::PUT, path, Some(&body.to_string())).await
    };
    for (interval_s, range) in [(299, "300 to 3600"), (3_601, "300 to 3600")] {
        let error = put(&json!({ "interval_s": interval_s })).await.expect(422);
        assert!(error.to_string().contains(range), "{error}");
    }
    assert_eq!(put(&json!({ "interval_s": 300 })).await.expect(200)["interval_s"], 300);
    world.move_clock(Duration::from_secs(301));
    assert_eq!(world.ended(2).await["status"], "idle");
    assert_eq!(put(&json!({ "interval_s": 3600 })).await.expect(200)["interval_s"], 3_600);
    world.move_clock(Duration::from_mins(59));
    // Were it due, this one would be refused, or the third.
    world.sync().await;
}
