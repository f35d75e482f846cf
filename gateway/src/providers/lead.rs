//! Leading: one node of all asks the providers, for as long as it holds the lease.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use sea_orm::DbErr;
use tidegate_services::provider::Provider;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::hub::lock;
use crate::leader::{Election, Term};
use crate::limits::{PROVIDER_LOOK_USERS, PROVIDER_TURNS};
use crate::providers::{ProvidersHandle, rate, renew, run as runs, turn};
use crate::schedule::Schedule;
use crate::store;

/// Name of the lease.
const LEASE: &str = "providers";

/// How long a node may be silent before another one takes over.
const LEASE_TIME: Duration = Duration::from_secs(30);

/// How often it is looked what is due.
const LOOK: Duration = Duration::from_secs(1);

/// What everything that is done with providers works with.
pub(super) struct Leader {
    pub(super) handle: ProvidersHandle,
    pub(super) term: Term,
    /// Users whose turn it is.
    users: Schedule<String>,
    /// Users whose turn ended since it was last looked what is due.
    ended: Mutex<BTreeSet<String>>,
}

impl Leader {
    /// A user's turn is over.
    pub(super) fn ended(&self, user_id: String) {
        lock(&self.ended).insert(user_id);
    }

    /// Milliseconds between two runs of an integration.
    pub(super) fn interval_ms(&self) -> i64 {
        i64::from(self.handle.settings.interval_s) * 1_000
    }
}

/// Runs the service of this node: leads whenever no other node does.
pub async fn run(handle: ProvidersHandle, stop: CancellationToken) {
    let (store, clock, node) = (handle.store.clone(), handle.clock.clone(), handle.node.clone());
    let mut election = Election::new(store, clock, LEASE, node, LEASE_TIME);
    while let Some(term) = election.win(&stop).await {
        let leader = Leader {
            handle: handle.clone(),
            term: term.clone(),
            users: Schedule::default(),
            ended: Mutex::default(),
        };
        election.hold(&term, Box::pin(lead(leader))).await;
    }
}

async fn lead(leader: Leader) {
    tracing::info!("this node reads from the cloud providers");
    let leader = &leader;
    let take = |user_id| turn::turn(leader, user_id);
    tokio::join!(
        Box::pin(leader.users.run(PROVIDER_TURNS, &leader.term.over, take)),
        Box::pin(look(leader)),
        Box::pin(renew::renew(leader)),
    );
    for provider in Provider::ALL {
        leader.handle.metrics.provider_windows_spent.of(provider.into()).set(0);
    }
}

/// Looks what is due, again and again.
async fn look(leader: &Leader) {
    let mut is_failing = false;
    loop {
        match find(leader).await {
            Ok(()) => is_failing = false,
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::warn!(%error, "what is due of integrations cannot be read");
            }
            Err(_) => {}
        }
        tokio::select! {
            biased;
            () = leader.term.over.cancelled() => return,
            () = leader.handle.look.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn find(leader: &Leader) -> Result<(), DbErr> {
    let handle = &leader.handle;
    let (db, now) = (handle.store.readers(), handle.clock.now().millis());
    lock(&leader.ended).clear();
    // What webhooks told goes first; then who waits for longest.
    let events = store::webhook_event::due(db, now, PROVIDER_LOOK_USERS).await?;
    let mut found: Vec<String> = Vec::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    found.extend(events.into_iter().map(|(user_id, _)| user_id));
    for provider in handle.clients.keys().copied() {
        let room = rate::room(handle, provider).await?;
        let is_closed = room.closed_until.is_some();
        handle.metrics.provider_windows_spent.of(provider.into()).set(i64::from(is_closed));
        if let Some(until) = room.closed_until {
            pause(leader, provider, now, until).await?;
            continue;
        }
        let limit = room.left.min(PROVIDER_LOOK_USERS);
        found.extend(store::integration::due(db, provider.as_str(), now, limit).await?);
    }
    // Who had a turn since the rows were read, or has one, is found again in the
    // place that is due then: another turn at once would be before those who wait.
    let ended = std::mem::take(&mut *lock(&leader.ended));
    found.retain(|user_id| {
        let is_served = ended.contains(user_id) || leader.users.is_running(user_id);
        known.insert(user_id.clone()) && !is_served
    });
    if !ended.is_empty() {
        handle.look.notify_one();
    }
    let at = Instant::now();
    for (place, user_id) in found.into_iter().enumerate() {
        // In this order: none is due at the same moment as another.
        let place = Duration::from_nanos(u64::try_from(place).unwrap_or_default());
        leader.users.hasten(user_id, at + place);
    }
    Ok(())
}

/// Nothing runs while a window is spent: those that somebody was told of wait for
/// its end, and say so.
async fn pause(leader: &Leader, provider: Provider, now: i64, until: i64) -> Result<(), DbErr> {
    let db = leader.handle.store.readers();
    let word = provider.as_str();
    for row in store::integration::in_hand(db, word, now, PROVIDER_LOOK_USERS).await? {
        if !leader.users.is_running(&row.user_id) {
            runs::pause(leader, provider, &row, until).await;
        }
    }
    Ok(())
}
