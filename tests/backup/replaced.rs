//! A file that is put in the place of the database by hand, with and without
//! the log of the one before it.

use std::path::Path;

use serde_json::json;

use crate::backup::head;
use crate::backup::node::{Node, change, damage};
use crate::support::eventually;

/// What everybody says who finds a log beside a database that is not its own.
async fn expect_refusals(node: &Node) {
    let database = std::fs::read(node.database()).unwrap();
    let spare = node.folder().join("spare.db");
    for command in [&["renew-epochs"][..], &["migrate"], &["backup", spare.to_str().unwrap()]] {
        let said = node.run_to_fail(command).await;
        assert!(said.contains("tidegate.db-wal") && said.contains("tidegate restore"), "{said}");
    }
    let said = node.start_to_fail().await;
    assert!(said.contains("tidegate.db-wal") && said.contains("tidegate restore"), "{said}");
    assert_eq!(std::fs::read(node.database()).unwrap(), database, "nothing was folded into it");
}

/// After a crash, the backup is copied over the database, and the log stays:
/// nobody serves that. `tidegate restore` makes it right.
async fn restored_over_a_log(node: &mut Node, backup: &Path, kept: &[String], lost: &[String]) {
    node.kill().await;
    assert!(node.folder().join("tidegate.db-wal").metadata().unwrap().len() > 0);
    std::fs::copy(backup, node.database()).unwrap();
    expect_refusals(node).await;
    node.run(&["restore", backup.to_str().unwrap()]).await;
    node.start().await;
    for id in kept {
        assert_eq!(node.status_of(id).await, 200);
    }
    for id in lost {
        assert_eq!(node.status_of(id).await, 404, "it came after the backup");
    }
    node.make("u1", 1).await;
}

/// With a backup of Tidegate's own, whenever it was made.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_stayed_beside_a_backup_is_noticed() {
    let mut node = Node::started().await;
    let kept = node.make("u1", 20).await;
    let backup = node.folder().join("backup.db");
    node.run(&["backup", backup.to_str().unwrap()]).await;
    let lost = node.make("u1", 20).await;
    restored_over_a_log(&mut node, &backup, &kept, &lost).await;
}

/// With a copy that another tool made while the same gateway ran.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_stayed_beside_another_tools_copy_is_noticed() {
    let mut node = Node::started().await;
    let kept = node.make("u1", 20).await;
    let backup = node.folder().join("copy.db");
    let copying = format!("VACUUM INTO '{}'", backup.display());
    change(&node.database(), &[&copying]).await;
    let stamp = i32::from_be_bytes(std::fs::read(&backup).unwrap()[60..64].try_into().unwrap());
    let mut lost = Vec::new();
    eventually("the gateway writes another stamp", async || {
        lost.push(node.make("u1", 1).await.remove(0));
        let record = node.record();
        let stamps = record["stamps"].as_array().unwrap();
        (stamps.len() == 1 && stamps[0] != json!(stamp)).then_some(())
    })
    .await;
    restored_over_a_log(&mut node, &backup, &kept, &lost).await;
}

/// The log of another time beside the gateway's own database: it was copied
/// there, with a backup that was not whole or by mistake.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_another_time_is_noticed() {
    let mut node = Node::started().await;
    // So many that the file grows: only then the log holds the page that tells
    // whose it is.
    node.make("u1", 200).await;
    let log = node.folder().join("tidegate.db-wal");
    let old = node.folder().join("old-wal");
    node.kill().await;
    std::fs::copy(&log, &old).unwrap();
    node.start().await;
    let kept = node.make("u1", 20).await;
    node.stop().await;
    assert!(!log.exists(), "it is folded into the database");
    std::fs::copy(&old, &log).unwrap();
    expect_refusals(&node).await;
    std::fs::remove_file(&log).unwrap();
    node.start().await;
    for id in &kept {
        assert_eq!(node.status_of(id).await, 200);
    }
}

/// By hand and without a log, it is a restore: the epochs are renewed without
/// being asked for, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_replaced_gets_new_epochs() {
    let mut node = Node::started().await;
    node.register("u1").await;
    node.make("u1", 3).await;
    let backup = node.folder().join("backup.db");
    node.run(&["backup", backup.to_str().unwrap()]).await;
    node.make("u1", 2).await;
    let seen = node.poll("u1", None).await;
    assert_eq!(head(&seen), 5);
    node.stop().await;
    // Left in order, nothing waits beside the file to be read into another one.
    let log = std::fs::metadata(node.folder().join("tidegate.db-wal"));
    assert_eq!(log.map_or(0, |log| log.len()), 0);
    std::fs::copy(&backup, node.database()).unwrap();
    let fresh = node.folder().join("fresh.db");
    std::fs::copy(&backup, &fresh).unwrap();
    // `migrate` is no gateway: whoever serves first still renews them.
    node.run(&["migrate"]).await;
    node.start().await;
    assert!(node.log().contains("is not the one that was left here"), "{}", node.log());
    let answer = node.poll("u1", Some(&seen["streams"]["user:u1"])).await;
    assert_eq!(answer["streams"]["user:u1"]["reason"], "epoch_changed", "{answer}");
    assert_eq!(head(&answer), 3);
    let cursor = answer["streams"]["user:u1"].clone();
    node.stop().await;
    node.start().await;
    let answer = node.poll("u1", Some(&cursor)).await;
    assert_eq!(answer["streams"]["user:u1"]["verdict"], "resumed", "{answer}");
    node.stop().await;

    // Into an empty folder, as on another machine.
    let mut other = Node::stopped();
    std::fs::copy(&fresh, other.database()).unwrap();
    other.start().await;
    assert!(other.log().contains("is not the one that was left here"), "{}", other.log());
}

/// Damage is looked for after a crash, and stops the start.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_damaged_after_a_crash_is_not_served() {
    let mut node = Node::started().await;
    node.make("u1", 20).await;
    let backup = node.folder().join("backup.db");
    node.run(&["backup", backup.to_str().unwrap()]).await;
    node.kill().await;
    // In the log are the pages written last; the others are read from here.
    std::fs::remove_file(node.folder().join("tidegate.db-wal")).unwrap();
    damage(&node.database());
    let said = node.start_to_fail().await;
    assert!(said.contains("is damaged") && said.contains("tidegate restore"), "{said}");
    node.run(&["restore", backup.to_str().unwrap()]).await;
    node.start().await;
    node.make("u1", 1).await;
}

/// A crash alone changes nothing: the log is the database's own.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_alone_everything_is_there() {
    let mut node = Node::started().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.extend(node.make("u1", 10).await);
        node.kill().await;
        node.start().await;
        assert!(node.log().contains("the database is whole"), "{}", node.log());
    }
    node.stop().await;
    assert_eq!(node.record()["state"], "closed");
    node.start().await;
    assert!(!node.log().contains("not closed in order"), "{}", node.log());
    for id in &ids {
        assert_eq!(node.status_of(id).await, 200);
    }
}

/// A full disk keeps nobody from reading: after a crash the gateway starts, says
/// what it cannot do, and lives on when its log cannot be written either.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_a_full_disk_is_still_read() {
    let mut node = Node::started().await;
    let ids = node.make("u1", 20).await;
    node.kill().await;
    node.start_without_room().await;
    for id in &ids {
        assert_eq!(node.status_of(id).await, 200);
    }
    for _ in 0..3 {
        assert_eq!(node.ask("u1").await.status(), 503);
    }
    assert_eq!(node.status_of(&ids[0]).await, 200);
}
