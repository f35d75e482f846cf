//! Commands that came by push beside those of the stream.

use super::*;
use crate::inbox::Arrival;
use crate::push::PushedCommand;

fn pushed(id: &str) -> PushedCommand {
    PushedCommand {
        stream: own(),
        id: CommandId::parse(id).unwrap(),
        data_type: "steps".to_owned(),
        value: raw(&json!({"n": 1})),
        expires_at: Timestamp::from_millis(2_000_000),
    }
}

async fn arrive(store: &Store, id: &str) -> Arrival {
    store.arrive_by_push(&pushed(id)).await.unwrap()
}

async fn entry(store: &Store, seq: i64, attempt: i32) {
    events(store, seq, &[("command", command(A, attempt, "normal", 2_000_000))]).await;
}

async fn reported(store: &Store) -> Vec<(Option<i32>, OutcomeWord)> {
    let outbox = store.outbox().await.unwrap();
    outbox.iter().map(|result| (result.attempt, result.status)).collect()
}

/// Push, stream and push again, across restarts: one execution, and every
/// arrival is answered with its outcome.
#[tokio::test]
async fn a_command_by_push_and_by_stream_runs_once() {
    let disk = Disk::new();
    let store = disk.open().await;
    assert_eq!(arrive(&store, A).await, Arrival::Insert);
    store.close().await.unwrap();
    let store = disk.open().await;
    assert_eq!(arrive(&store, A).await, Arrival::Note, "durable, not begun");
    assert_eq!(next(&store).await, Some((id(A), false)));
    store.finish(&id(A), &Outcome::Applied).await.unwrap();
    assert_eq!(reported(&store).await, [(None, OutcomeWord::Applied)]);
    store.close().await.unwrap();
    let store = disk.open().await;
    assert_eq!(reported(&store).await, [(None, OutcomeWord::Applied)], "survives");
    entry(&store, 1, 1).await;
    assert_eq!(reported(&store).await, [(Some(1), OutcomeWord::Applied)]);
    store.confirm(&[(id(A), 0)]).await.unwrap();
    assert_eq!(reported(&store).await.len(), 1, "the answer to the entry is another report");
    store.confirm(&[(id(A), 1)]).await.unwrap();
    assert_eq!(arrive(&store, A).await, Arrival::Answer);
    assert_eq!(reported(&store).await, [(None, OutcomeWord::Applied)]);
    store.confirm(&[(id(A), 0)]).await.unwrap();
    assert!(reported(&store).await.is_empty());
    assert_eq!(next(&store).await, None, "once");
}

/// Before it runs, the entry's attempt is noted; the report then names it.
#[tokio::test]
async fn an_entry_tells_the_attempt_of_a_waiting_command() {
    let (_disk, store) = Disk::with_store().await;
    arrive(&store, A).await;
    entry(&store, 1, 2).await;
    next(&store).await.unwrap();
    store.finish(&id(A), &Outcome::Applied).await.unwrap();
    assert_eq!(reported(&store).await, [(Some(2), OutcomeWord::Applied)]);
}

/// A failure that may be retried is, when the stream says so, and not because
/// the same push came twice.
#[tokio::test]
async fn a_retry_runs_only_when_the_stream_asks_for_it() {
    let (_disk, store) = Disk::with_store().await;
    arrive(&store, A).await;
    next(&store).await.unwrap();
    let failed = Outcome::Failed { error: "busy".to_owned(), retryable: true };
    store.finish(&id(A), &failed).await.unwrap();
    assert_eq!(arrive(&store, A).await, Arrival::LookUp);
    entry(&store, 1, 1).await;
    assert_eq!(next(&store).await, None, "the attempt of the push");
    assert_eq!(reported(&store).await, [(Some(1), OutcomeWord::Failed)]);
    entry(&store, 2, 2).await;
    assert_eq!(next(&store).await, Some((id(A), false)));
}

/// A push may be late: what the stream closed is not begun, although its entry
/// never came.
#[tokio::test]
async fn a_closed_command_is_not_begun_by_a_late_push() {
    let (_disk, store) = Disk::with_store().await;
    events(&store, 1, &[("command_closed", closed(A))]).await;
    assert_eq!(arrive(&store, A).await, Arrival::Ignore);
    assert_eq!(next(&store).await, None);
    store.prune(NOW.plus_millis(28 * 24 * 60 * 60 * 1000)).await.unwrap();
    assert_eq!(arrive(&store, A).await, Arrival::Ignore, "as long as a command can live");
    assert!(reported(&store).await.is_empty());
}

/// A snapshot closes what is not in it; a command that a push brought may be
/// younger than the snapshot.
#[tokio::test]
async fn a_snapshot_does_not_close_what_a_push_brought() {
    let (_disk, store) = Disk::with_store().await;
    arrive(&store, A).await;
    page(&store, true, true, &[]).await;
    assert_eq!(next(&store).await, Some((id(A), false)));
}
