//! Reads that fail, and starts on a disk that does not work.

use crate::disk::calls::Before;
use crate::disk::world::World;
use crate::support::{Fault, eventually};

/// What cannot be read is answered with 503. SQLite tells it as damage, so
/// nothing is written any more; a start on a disk that was mended finds all.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_on_reading() {
    let mut world = World::start(&[]).await;
    let backend = world.backend();
    let before = Before::make(&world, "u1").await;
    backend.make_many("u1", 300, 2_000).await;
    world.disk.fail(Fault::ReadError);
    eventually("a read fails", async || {
        for path in ["/api/v1/commands?user_id=u1&limit=500", "/api/v1/users/u1/devices"] {
            let answer = backend.get(path).await;
            assert!([200, 503].contains(&answer.status.as_u16()), "{path}: {}", answer.body);
        }
        (world.disk.struck() > 0).then_some(())
    })
    .await;
    world.until_database_is(&["corrupt"]).await;
    world.until_logged("DAMAGED").await;
    world.disk.heal();
    world.kill_and_restart().await;
    for id in &before.waiting {
        world.backend().command(id).await;
    }
    world.backend().make("u1", "steps").await;
    world.until_database_is(&["ok"]).await;
}

/// A start on a disk that takes nothing either fails and says why, or serves
/// and says so in its readiness; it loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_a_full_disk() {
    for fault in [Fault::Full { room: None }, Fault::ReadOnly] {
        let mut world = World::start(&[]).await;
        let id = world.backend().make("u1", "steps").await;
        world.disk.fail(fault);
        match world.kill_and_try_to_start().await {
            Ok(()) => world.until_database_is(&["full", "read_only", "io_error"]).await,
            Err(log) => assert!(log.contains("the database"), "{log}"),
        }
        world.disk.heal();
        world.kill_and_restart().await;
        world.backend().command(&id).await;
        world.backend().make("u1", "steps").await;
    }
}
