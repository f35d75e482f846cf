//! A database that is damaged while the gateway runs.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use serde_json::json;

use crate::disk::calls::{self, Before, is_refused};
use crate::disk::world::World;
use crate::support::{Fault, Files};

/// A page of SQLite's, and of what the damage is made.
const PAGE: usize = 4_096;
const RUBBISH: [u8; PAGE] = [0xa5; PAGE];

/// Overwrites what is written in the database and its log, but for the first
/// page of each.
fn damage(world: &World) {
    for ending in ["", "-wal"] {
        let path = format!("{}{ending}", world.file().display());
        let file = File::options().write(true).open(&path).unwrap();
        let pages = usize::try_from(file.metadata().unwrap().len()).unwrap() / PAGE;
        for page in 1..pages {
            file.write_all_at(&RUBBISH, (page * PAGE) as u64).unwrap();
        }
    }
}

/// Damage ends writing for good, loudly and once; a disk that works again does
/// not bring it back, and nothing answers 500.
#[tokio::test(flavor = "multi_thread")]
async fn damage_ends_writing_for_good() {
    let world = World::start(&[]).await;
    let backend = world.backend();
    let before = Before::make(&world, "u2").await;
    backend.make_many("u1", 100, 500).await;
    damage(&world);
    // What a connection holds in memory is not damaged. Another one reads the
    // file.
    world.disk.fail_after(Fault::WriteError, Files::LOG, 0);
    let body = json!({ "user_id": "u1", "data_type": "steps", "value": { "n": 1 } });
    is_refused("command", &backend.post("/api/v1/commands", &body).await);
    world.disk.heal();
    world.until_database_is(&["corrupt"]).await;
    assert_eq!(world.figure("tidegate_database_writable").await, 0);
    calls::all_are_refused(&world, &before).await;
    for path in ["/api/v1/commands?user_id=u1", "/api/v1/users/u1/devices"] {
        let answer = backend.get(path).await;
        assert!([200, 503].contains(&answer.status.as_u16()), "{path}: {}", answer.status);
    }
    world.until_logged("DAMAGED").await;
    assert_eq!(world.logged("works again").len(), 0, "{}", world.log());
}

/// Whoever reads the damage first: writing ends, before more is built on it.
#[tokio::test(flavor = "multi_thread")]
async fn damage_that_a_reader_finds_ends_writing() {
    let world = World::start(&[]).await;
    let backend = world.backend();
    backend.make_many("u1", 100, 500).await;
    damage(&world);
    // Whatever is committed empties the caches of those who read.
    let body = json!({ "user_id": "u1", "data_type": "steps", "value": { "n": 1 } });
    let _ = backend.post("/api/v1/commands", &body).await;
    let answer = backend.get("/api/v1/commands?user_id=u1").await;
    assert!([200, 503].contains(&answer.status.as_u16()), "{}", answer.body);
    world.until_database_is(&["corrupt"]).await;
    world.until_logged("DAMAGED").await;
}
