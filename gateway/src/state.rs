//! What routes and sockets work with: one cloneable handle, filled by `app`.
//!
//! Owns no behaviour: everything in it belongs to a lower layer.

use std::collections::HashSet;
use std::sync::Arc;

use dashmap::DashMap;
use tidegate_clock::Clock;
use tidegate_protocol::id::{StreamName, UserId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{Authenticator, Holder};
use crate::budget::Budget;
use crate::config::Config;
use crate::hub::Hub;
use crate::hub::silent::Silent;
use crate::ingest::Ingest;
use crate::marketplace::MarketplaceHandle;
use crate::metrics::Metrics;
use crate::providers::ProvidersHandle;
use crate::push::Push;
use crate::resolve::rules::Rules;
use crate::session::{Moment, SessionOptions};
use crate::store::Store;

/// Handles to everything a request may need. Cloning copies one pointer.
#[derive(Clone)]
pub struct AppState(Arc<Parts>);

/// The handles.
pub struct Parts {
    /// Settings.
    pub config: Config,
    /// The name of this node, the same after a restart.
    pub node: String,
    /// The database.
    pub store: Store,
    /// The writer.
    pub ingest: Ingest,
    /// Who is connected.
    pub hub: Arc<Hub>,
    /// Wall time.
    pub clock: Clock,
    /// When this node started: the zero of its monotonic time.
    pub started: Instant,
    /// Figures.
    pub metrics: Metrics,
    /// Who may call.
    pub auth: Authenticator,
    /// The push services.
    pub push: Push,
    /// The marketplace's upstream.
    pub marketplace: MarketplaceHandle,
    /// Cloud providers of health data.
    pub providers: ProvidersHandle,
    /// How conflicts are judged.
    pub rules: Arc<Rules>,
    /// Times and bounds of sessions.
    pub session_options: Arc<SessionOptions>,
    /// Shared streams that can be followed.
    pub shared_streams: HashSet<StreamName>,
    /// Tasks of sockets.
    pub sockets: TaskTracker,
    /// Cancelled when this node goes away.
    pub draining: CancellationToken,
    /// Sockets that have not said hello.
    pub silent: Arc<Silent>,
    /// Memory that bodies of requests take.
    pub bodies: Budget<Holder>,
    /// Memory that answers take until they are read.
    pub answers: Budget<Holder>,
    /// Polls that wait, by user.
    pub pollers: DashMap<UserId, usize>,
}

impl std::ops::Deref for AppState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl AppState {
    /// Wraps the handles.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Now, on both clocks.
    pub fn now(&self) -> Moment {
        let elapsed = self.started.elapsed().as_millis();
        Moment { mono_ms: u64::try_from(elapsed).unwrap_or(u64::MAX), wall: self.clock.now() }
    }
}

impl axum::extract::FromRef<AppState> for Authenticator {
    fn from_ref(state: &AppState) -> Self {
        state.auth.clone()
    }
}
