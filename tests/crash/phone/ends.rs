//! Stores that a phone cannot go on with: it says so in a sentence, and ends.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use tokio::time::timeout;

use crate::crash::phone::Round;
use crate::crash::phone::app::{App, PATIENCE};
use crate::support::{Fault, Files, Gateway, eventually};

/// A page of SQLite's.
const PAGE: usize = 4_096;

/// Overwrites the store but for its first pages.
fn damage(app: &App, from_page: usize) {
    let file = File::options().write(true).open(app.file()).unwrap();
    let pages = usize::try_from(file.metadata().unwrap().len()).unwrap() / PAGE;
    assert!(pages > from_page, "{pages} pages");
    for page in from_page..pages {
        file.write_all_at(&[0xa5; PAGE], (page * PAGE) as u64).unwrap();
    }
}

async fn at_work(gateway: &Gateway) -> Round<'_> {
    let mut round = Round { gateway, app: App::start(gateway) };
    round.make(3).await;
    round.all_applied().await;
    round
}

async fn ends_with(round: &mut Round<'_>, sentence: &str) {
    let status = round.app.ended().await;
    let log = round.app.log();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.lines().last().is_some_and(|line| line.contains(sentence)), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_does_not_start_on_a_damaged_store() {
    let gateway = Gateway::start().await;
    for from_page in [0, 1] {
        let mut round = at_work(&gateway).await;
        // The account reads the store, and leaves all of it in its one file.
        round.kill().await;
        damage(&round.app, from_page);
        round.app.start_again();
        ends_with(&mut round, "the device store is damaged").await;
    }
}

/// It neither tries for ever nor carries out what it cannot store.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_stops_when_its_store_is_damaged() {
    let gateway = Gateway::start().await;
    let mut round = at_work(&gateway).await;
    round.kill().await;
    round.app.start_again();
    round.make(1).await;
    round.all_applied().await;
    let executed = round.app.executions().len();
    damage(&round.app, 1);
    let log = File::options().write(true).open(format!("{}-wal", round.app.file().display()));
    log.unwrap().set_len(0).unwrap();
    // What a connection holds in memory is not damaged. Another one reads the
    // file.
    round.app.disk.fail_after(Fault::WriteError, Files::LOG, 0);
    round.make(1).await;
    eventually("the fault", async || (round.app.disk.struck() > 0).then_some(())).await;
    round.app.disk.heal();
    ends_with(&mut round, "the device store is damaged").await;
    assert_eq!(round.app.executions().len(), executed);
}

/// A second process would carry commands out twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_phone_on_one_store_is_refused() {
    let gateway = Gateway::start().await;
    let mut round = at_work(&gateway).await;
    let second = round.app.another();
    let refused = timeout(PATIENCE, second.wait_with_output()).await.expect("it ends").unwrap();
    let log = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{log}");
    assert!(log.contains("the device store is locked: it is open elsewhere"), "{log}");
    round.make(1).await;
    round.all_applied().await;
    round.kill().await;
}

/// The program cannot wait for a user who makes room; the next start works.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_does_not_start_without_room() {
    let gateway = Gateway::start().await;
    let mut round = at_work(&gateway).await;
    // Without the account, which would empty the log: its file is there.
    round.app.kill().await;
    round.app.disk.fail(Fault::Full { room: None });
    round.app.start_again();
    ends_with(&mut round, "the device store has no room on its disk").await;
    round.app.disk.heal();
    round.app.start_again();
    round.make(1).await;
    round.all_applied().await;
    round.kill().await;
}
