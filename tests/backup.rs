//! Proves that a backup holds what was accepted before it, that a restore gives
//! exactly that, and that no mixture of two databases is ever served. The real
//! program, on SQLite: PostgreSQL has tools of its own.

use std::path::Path;

use futures_util::future::join_all;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::backup::node::Node;

mod interrupted;
mod node;
mod refused;
mod replaced;

/// Callers that create commands while a backup is made.
const CALLERS: usize = 4;

/// Commands accepted before it begins.
const BEFORE: usize = 100;

/// The words that a user reads who wants to restore what is none.
async fn restore_error(node: &Node, file: &Path) -> String {
    node.run_to_fail(&["restore", file.to_str().unwrap()]).await
}

/// Under load: the gateway goes on, and what it had accepted before is in a
/// fresh folder after a restore, readable and whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_holds_everything_accepted_before_it() {
    let node = Node::started().await;
    let file = node.folder().join("backup.db");
    let stop = CancellationToken::new();
    let before = node.make("u1", BEFORE).await;
    let callers = async {
        join_all((0..CALLERS).map(|caller| node.make_until(caller, &stop))).await.concat()
    };
    let backing_up = async {
        let said = node.run(&["backup", file.to_str().unwrap()]).await;
        stop.cancel();
        said
    };
    let (during, said) = tokio::join!(callers, backing_up);
    let bytes = file.metadata().unwrap().len();
    assert!(said.contains(&format!("in {bytes} bytes")), "{said}");
    assert_eq!(said.matches("backed up").count(), 1, "{said}");

    let mut fresh = Node::stopped();
    let said = fresh.run(&["restore", file.to_str().unwrap()]).await;
    assert!(said.contains("there was no database before"), "{said}");
    fresh.start().await;
    for id in &before {
        assert_eq!(fresh.status_of(id).await, 200, "{id} was accepted before the backup");
    }
    let held = join_all(during.iter().map(|id| fresh.status_of(id))).await;
    assert!(held.iter().all(|status| [200, 404].contains(status)), "{held:?}");
    fresh.make("u1", 1).await;
}

/// A device that saw more than the backup holds begins anew, and what was
/// there is kept.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_devices_begin_anew() {
    let mut node = Node::started().await;
    node.register("u1").await;
    let file = node.folder().join("backup.db");
    let kept = node.make("u1", 3).await;
    node.run(&["backup", file.to_str().unwrap()]).await;
    let lost = node.make("u1", 2).await;
    let seen = node.poll("u1", None).await;
    let cursor = &seen["streams"]["user:u1"];
    assert_eq!(cursor["head"], 5);
    node.stop().await;

    let said = node.run(&["restore", file.to_str().unwrap()]).await;
    assert!(said.contains("restored 1 stream in"), "{said}");
    let aside = node.aside();
    assert!(said.contains(aside[0].to_str().unwrap()), "{said}");
    assert!(file.is_file(), "the backup stays");
    assert_eq!(node.leftovers(), Vec::<String>::new());
    node.start().await;
    let answer = node.poll("u1", Some(cursor)).await;
    let status = &answer["streams"]["user:u1"];
    assert_eq!((&status["verdict"], &status["reason"]), (&"reset".into(), &"epoch_changed".into()));
    let items = answer["frames"][0]["items"].as_array().map_or(0, Vec::len);
    assert_eq!(items, kept.len(), "{answer}");
    for id in &lost {
        assert_eq!(node.status_of(id).await, 404, "it came after the backup");
    }

    // What was set aside is a database like any other.
    node.stop().await;
    node.run(&["restore", aside[0].to_str().unwrap()]).await;
    node.start().await;
    for id in lost.iter().chain(&kept) {
        assert_eq!(node.status_of(id).await, 200);
    }
}

/// A backup is a file like others: it is not replaced unless somebody says so,
/// nothing else is at its name, and its parts are for its owner only.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_replaces_nothing_by_itself() {
    use std::os::unix::fs::PermissionsExt as _;
    let node = Node::started().await;
    let file = node.folder().join("backup.db");
    std::fs::write(&file, "precious").unwrap();
    let path = file.to_str().unwrap();
    let said = node.run_to_fail(&["backup", path]).await;
    assert!(said.contains("is there already"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    node.run(&["backup", "--force", path]).await;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let database = node.database();
    let log = node.database().with_file_name("tidegate.db-wal");
    for own in [&database, &log] {
        let said = node.run_to_fail(&["backup", "--force", own.to_str().unwrap()]).await;
        assert!(said.contains("belongs to the database itself"), "{said}");
    }
    let said = node.run_to_fail(&["backup", node.folder().to_str().unwrap()]).await;
    assert!(said.contains("is a folder"), "{said}");
    let said = node.run_to_fail(&["backup", "/proc/backup.db"]).await;
    assert!(said.contains("/proc/backup.db"), "{said}");
    assert_eq!(node.leftovers(), Vec::<String>::new());
    node.make("u1", 1).await;
    let said = Node::stopped().run_to_fail(&["backup", path]).await;
    assert!(said.contains("is there already"), "{said}");
    let said = Node::stopped().run_to_fail(&["backup", "--force", path]).await;
    assert!(said.contains("there is no database"), "{said}");
}

/// No room: it says so, nothing is lost, and nothing half is left behind.
#[tokio::test(flavor = "multi_thread")]
async fn without_room_nothing_changes() {
    let mut node = Node::started().await;
    let file = node.folder().join("backup.db");
    let ids = node.make("u1", 3).await;
    let said = node.run_without_room(&["backup", file.to_str().unwrap()]).await;
    assert!(said.contains("copying") && said.contains("backup.db.partial"), "{said}");
    assert!(!file.exists());
    assert_eq!(node.leftovers(), Vec::<String>::new());

    node.run(&["backup", file.to_str().unwrap()]).await;
    node.stop().await;
    let before = std::fs::read(node.database()).unwrap();
    let said = node.run_without_room(&["restore", file.to_str().unwrap()]).await;
    assert!(said.contains("copying") && said.contains("tidegate.db.restoring"), "{said}");
    assert_eq!(std::fs::read(node.database()).unwrap(), before);
    assert_eq!(node.leftovers(), Vec::<String>::new());
    assert_eq!(node.aside().len(), 0);
    node.start().await;
    assert_eq!(node.status_of(&ids[0]).await, 200);
}

/// PostgreSQL is named, with what to use. No server is asked.
#[tokio::test]
async fn on_postgresql_the_tools_are_named() {
    let node = Node::stopped();
    let url = ("TIDEGATE_DATABASE__URL", "postgres://tidegate:secret@127.0.0.1:1/tidegate");
    for (command, tool) in [("backup", "pg_dump"), ("restore", "pg_restore")] {
        let said = node.run_with(&[command, "file"], &[url]).await.unwrap_err();
        assert!(said.contains(tool) && said.contains("docs/backup-and-restore.md"), "{said}");
        assert!(!said.contains("secret"), "{said}");
        assert_eq!(command == "restore", said.contains("renew-epochs"), "{said}");
    }
}

/// The number of the last entry that a poll told of.
fn head(answer: &Value) -> i64 {
    answer["streams"]["user:u1"]["head"].as_i64().unwrap()
}
