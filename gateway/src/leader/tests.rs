//! Elections of two nodes on one database, on clocks that the tests move.

use tempfile::TempDir;

use tidegate_clock::Hands;

use super::*;
use crate::store::StoreOptions;
use crate::store::schema::migrate;

const TTL: Duration = Duration::from_secs(30);
const TTL_MS: i64 = 30_000;

struct World {
    store: Store,
    clock: Clock,
    hands: Hands,
    _folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            url: format!("sqlite://{}?mode=rwc", folder.path().join("file.db").display()),
            connections: 1,
            synchronous_full: false,
            acquire_timeout: TTL,
            statement_timeout: TTL,
            lock_timeout: TTL,
            check_limit: TTL,
        };
        let store = Store::open(&options).await.unwrap();
        migrate(&store).await.unwrap();
        let (clock, hands) = Clock::movable();
        Self { store, clock, hands, _folder: folder }
    }

    fn node(&self, name: &str) -> Election {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        Election::new(store, clock, "work", name.to_owned(), TTL)
    }

    fn pass(&self, ms: i64) {
        self.hands.move_ms(ms);
    }
}

fn term(fence: Fence) -> Term {
    Term { fence, over: CancellationToken::new() }
}

#[tokio::test]
async fn one_node_leads_until_it_is_silent_for_too_long() {
    let world = World::new().await;
    let (mut first, mut second) = (world.node("first"), world.node("second"));
    let fence = first.stand().await.unwrap().unwrap();
    world.pass(TTL_MS - 1_000);
    assert_eq!(second.stand().await.unwrap(), None);
    assert!(first.renew(&fence).await.unwrap());
    world.pass(TTL_MS - 1_000);
    assert_eq!(second.stand().await.unwrap(), None);
    world.pass(2_000);
    let newer = second.stand().await.unwrap().unwrap();
    assert!(newer.generation > fence.generation);
    assert!(!first.renew(&fence).await.unwrap(), "it is another node's by now");
}

/// A node that was replaced and does not know it yet writes nothing.
#[tokio::test]
async fn a_term_that_is_over_writes_nothing() {
    let world = World::new().await;
    let (mut first, mut second) = (world.node("first"), world.node("second"));
    let old = term(first.stand().await.unwrap().unwrap());
    let write = async |term: &Term| {
        term.write(&world.store, |tx| async move {
            let other = Applicant { holder: "checkpoint", retakes: true, unmoved: None };
            lease::take(&tx, "checkpoint", other, 0, 1).await
        })
        .await
    };
    write(&old).await.unwrap();
    world.pass(TTL_MS + 1_000);
    let new = term(second.stand().await.unwrap().unwrap());
    assert!(matches!(write(&old).await, Err(TermError::Over)));
    write(&new).await.unwrap();
}

/// After a restart a node takes back what it held, and only then: two nodes of
/// one name would take it from each other for ever.
#[tokio::test]
async fn a_lease_is_taken_back_once() {
    let world = World::new().await;
    let fence = world.node("first").stand().await.unwrap().unwrap();
    let mut again = world.node("first");
    assert_eq!(again.stand().await.unwrap().unwrap().generation, fence.generation + 1);
    assert_eq!(again.stand().await.unwrap(), None);
}

/// Work ends with the node, and the lease is free for the next one at once.
#[tokio::test]
async fn a_node_that_goes_gives_the_lease_back() {
    let world = World::new().await;
    let stop = CancellationToken::new();
    let mut first = world.node("first");
    let term = first.win(&stop).await.unwrap();
    let work = async {
        stop.cancel();
        term.over.cancelled().await;
    };
    first.hold(&term, work).await;
    assert!(world.node("second").stand().await.unwrap().is_some());
    assert!(first.win(&stop).await.is_none(), "it was told to stop");
}

/// A wrong clock wrote the end; its node is gone if the end does not move.
#[tokio::test(start_paused = true)]
async fn an_end_in_the_far_future_is_watched() {
    let mut watch = Watch::default();
    watch.see(1_000_000, 500);
    tokio::time::advance(TTL).await;
    assert_eq!(watch.unmoved(TTL), Some(1_000_000));
    watch.see(1_000_001, 500);
    assert_eq!(watch.unmoved(TTL), None, "it was moved");
    watch.see(400, 500);
    tokio::time::advance(TTL).await;
    assert_eq!(watch.unmoved(TTL), None, "an end like any other");
}
