//! What cloud providers of health data are reached with.

use std::collections::BTreeMap;

use tidegate_services::provider::{Provider, ProviderClient};
use tokio::sync::Notify;

use crate::providers::{self, ProvidersHandle};
use crate::sealing::Sealing;
use crate::upkeep;

/// The cloud providers of this node.
pub(super) fn handle(
    own: &upkeep::Handles,
    clients: BTreeMap<Provider, ProviderClient>,
    sealing: Sealing,
) -> ProvidersHandle {
    ProvidersHandle::new(providers::Parts {
        node: own.node.clone(),
        settings: own.config.providers.clone(),
        store: own.store.clone(),
        ingest: own.ingest.clone(),
        clock: own.clock.clone(),
        metrics: own.metrics.clone(),
        sealing,
        clients,
        look: Notify::new(),
    })
}
