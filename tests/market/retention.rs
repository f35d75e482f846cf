//! How long verdicts and the audit log are kept.

use std::time::Duration;

use serde_json::json;

use crate::market::world::World;
use crate::support::eventually;

const DAY: Duration = Duration::from_hours(24);

/// A decided conflict goes when its time is over, counted from the decision;
/// an open one never does.
#[tokio::test]
async fn decided_conflicts_are_forgotten_and_open_ones_are_not() {
    let world = World::with(|setup, _| {
        // Upstream is not heard again between two jumps of the clock.
        let setup = setup.set("marketplace.stale_max_s", "31536000");
        setup.set("journal.trim_interval_s", "1").set("conflicts.retention_d", "31")
    })
    .await;
    let decided = world.open_conflict("s1").await;
    let late = world.open_conflict("s2").await;
    let open = world.open_conflict("s3").await;
    let remote = json!({ "choice": "remote", "expected_remote_version": 3 });
    world.resolve(&decided, &remote).await.expect(200);
    world.pass(DAY * 30);
    world.resolve(&late, &remote).await.expect(200);
    world.pass(DAY * 2);
    let gone = async || world.conflicts("s1").await.is_empty().then_some(());
    eventually("the first is forgotten", gone).await;
    assert_eq!(world.conflict("s2").await["conflict_id"], late["conflict_id"]);
    world.pass(DAY * 30);
    let gone = async || world.conflicts("s2").await.is_empty().then_some(());
    eventually("the second is forgotten", gone).await;
    assert_eq!(world.conflict("s3").await["conflict_id"], open["conflict_id"]);
    assert_eq!(world.skill("s1").await["version"], 3, "only the verdict went");
}

/// The audit log is as long as its setting says.
#[tokio::test]
async fn the_audit_log_is_shortened() {
    let world = World::with(|setup, _| {
        setup.set("journal.trim_interval_s", "1").set("audit.retention_d", "2")
    })
    .await;
    world.edit("s1", json!({ "description": "ours" })).await;
    world.pass(DAY);
    world.edit("s1", json!({ "description": "mine" })).await;
    assert_eq!(world.audit("skill:s1").await.len(), 2);
    world.pass(DAY + DAY / 2);
    let one = async || (world.audit("skill:s1").await.len() == 1).then_some(());
    eventually("the older row is gone", one).await;
}
