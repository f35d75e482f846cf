//! The store on a real file: what survives, and what happens once.

use serde_json::json;
use tempfile::TempDir;
use tidegate_protocol::command::Outcome as OutcomeWord;
use tidegate_protocol::entry::{Entry, Item};
use tidegate_protocol::id::CommandId;
use tidegate_protocol::time::Timestamp;

use super::*;
use crate::handler::Outcome;
use crate::machine::streams::{EventsPage, SnapshotPage};

mod faults;
mod pushes;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const A: &str = "00000000-0000-7000-8000-00000000000a";
const B: &str = "00000000-0000-7000-8000-00000000000b";
const C: &str = "00000000-0000-7000-8000-00000000000c";

/// A store in a temporary folder that can be closed and opened again.
struct Disk {
    folder: TempDir,
}

impl Disk {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    /// The folder must stay for as long as the store is open.
    async fn with_store() -> (Self, Store) {
        let disk = Self::new();
        let store = disk.open().await;
        (disk, store)
    }

    async fn open(&self) -> Store {
        Store::open(&self.folder.path().join("device.db")).await.unwrap()
    }
}

fn own() -> StreamName {
    StreamName::parse("user:u1").unwrap()
}

fn cursor(seq: i64) -> Cursor {
    Cursor { epoch: Epoch::parse("0a1b2c3d").unwrap(), seq: Seq::new(seq) }
}

fn command(id: &str, attempt: i32, priority: &str, expires_at_ms: i64) -> serde_json::Value {
    json!({"command_id": id, "attempt": attempt, "data_type": "steps", "value": {"n": 1},
        "priority": priority, "expires_at": Timestamp::from_millis(expires_at_ms)})
}

fn closed(id: &str) -> serde_json::Value {
    json!({"command_id": id, "status": "cancelled"})
}

fn raw(value: &serde_json::Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

async fn events(store: &Store, seq: i64, entries: &[(&str, serde_json::Value)]) -> bool {
    let entries = entries.iter().map(|(kind, body)| Entry {
        seq: Seq::new(seq),
        kind: (*kind).to_owned(),
        at: NOW,
        body: raw(body),
    });
    let page = EventsPage { stream: own(), cursor: cursor(seq), entries: entries.collect() };
    match store.plan(page).await.unwrap() {
        Planned::Ready(plan) => {
            store.commit(&plan).await.unwrap();
            true
        }
        Planned::Mismatch => false,
    }
}

async fn page(store: &Store, first: bool, last: bool, items: &[(&str, serde_json::Value)]) {
    let items = items.iter().map(|(kind, body)| Item { kind: (*kind).to_owned(), body: raw(body) });
    let page =
        SnapshotPage { stream: own(), cursor: cursor(9), items: items.collect(), first, last };
    store.stage(&page).await.unwrap();
    if last {
        store.finish_snapshot(&own(), &cursor(9)).await.unwrap();
    }
}

fn record(id: &str, version: i64, data: &serde_json::Value) -> (&'static str, serde_json::Value) {
    ("record", json!({"collection": "c", "id": id, "version": version, "op": "put", "data": data}))
}

async fn ids(store: &Store) -> Vec<String> {
    let replica = store.replica(&own()).await.unwrap();
    replica.iter().map(|change| format!("{}@{}", change.id, change.version)).collect()
}

/// Takes the next command and says whether it was interrupted before.
async fn next(store: &Store) -> Option<(CommandId, bool)> {
    store.take_next(NOW).await.unwrap().map(|command| (command.id, command.resumed))
}

fn id(text: &str) -> CommandId {
    CommandId::parse(text).unwrap()
}

#[tokio::test]
async fn identity_and_cursors_survive() {
    let disk = Disk::new();
    let store = disk.open().await;
    let device = store.device_id(None).await.unwrap();
    events(&store, 4, &[]).await;
    store.set_owner(&own()).await.unwrap();
    store.close().await.unwrap();
    let store = disk.open().await;
    assert_eq!(store.device_id(None).await.unwrap(), device);
    assert_eq!(store.cursors().await.unwrap()[&own()], cursor(4));
    assert_eq!(store.owner().await.unwrap(), Some(own()));
    store.forget_cursor(&own()).await.unwrap();
    assert!(store.cursors().await.unwrap().is_empty());
}

/// Two processes with one inbox would carry commands out twice.
#[tokio::test]
async fn a_second_opener_is_refused() {
    let disk = Disk::new();
    let first = disk.open().await;
    let path = disk.folder.path().join("device.db");
    assert!(Store::open(&path).await.is_err());
    first.close().await.unwrap();
    assert!(Store::open(&path).await.is_ok());
}

#[tokio::test]
async fn commands_run_by_priority_then_in_order() {
    let (_disk, store) = Disk::with_store().await;
    let later = i64::MAX / 2;
    for (seq, (id, priority)) in (1..).zip([(A, "low"), (B, "normal"), (C, "high")]) {
        events(&store, seq, &[("command", command(id, 1, priority, later / 1_000_000))]).await;
    }
    let other = "00000000-0000-7000-8000-00000000000d";
    events(&store, 4, &[("command", command(other, 1, "normal", later / 1_000_000))]).await;
    let mut order = Vec::new();
    while let Some((id, _)) = next(&store).await {
        store.finish(&id, &Outcome::Applied).await.unwrap();
        order.push(id.to_string());
    }
    assert_eq!(order, [C, B, other, A]);
}

/// A repeat after a restart is answered with the stored outcome, not executed.
#[tokio::test]
async fn a_repeat_after_a_restart_is_answered_from_the_store() {
    let disk = Disk::new();
    let store = disk.open().await;
    events(&store, 1, &[("command", command(A, 1, "normal", 2_000_000))]).await;
    let (taken, _) = next(&store).await.unwrap();
    let rejected = Outcome::Rejected { error: "no".to_owned() };
    store.finish(&taken, &rejected).await.unwrap();
    store.confirm(&[(taken.clone(), 1)]).await.unwrap();
    store.close().await.unwrap();

    let store = disk.open().await;
    events(&store, 2, &[("command", command(A, 2, "normal", 2_000_000))]).await;
    assert_eq!(next(&store).await, None, "not executed again");
    let outbox = store.outbox().await.unwrap();
    assert_eq!(outbox, [rejected.report(&taken, Some(2)).unwrap()]);
    store.confirm(&[(taken.clone(), 1)]).await.unwrap();
    assert_eq!(store.outbox().await.unwrap().len(), 1, "another attempt's answer");
    store.confirm(&[(taken, 2)]).await.unwrap();
    assert!(store.outbox().await.unwrap().is_empty());
}

/// Only an outcome ends a command: a crash before it runs the command again.
#[tokio::test]
async fn an_interrupted_command_runs_again_and_says_so() {
    let disk = Disk::new();
    let store = disk.open().await;
    events(&store, 1, &[("command", command(A, 1, "normal", 2_000_000))]).await;
    assert_eq!(next(&store).await, Some((id(A), false)));
    store.close().await.unwrap();
    let store = disk.open().await;
    assert_eq!(next(&store).await, Some((id(A), true)));
    store.finish(&id(A), &Outcome::Applied).await.unwrap();
    assert_eq!(next(&store).await, None);
}

/// What ends the process each time is carried out after everything else.
#[tokio::test]
async fn an_interrupted_command_does_not_block_the_others() {
    let disk = Disk::new();
    let store = disk.open().await;
    events(&store, 1, &[("command", command(A, 1, "high", 2_000_000))]).await;
    assert_eq!(next(&store).await, Some((id(A), false)));
    store.close().await.unwrap();
    let store = disk.open().await;
    events(&store, 2, &[("command", command(B, 1, "low", 2_000_000))]).await;
    assert_eq!(next(&store).await, Some((id(B), false)));
    store.finish(&id(B), &Outcome::Applied).await.unwrap();
    assert_eq!(next(&store).await, Some((id(A), true)));
}

/// A command that is closed while the app is asked is not tried again.
#[tokio::test]
async fn a_closed_command_is_not_postponed() {
    let disk = Disk::new();
    let store = disk.open().await;
    events(&store, 1, &[("command", command(A, 1, "normal", 2_000_000))]).await;
    next(&store).await.unwrap();
    events(&store, 2, &[("command_closed", closed(A))]).await;
    store.finish(&id(A), &Outcome::Postponed).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(next(&disk.open().await).await, None);
}

/// A hundred long errors are more than a frame takes.
#[tokio::test]
async fn outcomes_travel_in_frames_that_fit() {
    let (_disk, store) = Disk::with_store().await;
    let error = "\u{1}".repeat(2_000);
    let total = 30;
    for n in 0..total {
        let id = format!("00000000-0000-7000-8000-{n:012x}");
        events(&store, n + 1, &[("command", command(&id, 1, "normal", 2_000_000))]).await;
        let (taken, _) = next(&store).await.unwrap();
        let failed = Outcome::Failed { error: error.clone(), retryable: false };
        store.finish(&taken, &failed).await.unwrap();
    }
    let mut reported = 0;
    while reported < total {
        let outbox = store.outbox().await.unwrap();
        assert!(serde_json::to_string(&outbox).unwrap().len() < 200_000, "{}", outbox.len());
        let reports: Vec<_> = outbox.iter().map(|row| (row.command_id.clone(), 1)).collect();
        reported += i64::try_from(reports.len()).unwrap();
        store.confirm(&reports).await.unwrap();
    }
    assert!(store.outbox().await.unwrap().is_empty());
}

#[tokio::test]
async fn closed_and_expired_commands_are_not_executed() {
    let (_disk, store) = Disk::with_store().await;
    let entries = [
        ("command", command(A, 1, "normal", 2_000_000)),
        ("command", command(B, 1, "normal", NOW.millis())),
        ("command_closed", closed(A)),
    ];
    events(&store, 1, &entries).await;
    assert_eq!(next(&store).await, None);
    events(&store, 2, &[("command", command(A, 2, "normal", 2_000_000))]).await;
    assert_eq!(next(&store).await, None, "closed stays closed");
    assert!(store.outbox().await.unwrap().is_empty());
}

/// However long ago a life ended, its end is told, once, and not forgotten
/// before that.
#[tokio::test]
async fn what_expired_is_reported_once() {
    let disk = Disk::new();
    let store = disk.open().await;
    events(&store, 1, &[("command", command(A, 1, "normal", 1_500_000))]).await;
    next(&store).await.unwrap();
    events(&store, 2, &[("command", command(B, 2, "normal", 1_600_000))]).await;
    events(&store, 3, &[("command", command(C, 1, "normal", 1_700_000))]).await;
    let much_later = NOW.plus_millis(9 * 24 * 60 * 60 * 1000);
    store.prune(much_later).await.unwrap();
    assert_eq!(store.take_next(much_later).await.unwrap().map(|command| command.id), None);
    let expired = store.expired(much_later).await.unwrap();
    let told: Vec<_> =
        expired.iter().map(|command| (command.id.as_str(), command.resumed)).collect();
    assert_eq!(told, [(A, true), (B, false), (C, false)]);
    events(&store, 4, &[("command_closed", closed(C))]).await;
    let ended = store.expire(expired).await.unwrap();
    assert_eq!(ended.iter().map(|command| command.id.as_str()).collect::<Vec<_>>(), [A, B]);
    let outbox = store.outbox().await.unwrap();
    let reported: Vec<_> = outbox
        .iter()
        .map(|row| {
            (row.command_id.as_str(), row.attempt, row.status, row.error.as_deref().unwrap())
        })
        .collect();
    let failed = OutcomeWord::Failed;
    assert_eq!(
        reported,
        [
            (A, Some(1), failed, "expired after an interruption: it may have taken effect"),
            (B, Some(2), failed, "expired before it was carried out"),
        ]
    );
    assert!(store.expired(much_later).await.unwrap().is_empty());
}

#[tokio::test]
async fn retries_and_postponed_commands_run_when_asked_again() {
    let disk = Disk::new();
    let store = disk.open().await;
    events(&store, 1, &[("command", command(A, 1, "normal", 2_000_000))]).await;
    next(&store).await.unwrap();
    let failed = Outcome::Failed { error: "busy".to_owned(), retryable: true };
    store.finish(&id(A), &failed).await.unwrap();
    events(&store, 2, &[("command", command(A, 2, "normal", 2_000_000))]).await;
    assert_eq!(next(&store).await, Some((id(A), false)));
    store.finish(&id(A), &Outcome::Postponed).await.unwrap();
    assert_eq!(next(&store).await, None);
    store.close().await.unwrap();
    let store = disk.open().await;
    assert_eq!(next(&store).await, Some((id(A), false)), "tried again at the start");
    store.finish(&id(A), &Outcome::Applied).await.unwrap();
    let outbox = store.outbox().await.unwrap();
    assert_eq!((outbox[0].attempt, outbox[0].status), (Some(2), OutcomeWord::Applied));
}

#[tokio::test]
async fn ids_are_remembered_until_a_day_after_their_expiry() {
    let (_disk, store) = Disk::with_store().await;
    events(&store, 1, &[("command", command(A, 1, "normal", 2_000_000))]).await;
    next(&store).await.unwrap();
    store.finish(&id(A), &Outcome::Applied).await.unwrap();
    let day_after = NOW.plus_millis(1_000_000 + 24 * 60 * 60 * 1000 + 1);
    store.prune(day_after).await.unwrap();
    events(&store, 2, &[("command", command(A, 2, "normal", 2_000_000))]).await;
    assert_eq!(store.outbox().await.unwrap()[0].attempt, Some(2), "not confirmed: kept");
    store.confirm(&[(id(A), 2)]).await.unwrap();
    store.prune(day_after.plus_millis(-2)).await.unwrap();
    events(&store, 3, &[("command", command(A, 3, "normal", 2_000_000))]).await;
    assert_eq!(store.outbox().await.unwrap()[0].attempt, Some(3), "still remembered");
}

#[tokio::test]
async fn the_replica_folds_versions() {
    let (_disk, store) = Disk::with_store().await;
    events(&store, 1, &[record("1", 1, &json!({"a": 1})), record("2", 1, &json!({}))]).await;
    let patch = |version, base| {
        let body = json!({"collection": "c", "id": "1", "version": version, "op": "patch",
            "base_version": base, "patch": {"b": 2}});
        ("record", body)
    };
    let delete = json!({"collection": "c", "id": "2", "version": 2, "op": "delete"});
    assert!(events(&store, 2, &[patch(2, 1), ("record", delete)]).await);
    assert_eq!(ids(&store).await, ["1@2"]);
    let replica = store.replica(&own()).await.unwrap();
    assert_eq!(replica[0].data.as_ref().unwrap().get(), r#"{"a":1,"b":2}"#);
    assert!(events(&store, 3, &[record("2", 1, &json!({}))]).await);
    assert_eq!(ids(&store).await, ["1@2"], "older than the delete");
    assert!(!events(&store, 4, &[patch(9, 8)]).await, "another base");
    assert_eq!(store.cursors().await.unwrap()[&own()], cursor(3), "and the cursor stays");
}

/// A cut snapshot changes nothing; a complete one replaces everything.
#[tokio::test]
async fn a_snapshot_replaces_the_replica_at_its_last_page() {
    let disk = Disk::new();
    let store = disk.open().await;
    events(&store, 1, &[record("old", 5, &json!({}))]).await;
    page(&store, true, false, &[record("cut", 1, &json!({}))]).await;
    store.close().await.unwrap();
    let store = disk.open().await;
    assert_eq!(ids(&store).await, ["old@5"]);
    assert!(store.cursors().await.unwrap().is_empty(), "void since the reset");
    assert_eq!(store.unfinished_snapshots().await.unwrap()[&own()], cursor(9));

    page(&store, true, false, &[record("new", 2, &json!({}))]).await;
    page(&store, false, true, &[record("newer", 1, &json!({}))]).await;
    assert_eq!(ids(&store).await, ["new@2", "newer@1"]);
    assert_eq!(store.cursors().await.unwrap()[&own()], cursor(9));
    assert!(store.unfinished_snapshots().await.unwrap().is_empty());
}

/// What waits here and is not in the snapshot was closed meanwhile.
#[tokio::test]
async fn a_snapshot_settles_the_inbox() {
    let (_disk, store) = Disk::with_store().await;
    events(&store, 1, &[("command", command(A, 1, "normal", 2_000_000))]).await;
    events(&store, 2, &[("command", command(B, 1, "normal", 2_000_000))]).await;
    let items = [B, C].map(|id| ("command", command(id, 1, "normal", 2_000_000)));
    page(&store, true, true, &items).await;
    let mut order = Vec::new();
    while let Some((id, _)) = next(&store).await {
        store.finish(&id, &Outcome::Applied).await.unwrap();
        order.push(id.to_string());
    }
    assert_eq!(order, [B, C]);
}

#[tokio::test]
async fn memory_stores_work_and_forget() {
    let store = Store::open(Path::new(IN_MEMORY)).await.unwrap();
    events(&store, 1, &[("command", command(A, 1, "normal", 2_000_000))]).await;
    assert_eq!(next(&store).await, Some((id(A), false)));
}
