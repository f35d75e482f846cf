//! The marketplace's upstream: one node of all polls it, holds its socket,
//! and uploads ratings to it.
//!
//! Owns when upstream is asked and what its answers are worth: an answer that
//! is not whole is an error and never "there is nothing". Never writes an item
//! itself: facts go to the writer under a lease, so that a node that was
//! replaced changes nothing.

use std::sync::Arc;

use dashmap::DashSet;
use tidegate_clock::Clock;
use tidegate_services::atom::{Atom, AtomOptions};
use tokio::sync::{Notify, mpsc};

use crate::config::marketplace::Marketplace;
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::resolve::rules::Rules;
use crate::schedule::Schedule;
use crate::store::Store;

pub mod admin;
pub mod cache;
mod dates;
mod facts;
pub mod health;
mod known;
mod lead;
mod listing;
mod patience;
pub mod ratings;
mod refresh;
mod restored;
mod run;
mod seen;
mod socket;
mod status;
mod sweep;

pub use lead::run;

/// Items whose refresh may wait; more are left to the next poll.
const REFRESHES: usize = 100;

/// The marketplace of this node: what it works with, and what the rest of the
/// gateway may tell its upstream service. Cloning copies one pointer.
#[derive(Clone)]
pub struct MarketplaceHandle(Arc<Parts>);

/// The handles.
pub struct Parts {
    /// The name of this node, the same after a restart.
    pub node: String,
    /// Settings.
    pub settings: Marketplace,
    /// The database.
    pub store: Store,
    /// The writer.
    pub ingest: Ingest,
    /// Wall time.
    pub clock: Clock,
    /// Figures.
    pub metrics: Metrics,
    /// How conflicts are judged.
    pub rules: Arc<Rules>,
    /// To the service, where there is one.
    pub hints: Option<Arc<Hints>>,
}

/// What the service of this node is told. Hints only: what was asked for stands
/// in the database.
#[derive(Debug)]
pub struct Hints {
    /// When what recurs is due.
    work: Schedule<Work>,
    /// What the socket may do was changed.
    socket: Notify,
    /// Skills whose time is over were read.
    refreshes: mpsc::Sender<String>,
    /// Those of them that wait.
    refreshing: DashSet<String>,
}

/// What recurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    /// Synchronising with upstream.
    Run,
    /// Uploading ratings.
    Ratings,
}

impl Work {
    const ALL: [Self; 2] = [Self::Run, Self::Ratings];
}

/// What the service of a node works with.
#[derive(Debug)]
pub struct Service {
    atom: Atom,
    hints: Arc<Hints>,
    refreshes: mpsc::Receiver<String>,
}

impl Service {
    /// The service, where a marketplace is configured.
    pub fn open(settings: &Marketplace, clock: &Clock) -> anyhow::Result<Option<Self>> {
        if !settings.is_on() {
            return Ok(None);
        }
        let atom = Atom::new(options(settings, clock)?)?;
        let (sender, refreshes) = mpsc::channel(REFRESHES);
        let hints = Arc::new(Hints {
            work: Schedule::default(),
            socket: Notify::new(),
            refreshes: sender,
            refreshing: DashSet::new(),
        });
        Ok(Some(Self { atom, hints, refreshes }))
    }

    /// For the handle.
    pub fn hints(&self) -> Arc<Hints> {
        Arc::clone(&self.hints)
    }
}

impl std::ops::Deref for MarketplaceHandle {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl MarketplaceHandle {
    /// Wraps the handles.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Whether a marketplace is configured.
    pub fn is_on(&self) -> bool {
        self.hints.is_some()
    }

    fn hint(&self, which: impl FnOnce(&Hints)) {
        if let Some(hints) = &self.hints {
            which(hints);
        }
    }
}

fn options(settings: &Marketplace, clock: &Clock) -> anyhow::Result<AtomOptions> {
    let url = |text: &str| (!text.is_empty()).then(|| text.parse()).transpose();
    Ok(AtomOptions {
        contract: settings.contract,
        base_url: settings.base_url.parse()?,
        ws_url: url(&settings.ws_url)?,
        token: settings.token.clone(),
        instance_id: (!settings.instance_id.is_empty()).then(|| settings.instance_id.clone()),
        timeout: std::time::Duration::from_secs(settings.timeout_s),
        clock: clock.clone(),
    })
}
