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

/// What the rest of the gateway may tell the upstream service of this node.
/// Hints only: what was asked for stands in the database.
#[derive(Clone, Debug)]
pub struct MarketplaceHandle(Option<Arc<Hints>>);

#[derive(Debug)]
struct Hints {
    /// A run was asked for.
    runs: Notify,
    /// What the socket may do was changed.
    socket: Notify,
    /// Ratings are to be uploaded now.
    ratings: Notify,
    /// Skills whose time is over were read.
    refreshes: mpsc::Sender<String>,
    /// Those of them that wait.
    refreshing: DashSet<String>,
}

/// What the service of a node works with.
#[derive(Debug)]
pub struct Service {
    atom: Atom,
    hints: Arc<Hints>,
    refreshes: mpsc::Receiver<String>,
}

impl MarketplaceHandle {
    /// The handle, and the service to run where a marketplace is configured.
    pub fn new(settings: &Marketplace, clock: &Clock) -> anyhow::Result<(Self, Option<Service>)> {
        if !settings.is_on() {
            return Ok((Self(None), None));
        }
        let atom = Atom::new(options(settings, clock)?)?;
        let (sender, refreshes) = mpsc::channel(REFRESHES);
        let hints = Arc::new(Hints {
            runs: Notify::new(),
            socket: Notify::new(),
            ratings: Notify::new(),
            refreshes: sender,
            refreshing: DashSet::new(),
        });
        let service = Service { atom, hints: Arc::clone(&hints), refreshes };
        Ok((Self(Some(hints)), Some(service)))
    }

    /// Whether a marketplace is configured.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    fn hint(&self, which: impl FnOnce(&Hints)) {
        if let Some(hints) = &self.0 {
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
