//! What a restore does not take, and when: the database stays as it was.

use std::path::{Path, PathBuf};

use crate::backup::node::{Node, change, damage};
use crate::backup::restore_error;

/// One process for a database: a second gateway, and every command that writes,
/// is refused with a sentence that says why, and the first goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_served_belongs_to_its_gateway() {
    let mut node = Node::started().await;
    let file = node.folder().join("backup.db");
    let path = file.to_str().unwrap();
    node.run(&["backup", path]).await;
    let ids = node.make("u1", 1).await;
    for command in [&["restore", path][..], &["renew-epochs"], &["migrate"]] {
        let said = node.run_to_fail(command).await;
        assert!(said.contains("in use") && said.contains("tidegate.db.lock"), "{said}");
    }
    let said = node.start_to_fail().await;
    assert!(said.contains("in use"), "{said}");
    assert_eq!(node.status_of(&ids[0]).await, 200);
    node.make("u1", 1).await;
    // The lock goes with the process, however it ends.
    node.kill().await;
    node.run(&["renew-epochs"]).await;
    node.start().await;
    assert_eq!(node.status_of(&ids[0]).await, 200);
}

/// Everything that is no backup is refused before anything is touched.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_backup_is_refused() {
    let mut node = Node::started().await;
    let ids = node.make("u1", 50).await;
    let good = node.folder().join("good.db");
    node.run(&["backup", good.to_str().unwrap()]).await;
    node.stop().await;
    let before = std::fs::read(node.database()).unwrap();
    for (file, words) in files(&node, &good).await {
        let said = restore_error(&node, &file).await;
        assert!(said.contains(words), "{}: {said}", file.display());
        assert_eq!(std::fs::read(node.database()).unwrap(), before, "{}", file.display());
    }
    assert_eq!(node.leftovers(), Vec::<String>::new());
    assert_eq!(node.aside().len(), 0);
    node.start().await;
    assert!(!node.log().contains("not closed in order"), "{}", node.log());
    for id in &ids {
        assert_eq!(node.status_of(id).await, 200);
    }
}

/// Files that are no backup, and a word of the refusal of each.
async fn files(node: &Node, good: &Path) -> Vec<(PathBuf, &'static str)> {
    let at = |name: &str| node.folder().join(name);
    let copy = |name: &str| -> PathBuf {
        std::fs::copy(good, at(name)).unwrap();
        at(name)
    };

    let damaged = copy("damaged.db");
    damage(&damaged);
    let short = copy("short.db");
    let bytes = std::fs::read(&short).unwrap();
    std::fs::write(&short, &bytes[..bytes.len() / 2]).unwrap();
    let index = copy("index.db");
    change(
        &index,
        &[
            "PRAGMA writable_schema = on",
            "UPDATE sqlite_schema SET rootpage = 2 WHERE name = (SELECT name FROM sqlite_schema \
             WHERE type = 'index' AND sql IS NOT NULL LIMIT 1)",
        ],
    )
    .await;
    let empty = at("empty.db");
    std::fs::write(&empty, "").unwrap();
    let text = at("text.db");
    std::fs::write(&text, "no database, but long enough to be read as one ".repeat(10)).unwrap();
    let foreign = at("foreign.db");
    change(&foreign, &["CREATE TABLE note (id INTEGER PRIMARY KEY)"]).await;
    let newer = copy("newer.db");
    change(
        &newer,
        &["INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000001_far', 0)"],
    )
    .await;
    let live = copy("live.db");
    std::fs::write(at("live.db-wal"), "a log").unwrap();

    vec![
        (damaged, "damaged"),
        (short, "damaged"),
        (index, "damaged"),
        (empty, "is empty"),
        (text, "not a database of SQLite"),
        (foreign, "not one of Tidegate"),
        (newer, "m29991231_000001_far"),
        (live, "live.db-wal"),
        (at("missing.db"), "missing.db"),
        (node.folder().to_owned(), "is no file"),
        (node.database(), "belongs to the database itself"),
    ]
}
