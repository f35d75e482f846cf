//! The second tier: devices without a live session, or whose session gives no
//! result, are woken by push.
//!
//! Owns when a wake-up is sent, by whom, and what follows from the provider's
//! answer. What waits is in the journal; a wake-up only says "look". Losing
//! one delays, sending one twice is harmless: the command id makes it so.

use std::sync::Arc;

use tidegate_protocol::command::PushProvider;
use tidegate_services::fcm::Fcm;
use tidegate_services::webpush::WebPush;
use tokio::time::Instant;

use crate::hub::Hub;
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::push::circuit::Circuits;
use crate::store::Store;
use tidegate_clock::Clock;

pub mod bucket;
pub mod circuit;
pub mod dispatch;
pub mod plan;
mod rate;
mod send;
pub mod setup;

/// What the tier works with.
#[derive(Clone)]
pub struct Handles {
    /// The name of this node, the same after a restart.
    pub node: String,
    /// Settings.
    pub settings: crate::config::Push,
    /// The database.
    pub store: Store,
    /// The writer.
    pub ingest: Ingest,
    /// Who is connected.
    pub hub: Arc<Hub>,
    /// Wall time.
    pub clock: Clock,
    /// Figures.
    pub metrics: Metrics,
}

/// The push services of this node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Push(Arc<Services>);

/// What is configured.
#[derive(Debug)]
pub struct Services {
    fcm: Option<Fcm>,
    webpush: Option<WebPush>,
    circuits: Circuits,
}

impl Services {
    /// Whether a provider is configured.
    const fn has(&self, provider: PushProvider) -> bool {
        match provider {
            PushProvider::Fcm => self.fcm.is_some(),
            PushProvider::Webpush => self.webpush.is_some(),
        }
    }
}

impl Push {
    fn new(fcm: Option<Fcm>, webpush: Option<WebPush>, circuits: Circuits) -> Self {
        Self(Arc::new(Services { fcm, webpush, circuits }))
    }

    /// Whether any service is configured.
    pub fn is_configured(&self) -> bool {
        PushProvider::ALL.iter().any(|provider| self.0.has(*provider))
    }

    /// How the tier stands, for operators: `ok`, `not_configured`, or
    /// `circuit_open` while a service refuses this project, for one platform
    /// or as a whole.
    pub fn status(&self) -> &'static str {
        let is_any_open = self.0.circuits.count_open(Instant::now()) > 0;
        match (self.is_configured(), is_any_open) {
            (false, _) => "not_configured",
            (true, true) => "circuit_open",
            (true, false) => "ok",
        }
    }

    /// The VAPID public key browsers subscribe with, base64url.
    pub fn webpush_key(&self) -> Option<&str> {
        self.0.webpush.as_ref().map(WebPush::public_key)
    }
}
