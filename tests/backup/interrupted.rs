//! A restore that is killed at any moment.

use std::time::Duration;

use rand::Rng as _;

use crate::backup::node::Node;
use crate::seed;

const ROUNDS: usize = 12;

/// Longer than a restore takes.
const LATEST: Duration = Duration::from_millis(120);

/// Then the old database is served, or the new one, or `serve` says that the
/// restore must be run again; and after that the new one is.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_leaves_one_of_two_states() {
    let mut node = Node::started().await;
    let kept = node.make("u1", 3).await;
    let backup = node.folder().join("backup.db");
    node.run(&["backup", backup.to_str().unwrap()]).await;
    let lost = node.make("u1", 3).await;
    node.stop().await;
    let old = node.folder().join("old.db");
    std::fs::copy(node.database(), &old).unwrap();
    for seed in seed::rounds("interrupted restore", ROUNDS) {
        seed::say(&seed::replay(seed));
        node.run(&["restore", old.to_str().unwrap()]).await;
        let mut restoring = node.command(&["restore", backup.to_str().unwrap()]).spawn().unwrap();
        let delay = LATEST.mul_f64(seed::rng(seed).random_range(0.0..1.0));
        tokio::time::sleep(delay).await;
        restoring.kill().await.unwrap();
        if let Err(said) = node.try_start().await {
            assert!(said.contains("run `tidegate restore FILE` again"), "{said}");
            node.run(&["restore", backup.to_str().unwrap()]).await;
            node.start().await;
        }
        for id in &kept {
            assert_eq!(node.status_of(id).await, 200);
        }
        let mut found = Vec::new();
        for id in &lost {
            found.push(node.status_of(id).await);
        }
        assert!(found == [200; 3] || found == [404; 3], "half of each: {found:?}");
        node.make("u1", 1).await;
        node.stop().await;
    }
}
