//! How long a run waits: as long as the marketplace asks, and not for ever.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_fakes::atom::answer::Answer;
use tidegate_fakes::atom::skill_id;

use crate::support::eventually;
use crate::upstream::world::{Stage, World};

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

/// One that is longer than a run may last ends it: the next one is scheduled
/// as ever.
#[tokio::test]
async fn a_retry_after_of_hours_ends_the_run() {
    let world = Stage::new().await.filled(120).synced().await;
    let away = Answer::Unavailable { retry_after: Some(7_200) };
    world.atom.script().extend("skills?page=1", [away]);
    let before = world.atom.count("skills?page=1");
    let run = world.sync().await;
    assert_eq!((&run["status"], &run["error_count"]), (&json!("error"), &json!(1)));
    assert_eq!(world.atom.count("skills?page=1"), before + 1, "not asked again in this run");
    assert_eq!(world.sync().await["status"], "idle");
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
