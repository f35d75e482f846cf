//! A disk that is full, broken or read-only for a moment.

use serde_json::json;

use crate::disk::calls::{self, Before, is_refused};
use crate::disk::world::{Follower, World};
use crate::support::{Device, Fault, Files, eventually};

/// What every trouble of the disk must leave behind: nothing that was accepted
/// is lost, nothing is told that is not on disk, and everybody goes on.
async fn passes(fault: Fault, words: &[&str]) {
    let mut world = World::start(&[]).await;
    let backend = world.backend();
    let phone = world.device("u1");
    let mut follower = Follower::begin(&phone).await;
    let before = Before::make(&world, "u2").await;
    let mut accepted = vec![backend.make("u1", "steps").await];
    follower.until(&accepted[0]).await;

    world.disk.fail(fault);
    for n in 0..2 {
        let body = json!({ "user_id": "u1", "data_type": "steps", "value": { "n": n } });
        is_refused("command", &backend.post("/api/v1/commands", &body).await);
    }
    world.until_database_is(words).await;
    until_figure_is(&world, 0).await;
    calls::all_are_refused(&world, &before).await;
    calls::reads_go_on(&world, &before).await;
    let result = json!({ "command_id": accepted[0], "status": "applied" });
    let results = json!({ "type": "results", "results": [result] });
    let refused = follower.ask(&results).await;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("unavailable")));

    world.disk.heal();
    world.until_database_is(&["ok"]).await;
    until_figure_is(&world, 1).await;
    is_told_once(&world).await;
    let answer = follower.ask(&results).await;
    assert_eq!(answer["results"][0]["accepted"], true, "{answer}");
    for _ in 0..3 {
        accepted.push(backend.make("u1", "steps").await);
    }
    follower.until(accepted.last().unwrap()).await;
    assert_eq!(follower.commands, accepted, "what was told is what was accepted");
    follower = survives(&mut world, &phone, follower, &mut accepted).await;
    assert_eq!(follower.commands, accepted);
}

/// The figure follows what `/readyz` says.
async fn until_figure_is(world: &World, writable: u64) {
    eventually("the figure", async || {
        (world.figure("tidegate_database_writable").await == writable).then_some(())
    })
    .await;
}

/// Kills the process, and ends the next one as one should: each time everything
/// accepted is there, and new entries come after it.
async fn survives(
    world: &mut World,
    phone: &Device,
    mut follower: Follower,
    accepted: &mut Vec<String>,
) -> Follower {
    for is_killed in [true, false] {
        if is_killed {
            world.kill_and_restart().await;
        } else {
            world.end_and_restart().await;
        }
        let backend = world.backend();
        for id in &*accepted {
            backend.command(id).await;
        }
        // Resumes by its cursor: had entries gone, it would be ahead.
        follower = follower.resume(&world.again(phone)).await;
        accepted.push(backend.make("u1", "steps").await);
        follower.until(accepted.last().unwrap()).await;
    }
    follower
}

/// One line per change, as many as were counted, and no warning for each call.
async fn is_told_once(world: &World) {
    let faults = world.figure("tidegate_database_faults_total").await;
    world.until_logged("works again").await;
    assert_eq!(world.logged("does not work").len() as u64, faults, "{}", world.log());
    let noise = world.logged_at("WARN").len() + world.logged_at("ERROR").len();
    assert!(noise <= LINES_MOST, "{noise} lines:\n{}", world.log());
}

/// Warnings of one trouble: one for the change, and one for each kind of
/// recurring work that found it.
const LINES_MOST: usize = 8;

/// The disk is full: some writes are refused, then there is room again.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk() {
    passes(Fault::Full { room: None }, &["full"]).await;
}

/// As on a disk that others fill too: files cannot grow, and what is there can
/// be overwritten.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_to_grow() {
    let mut world = World::start(&[]).await;
    let backend = world.backend();
    let phone = world.device("u1");
    let mut follower = Follower::begin(&phone).await;
    let body = json!({ "user_id": "u1", "data_type": "steps", "value": "x".repeat(20_000) });
    let mut accepted = Vec::new();
    for _ in 0..3 {
        // The last write before the end of the room is taken in part.
        world.disk.fail(Fault::Full { room: Some(50_000) });
        loop {
            let answer = backend.post("/api/v1/commands", &body).await;
            if answer.status.as_u16() != 202 {
                is_refused("command", &answer);
                break;
            }
            accepted.push(answer.body["command_id"].as_str().unwrap().to_owned());
        }
        world.disk.heal();
        world.until_database_is(&["ok"]).await;
        accepted.push(backend.make("u1", "steps").await);
    }
    follower.until(accepted.last().unwrap()).await;
    assert_eq!(follower.commands, accepted);
    follower = survives(&mut world, &phone, follower, &mut accepted).await;
    assert_eq!(follower.commands, accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_on_writing() {
    passes(Fault::WriteError, &["io_error"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_on_syncing() {
    passes(Fault::SyncError, &["io_error"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_becomes_read_only() {
    passes(Fault::ReadOnly, &["read_only", "io_error"]).await;
}

/// Only the file of the log, only one call, at every place of a commit in turn:
/// wherever a commit is cut, what is told is what is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_fails_at_every_place() {
    let mut world = World::start(&[]).await;
    let backend = world.backend();
    let phone = world.device("u1");
    let mut follower = Follower::begin(&phone).await;
    let mut accepted = Vec::new();
    for skip in 0..12 {
        for fault in [Fault::Full { room: None }, Fault::WriteError, Fault::SyncError] {
            world.disk.fail_after(fault, Files::LOG, skip);
            let body = json!({ "user_id": "u1", "data_type": "steps", "value": { "n": skip } });
            let answer = backend.post("/api/v1/commands", &body).await;
            world.disk.heal();
            if answer.status.as_u16() == 202 {
                accepted.push(answer.body["command_id"].as_str().unwrap().to_owned());
            } else {
                is_refused("command", &answer);
            }
            accepted.push(backend.make("u1", "steps").await);
        }
    }
    follower.until(accepted.last().unwrap()).await;
    assert_eq!(follower.commands, accepted);
    follower = survives(&mut world, &phone, follower, &mut accepted).await;
    assert_eq!(follower.commands, accepted);
}
