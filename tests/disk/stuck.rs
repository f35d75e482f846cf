//! A disk that does not come back, and one that is slow.

use serde_json::json;

use crate::disk::calls::{self, Before, is_refused};
use crate::disk::world::{Follower, World};
use crate::support::{Fault, Files, bounded};

/// Callers are answered within the deadline while the disk hangs, readiness
/// says so, and what was committed all the same reaches the live session once.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs() {
    let settings =
        [("database.statement_timeout_ms", "300"), ("database.acquire_timeout_ms", "1000")];
    let mut world = World::start(&settings).await;
    let backend = world.backend();
    let phone = world.device("u1");
    let mut follower = Follower::begin(&phone).await;
    let before = Before::make(&world, "u2").await;
    let mut accepted = vec![backend.make("u1", "steps").await];

    world.disk.fail_after(Fault::Hang, Files::LOG, 0);
    let body = json!({ "user_id": "u1", "data_type": "steps", "value": { "n": 1 } });
    let late = backend.clone().with_key("late");
    // The disk hangs until it is told otherwise: who is answered now is
    // answered because of the deadline.
    is_refused("command", &late.post("/api/v1/commands", &body).await);
    world.until_database_is(&["unreachable", "contended"]).await;
    bounded("every call", calls::all_are_refused(&world, &before)).await;
    bounded("every read", calls::reads_go_on(&world, &before)).await;

    world.disk.heal();
    world.until_database_is(&["ok"]).await;
    // Whether the write that hung was committed is known now, by its key.
    let known = late.post("/api/v1/commands", &body).await;
    assert!(known.status.is_success(), "{}", known.body);
    accepted.push(known.body["command_id"].as_str().unwrap().to_owned());
    accepted.push(backend.make("u1", "steps").await);
    follower.until(&accepted[2]).await;
    assert_eq!(follower.commands, accepted);
    world.kill_and_restart().await;
    for id in &accepted {
        world.backend().command(id).await;
    }
    follower.resume(&world.again(&phone)).await;
}

/// A disk that hangs keeps nobody from ending the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_on_a_disk_that_hangs_ends() {
    let settings =
        [("database.statement_timeout_ms", "300"), ("database.acquire_timeout_ms", "1000")];
    let mut world = World::start(&settings).await;
    let id = world.backend().make("u1", "steps").await;
    world.disk.fail_after(Fault::Hang, Files::LOG, 0);
    let body = json!({ "user_id": "u1", "data_type": "steps", "value": { "n": 1 } });
    is_refused("command", &world.backend().post("/api/v1/commands", &body).await);
    let ended = world.end().await;
    world.disk.heal();
    assert!(ended, "{}", world.log());
    world.start_again().await;
    world.backend().command(&id).await;
}

/// Slow is not broken: everything is accepted, only later.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk() {
    let world = World::start(&[]).await;
    let backend = world.backend();
    let mut follower = Follower::begin(&world.device("u1")).await;
    world.disk.fail(Fault::Slow { ms: 20 });
    let mut accepted = Vec::new();
    for _ in 0..5 {
        accepted.push(backend.make("u1", "steps").await);
    }
    follower.until(&accepted[4]).await;
    assert_eq!(follower.commands, accepted);
    world.until_database_is(&["ok"]).await;
    assert_eq!(world.logged("does not work").len(), 0, "{}", world.log());
}
