//! What the node that leads does with upstream, until its term is over.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_services::atom::Atom;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::marketplace::Marketplace;
use crate::leader::{Election, Term};
use crate::marketplace::run::Memory;
use crate::marketplace::{
    Hints, MarketplaceHandle, Service, Work, dates, ratings, refresh, run as runs, socket,
};
use crate::schedule::window::Window;
use crate::store;

/// Name of the lease.
pub(super) const LEASE: &str = "marketplace";

/// How often a node looks for what other nodes asked for.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// What everything that is done with upstream works with.
pub(super) struct Leader {
    pub(super) market: MarketplaceHandle,
    pub(super) atom: Atom,
    pub(super) hints: Arc<Hints>,
    pub(super) term: Term,
    /// Closed while upstream asks to be left alone.
    pub(super) window: Window,
}

impl Leader {
    pub(super) fn settings(&self) -> &Marketplace {
        &self.market.settings
    }

    /// Waits, unless the term is over first; whether to go on.
    pub(super) async fn wait(&self, time: Duration) -> bool {
        self.term.wait(time).await
    }
}

/// How long a node may be silent before another one takes over.
pub(super) fn lease_time(settings: &Marketplace) -> Duration {
    Duration::from_secs(u64::from(settings.lease_s))
}

/// Runs the service of this node: leads whenever no other node does.
pub async fn run(market: MarketplaceHandle, service: Service, stop: CancellationToken) {
    let Service { atom, hints, mut refreshes } = service;
    let (store, clock, node) = (market.store.clone(), market.clock.clone(), market.node.clone());
    let mut election = Election::new(store, clock, LEASE, node, lease_time(&market.settings));
    while let Some(term) = election.win(&stop).await {
        let (market, atom, hints) = (market.clone(), atom.clone(), Arc::clone(&hints));
        let work = lead(market, atom, hints, term.clone(), &mut refreshes);
        election.hold(&term, Box::pin(work)).await;
    }
}

async fn lead(
    market: MarketplaceHandle,
    atom: Atom,
    hints: Arc<Hints>,
    term: Term,
    refreshes: &mut mpsc::Receiver<String>,
) {
    tracing::info!("this node synchronises the marketplace");
    let Some(asked_until) = asked_until(&market, &term).await else { return };
    let longest = Duration::from_secs(u64::from(market.settings.retry_after_max_s));
    let window = Window::new(market.clock.clone(), longest, asked_until);
    let leader = &Leader { market, atom, hints, term, window };
    // What was read before is of no use by now.
    while refreshes.try_recv().is_ok() {}
    leader.hints.refreshing.clear();
    // Boxed: together they are 20 KB, which would lie in one future.
    tokio::join!(
        tend(leader),
        Box::pin(recurring(leader)),
        Box::pin(socket::keep_up(leader)),
        Box::pin(refresh::refresh(leader, refreshes)),
    );
    // The next one to lead reports them.
    leader.market.metrics.upstream_connected.set(0);
    leader.market.metrics.conflicts_open.set(0);
}

/// Until when upstream asked for patience; `None` when the term ended before it
/// could be read.
async fn asked_until(market: &MarketplaceHandle, term: &Term) -> Option<Option<i64>> {
    loop {
        match store::sync_state::read(market.store.readers()).await {
            Ok(row) => return Some(row.asked_until),
            Err(error) => tracing::warn!(%error, "the sync state cannot be read"),
        }
        if !term.wait(LOOK).await {
            return None;
        }
    }
}

/// Does what recurs, each in its turn.
async fn recurring(leader: &Leader) {
    let (work, now) = (&leader.hints.work, Instant::now());
    work.hasten(Work::Run, now);
    work.hasten(Work::Ratings, now);
    let (memory, upload_at) = (&Mutex::new(Memory::default()), &Mutex::new(now));
    let turn = |work| async move {
        Some(match work {
            Work::Run => runs::turn(leader, memory).await,
            Work::Ratings => ratings::turn(leader, upload_at).await,
        })
    };
    work.run(Work::ALL.len(), &leader.term.over, turn).await;
}

/// Sets right what a wrong clock wrote, and tells figures that only the database
/// knows.
async fn tend(leader: &Leader) {
    loop {
        let market = &leader.market;
        if let Ok(open) = store::conflict::open_count(market.store.readers()).await {
            market.metrics.conflicts_open.set(i64::try_from(open).unwrap_or(i64::MAX));
        }
        if let Err(error) = dates::set_right(leader).await {
            tracing::warn!(%error, "times that lie in the future were not set right");
        }
        if !leader.wait(lease_time(leader.settings()) / 3).await {
            return;
        }
    }
}
