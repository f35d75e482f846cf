//! Services that keep health data of users: Strava, Google Health, Oura, and
//! Fitbit's legacy API.
//!
//! Owns the requests and what their answers mean: tokens, lists, single items,
//! what the rate headers say, subscriptions to webhooks and their signatures.
//! Items stay the bytes they came as: what they say is for somebody else to
//! judge. One request per call: it never retries, never refreshes a token by
//! itself, counts nothing and keeps nothing.
//!
//! Each provider's module says what its API wants; the rest is common.

mod call;
mod dates;
mod error;
mod fault;
mod fitbit;
mod google_health;
mod oura;
mod rate;
mod raw;
pub mod signature;
mod strava;
mod subscription;
mod tokens;

use std::fmt;
use std::time::Duration;

use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidegate_clock::Clock;
use tidegate_protocol::time::Timestamp;
use url::Url;

pub use crate::provider::error::{Cause, CauseKind, ProviderError};
pub use crate::provider::rate::{Usage, WindowUsage};
pub use crate::provider::tokens::Tokens;
use crate::transport::{self, ClientError};

/// Which provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Strava, API version 3.
    Strava,
    /// Google Health, API version 4: what followed Fitbit's.
    GoogleHealth,
    /// Oura, API version 2.
    Oura,
    /// Fitbit's Web API, switched off on 2026-11-02.
    Fitbit,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Strava, Self::GoogleHealth, Self::Oura, Self::Fitbit];

    /// The word for it in paths, settings and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strava => "strava",
            Self::GoogleHealth => "google_health",
            Self::Oura => "oura",
            Self::Fitbit => "fitbit",
        }
    }

    /// The provider of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == word)
    }

    /// What is listed of it, in the order of a run.
    pub const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Strava => &[Kind::Activity],
            Self::GoogleHealth => &[Kind::Exercise, Kind::Sleep, Kind::Steps, Kind::Weight],
            Self::Oura => &[Kind::Workout, Kind::Sleep, Kind::DailyActivity],
            Self::Fitbit => &[Kind::Activity, Kind::Sleep, Kind::Steps],
        }
    }

    /// Whether its authorization wants a PKCE challenge.
    pub const fn has_pkce(self) -> bool {
        matches!(self, Self::GoogleHealth | Self::Fitbit)
    }
}

/// What is listed of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Activities of Strava and Fitbit.
    Activity,
    /// Exercises of Google.
    Exercise,
    /// Workouts of Oura.
    Workout,
    /// Nights.
    Sleep,
    /// Steps: by intervals of Google, by days of Fitbit.
    Steps,
    /// Weights.
    Weight,
    /// Days of Oura, with their steps.
    DailyActivity,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Activity,
        Self::Exercise,
        Self::Workout,
        Self::Sleep,
        Self::Steps,
        Self::Weight,
        Self::DailyActivity,
    ];

    /// The word for it in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Exercise => "exercise",
            Self::Workout => "workout",
            Self::Sleep => "sleep",
            Self::Steps => "steps",
            Self::Weight => "weight",
            Self::DailyActivity => "daily_activity",
        }
    }

    /// The kind of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Where a provider is, and which application asks. `Debug` shows neither the
/// secret nor what an address may carry besides its host.
#[derive(Clone)]
pub struct ProviderOptions {
    /// Which one.
    pub provider: Provider,
    /// The application's id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// What the paths of the API follow.
    pub base_url: Url,
    /// Where users say yes or no.
    pub authorize_url: Url,
    /// Where codes and refresh tokens are traded.
    pub token_url: Url,
    /// Where tokens are revoked.
    pub revoke_url: Url,
    /// What users are asked for.
    pub scopes: Vec<String>,
    /// How long one request may take.
    pub timeout: Duration,
    /// What ends of tokens and of rate windows are measured by.
    pub clock: Clock,
}

impl fmt::Debug for ProviderOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderOptions")
            .field("provider", &self.provider)
            .field("base_url", &self.base_url.host_str())
            .field("scopes", &self.scopes)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Addresses and scopes that a provider has when the settings name none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// See [`ProviderOptions::base_url`].
    pub base_url: &'static str,
    /// See [`ProviderOptions::authorize_url`].
    pub authorize_url: &'static str,
    /// See [`ProviderOptions::token_url`].
    pub token_url: &'static str,
    /// See [`ProviderOptions::revoke_url`].
    pub revoke_url: &'static str,
    /// See [`ProviderOptions::scopes`].
    pub scopes: &'static [&'static str],
}

/// What a provider has when the settings name nothing else.
pub const fn defaults(provider: Provider) -> Defaults {
    match provider {
        Provider::Strava => strava::DEFAULTS,
        Provider::GoogleHealth => google_health::DEFAULTS,
        Provider::Oura => oura::DEFAULTS,
        Provider::Fitbit => fitbit::DEFAULTS,
    }
}

/// From the one moment up to the other, which is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
}

/// A page of a list. `Debug` hides the items.
#[derive(Clone, Default)]
pub struct Page {
    /// The items, as they came.
    pub items: Vec<Box<RawValue>>,
    /// Where the next page is: goes back into [`ProviderClient::list`] with the
    /// same span, and may be stored. `None`: this was the last page.
    pub next: Option<String>,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("items", &self.items.len()).field("next", &self.next).finish()
    }
}

/// An answer, and what it said about rates. `Debug` hides what was asked for.
#[derive(Clone)]
pub struct Answer<T> {
    /// What was asked for.
    pub value: T,
    /// What the rate headers said.
    pub usage: Usage,
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("usage", &self.usage).finish_non_exhaustive()
    }
}

/// A failure, and what it said about rates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Failed {
    /// Why.
    pub error: ProviderError,
    /// What the rate headers said.
    pub usage: Usage,
}

impl From<ProviderError> for Failed {
    fn from(error: ProviderError) -> Self {
        Self { error, usage: Usage::default() }
    }
}

/// The client of one provider.
pub struct ProviderClient {
    http: Client,
    options: ProviderOptions,
}

impl fmt::Debug for ProviderClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProviderClient").field(&self.options).finish()
    }
}

impl ProviderClient {
    /// A client. Connects to nothing yet.
    pub fn new(options: ProviderOptions) -> Result<Self, ClientError> {
        for (url, name) in [
            (&options.base_url, "the provider's base URL"),
            (&options.authorize_url, "the provider's authorization URL"),
            (&options.token_url, "the provider's token URL"),
            (&options.revoke_url, "the provider's revocation URL"),
        ] {
            let has_user = !url.username().is_empty() || url.password().is_some();
            if !matches!(url.scheme(), "http" | "https") || !url.has_host() || has_user {
                return Err(ClientError::Address(name));
            }
        }
        if !tokens::is_sendable(&options.client_id) {
            return Err(ClientError::Header("the provider's client id"));
        }
        if !tokens::is_sendable(&options.client_secret) {
            return Err(ClientError::Header("the provider's client secret"));
        }
        let http = transport::client(options.timeout, None)?;
        Ok(Self { http, options })
    }

    /// Whose client it is.
    pub const fn provider(&self) -> Provider {
        self.options.provider
    }

    /// Where to send a user who is to say yes. `challenge`: the S256 of the
    /// verifier that goes with [`ProviderClient::exchange`].
    pub fn authorize_url(&self, state: &str, redirect_uri: &str, challenge: Option<&str>) -> Url {
        let ProviderOptions { provider, client_id, scopes, .. } = &self.options;
        let separator = if *provider == Provider::Strava { "," } else { " " };
        let mut url = self.options.authorize_url.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &scopes.join(separator))
            .append_pair("state", state);
        match provider {
            Provider::Strava => {
                query.append_pair("approval_prompt", "auto");
            }
            // Only so there is a refresh token, and again at every consent.
            Provider::GoogleHealth => {
                query.append_pair("access_type", "offline").append_pair("prompt", "consent");
            }
            Provider::Oura | Provider::Fitbit => {}
        }
        if let Some(challenge) = challenge {
            query
                .append_pair("code_challenge", challenge)
                .append_pair("code_challenge_method", "S256");
        }
        drop(query);
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_back_to_what_they_name() {
        for provider in Provider::ALL {
            assert_eq!(Provider::from_word(provider.as_str()), Some(provider));
            let json = serde_json::to_string(&provider).unwrap();
            assert_eq!(json, format!("\"{}\"", provider.as_str()));
            assert!(!provider.kinds().is_empty());
        }
        for kind in Kind::ALL {
            assert_eq!(Kind::from_word(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.as_str()));
        }
        assert_eq!(Provider::from_word("garmin"), None);
    }

    #[test]
    fn debug_output_hides_what_users_have() {
        let hidden = RawValue::from_string("\"hidden\"".to_owned()).unwrap();
        let page = Page { items: vec![hidden], next: None };
        assert_eq!(format!("{page:?}"), "Page { items: 1, next: None }");
        let answer = Answer { value: page.items, usage: Usage::default() };
        assert!(!format!("{answer:?}").contains("hidden"));
    }

    #[test]
    fn defaults_make_a_client() {
        for provider in Provider::ALL {
            let defaults = defaults(provider);
            let url = |text: &str| text.parse::<Url>().unwrap();
            let options = ProviderOptions {
                provider,
                client_id: "id".into(),
                client_secret: "hidden".into(),
                base_url: url(defaults.base_url),
                authorize_url: url(defaults.authorize_url),
                token_url: url(defaults.token_url),
                revoke_url: url(defaults.revoke_url),
                scopes: defaults.scopes.iter().map(|scope| (*scope).to_owned()).collect(),
                timeout: Duration::from_secs(1),
                clock: Clock::system(),
            };
            let bad = |change: fn(&mut ProviderOptions)| {
                let mut options = options.clone();
                change(&mut options);
                ProviderClient::new(options).is_err()
            };
            assert!(bad(|options| options.base_url = "ftp://h/".parse().unwrap()));
            assert!(bad(|options| options.token_url = "https://u:p@h/".parse().unwrap()));
            assert!(bad(|options| options.client_secret = "a b".into()));
            let client = ProviderClient::new(options).unwrap();
            let shown = format!("{client:?}");
            assert!(!shown.contains("hidden"), "{shown}");
        }
    }
}
