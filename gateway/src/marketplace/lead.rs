//! Who leads: the node that holds the lease does everything that is done with
//! upstream, until it loses it.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DbErr;
use tidegate_services::atom::Atom;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::marketplace::Marketplace;
use crate::marketplace::patience::Patience;
use crate::marketplace::{Hints, Service, dates, ratings, refresh, run as runs, socket};
use crate::state::AppState;
use crate::store;
use crate::store::device::skewed;
use crate::store::lease::{Applicant, Fence, Taking};

/// Name of the lease.
pub(super) const LEASE: &str = "marketplace";

/// How often a node looks for what other nodes asked for.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// What everything that is done with upstream works with.
pub(super) struct Leader {
    pub(super) state: AppState,
    pub(super) atom: Atom,
    pub(super) hints: Arc<Hints>,
    pub(super) fence: Fence,
    pub(super) patience: Patience,
    /// Cancelled when the lease is lost or the node goes away.
    pub(super) over: CancellationToken,
}

impl Leader {
    pub(super) fn settings(&self) -> &Marketplace {
        &self.state.config.marketplace
    }

    /// Waits, unless it is over first; whether to go on.
    pub(super) async fn wait(&self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.over.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}

/// Runs the service of this node: leads whenever no other node does.
pub async fn run(state: AppState, service: Service, stop: CancellationToken) {
    let Service { atom, hints, mut refreshes } = service;
    let (mut retakes, mut watch) = (true, Watch::default());
    loop {
        let taken = take(&state, retakes, &mut watch).await;
        retakes &= taken.is_err();
        match taken {
            Ok(Some((fence, asked_until))) => {
                let leader = Leader {
                    patience: Patience::new(asked_until),
                    state: state.clone(),
                    atom: atom.clone(),
                    hints: Arc::clone(&hints),
                    fence,
                    over: stop.child_token(),
                };
                lead(&leader, &mut refreshes).await;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the marketplace's lease cannot be taken"),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause(&state)) => {}
        }
    }
}

/// How often the lease is renewed, or tried for.
fn pause(state: &AppState) -> Duration {
    Duration::from_secs(u64::from(state.config.marketplace.lease_s)) / 3
}

fn until(state: &AppState) -> (i64, i64) {
    let now = state.clock.now().millis();
    (now, now + i64::from(state.config.marketplace.lease_s) * 1000)
}

/// The end of another node's lease that lies farther ahead than any can, and
/// since when it is seen. The clock of that node is wrong, or was: it holds the
/// lease as long as it moves the end.
#[derive(Debug, Default)]
struct Watch(Option<(i64, Instant)>);

impl Watch {
    /// The end, if it was not moved for as long as a lease lasts.
    fn unmoved(&self, lease: Duration) -> Option<i64> {
        self.0.filter(|(_, since)| since.elapsed() >= lease).map(|(end, _)| end)
    }

    fn see(&mut self, end: i64, longest: i64) {
        let is_same = self.0.is_some_and(|(known, _)| known == end);
        if !is_same {
            self.0 = (end > longest).then(|| (end, Instant::now()));
        }
    }
}

/// Takes the lease; and until when upstream asked for patience.
async fn take(
    state: &AppState,
    retakes: bool,
    watch: &mut Watch,
) -> Result<Option<(Fence, Option<i64>)>, DbErr> {
    let (now, until) = until(state);
    let unmoved = watch.unmoved(pause(state) * 3);
    let applicant = Applicant { holder: &state.node, retakes, unmoved };
    let tried = state.store.write(|tx| async move {
        let taking = store::lease::take(&tx, LEASE, applicant, now, until).await?;
        Ok((taking, store::sync_state::read(&tx).await?.asked_until))
    });
    let (taking, asked_until) = tried.await?;
    Ok(match taking {
        Taking::Taken(fence) => Some((fence, asked_until)),
        Taking::Held(end) => {
            watch.see(end, skewed(until));
            None
        }
    })
}

/// Keeps the lease for longer; and sets right what a wrong clock wrote.
async fn renew(leader: &Leader) -> Result<bool, DbErr> {
    let renewed = leader.state.store.write(|tx| async move {
        let until = until(&leader.state).1;
        let renewed = store::lease::renew(&tx, &leader.fence, until).await?;
        if renewed {
            dates::set_right(&tx, leader.settings(), leader.state.clock.now()).await?;
        }
        Ok(renewed)
    });
    Ok(renewed.await?)
}

async fn release(leader: &Leader) -> Result<(), DbErr> {
    let released = leader
        .state
        .store
        .write(|tx| async move { store::lease::release(&tx, &leader.fence).await });
    Ok(released.await?)
}

async fn lead(leader: &Leader, refreshes: &mut mpsc::Receiver<String>) {
    tracing::info!("this node synchronises the marketplace");
    // What was read before is of no use by now.
    while refreshes.try_recv().is_ok() {}
    leader.hints.refreshing.clear();
    // Boxed: together they are 20 KB, which would lie in one future.
    tokio::join!(
        keep(leader),
        Box::pin(runs::schedule(leader)),
        Box::pin(socket::keep_up(leader)),
        Box::pin(ratings::upload(leader)),
        Box::pin(refresh::refresh(leader, refreshes)),
    );
    // The next one to lead reports them.
    leader.state.metrics.upstream_connected.set(0);
    leader.state.metrics.conflicts_open.set(0);
    if let Err(error) = release(leader).await {
        tracing::warn!(%error, "the marketplace's lease was not given back; it runs out");
    }
}

/// Keeps the lease, and ends everything else when it is lost. A lease that
/// could not be renewed in time counts as lost.
async fn keep(leader: &Leader) {
    let state = &leader.state;
    let mut held_until = Instant::now() + pause(state) * 3;
    gauge(leader).await;
    while leader.wait(pause(state)).await {
        let began = Instant::now();
        match tokio::time::timeout(pause(state), renew(leader)).await {
            Ok(Ok(true)) => held_until = began + pause(state) * 3,
            Ok(Ok(false)) => {
                tracing::warn!("another node took over the marketplace");
                break;
            }
            Ok(Err(error)) => tracing::warn!(%error, "the marketplace's lease was not renewed"),
            Err(_) => tracing::warn!("the database does not answer; the lease was not renewed"),
        }
        if Instant::now() + pause(state) >= held_until {
            break;
        }
        gauge(leader).await;
    }
    leader.over.cancel();
}

/// Figures that only the database knows.
async fn gauge(leader: &Leader) {
    if let Ok(open) = store::conflict::open_count(leader.state.store.readers()).await {
        leader.state.metrics.conflicts_open.set(i64::try_from(open).unwrap_or(i64::MAX));
    }
}
