//! Cloud providers of health data: connecting users to them, keeping the tokens
//! good, and reading what is new, by one node for all.
//!
//! Owns when a provider is asked and what its answers are worth: an answer that is
//! not whole is an error and never "there is nothing". What items mean is
//! [`crate::health`]'s, and what is stored of them [`crate::ingest`]'s.
//!
//! What is due stands in the database: who leads looks there every second, so that
//! a restart, another node or a moved clock changes nothing. A user has one turn at
//! a time, and a turn is one request; who was served longest ago is served first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tidegate_clock::Clock;
use tidegate_services::provider::{Provider, ProviderClient, ProviderOptions};
use tokio::sync::Notify;

use crate::config::health::{ProviderSettings, Providers};
use crate::health::source::Source;
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::sealing::Sealing;
use crate::store::Store;

pub mod connect;
mod event;
mod fault;
mod lead;
mod rate;
mod read;
mod refresh;
mod renew;
mod run;
mod spread;
pub mod sync;
pub mod tokens;
mod turn;
pub mod webhook;

pub use lead::run;

/// The providers of this node. Cloning copies one pointer.
#[derive(Clone)]
pub struct ProvidersHandle(Arc<Parts>);

/// The handles.
pub struct Parts {
    /// The name of this node, the same after a restart.
    pub node: String,
    /// Settings.
    pub settings: Providers,
    /// The database.
    pub store: Store,
    /// The writer.
    pub ingest: Ingest,
    /// Wall time.
    pub clock: Clock,
    /// Figures.
    pub metrics: Metrics,
    /// What tokens are sealed with.
    pub sealing: Sealing,
    /// Those that users can connect.
    pub clients: BTreeMap<Provider, ProviderClient>,
    /// There is something to be done: a hint to the service of this node.
    pub look: Notify,
}

impl std::ops::Deref for ProvidersHandle {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl ProvidersHandle {
    /// Wraps the handles.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Whether any provider can be connected.
    pub fn is_on(&self) -> bool {
        !self.clients.is_empty()
    }

    fn client(&self, provider: Provider) -> Option<&ProviderClient> {
        self.clients.get(&provider)
    }

    /// Its settings.
    pub fn settings_of(&self, provider: Provider) -> &ProviderSettings {
        let settings = &self.settings;
        match provider {
            Provider::Strava => &settings.strava,
            Provider::GoogleHealth => &settings.google_health,
            Provider::Oura => &settings.oura,
            Provider::Fitbit => &settings.fitbit,
        }
    }

    /// Where a provider's webhooks come in.
    fn webhook_url(&self, provider: Provider) -> String {
        format!("{}/api/v1/webhooks/{}", self.settings.public_url, provider.as_str())
    }

    /// Where a browser comes back to.
    fn redirect_uri(&self, provider: Provider) -> String {
        let public_url = &self.settings.public_url;
        format!("{public_url}/api/v1/integrations/{}/callback", provider.as_str())
    }

    /// How long one request may take.
    fn timeout(&self) -> Duration {
        Duration::from_secs(self.settings.timeout_s)
    }
}

/// Clients of the providers that are configured.
pub fn clients(
    settings: &Providers,
    clock: &Clock,
) -> anyhow::Result<BTreeMap<Provider, ProviderClient>> {
    let mut clients = BTreeMap::new();
    for provider in Provider::ALL {
        let name = provider.as_str();
        let found = settings.all().into_iter().find(|(known, _)| *known == name);
        let Some((_, own)) = found.filter(|(_, own)| own.is_configured()) else { continue };
        if own.enabled == Some(false) {
            continue;
        }
        let client = client(provider, own, settings.timeout_s, clock);
        clients.insert(provider, client.with_context(|| format!("setting up `{name}`"))?);
    }
    Ok(clients)
}

fn client(
    provider: Provider,
    own: &ProviderSettings,
    timeout_s: u64,
    clock: &Clock,
) -> anyhow::Result<ProviderClient> {
    let options = ProviderOptions {
        provider,
        client_id: own.client_id.clone(),
        client_secret: own.client_secret.clone(),
        base_url: own.base_url.parse()?,
        authorize_url: own.authorize_url.parse()?,
        token_url: own.token_url.parse()?,
        revoke_url: own.revoke_url.parse()?,
        scopes: own.scopes.clone(),
        timeout: Duration::from_secs(timeout_s),
        clock: clock.clone(),
    };
    Ok(ProviderClient::new(options)?)
}

/// In whose name a provider's items are stored.
const fn source(provider: Provider) -> Source {
    match provider {
        Provider::Strava => Source::Strava,
        Provider::GoogleHealth => Source::GoogleHealth,
        Provider::Oura => Source::Oura,
        Provider::Fitbit => Source::Fitbit,
    }
}

#[cfg(test)]
mod tests {
    use tidegate_services::provider::defaults;

    use super::*;
    use crate::config::load::load;

    #[test]
    fn the_settings_and_the_clients_know_the_same_addresses() {
        let providers = load(None, []).unwrap().providers;
        for (name, own) in providers.all() {
            let known = defaults(Provider::from_word(name).unwrap());
            assert_eq!(own.base_url, known.base_url);
            assert_eq!(own.authorize_url, known.authorize_url);
            assert_eq!(own.token_url, known.token_url);
            assert_eq!(own.revoke_url, known.revoke_url);
            assert_eq!(own.scopes, known.scopes);
        }
    }
}
