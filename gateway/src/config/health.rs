//! Settings of health data: what comes in, how tokens are sealed, and the cloud
//! providers it is read from.

use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::config::mask;

/// What senders of health data may send, and what devices are given of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Items of one call.
    pub items_per_call: usize,
    /// Bytes of a call's body.
    pub body_bytes: usize,
    /// Bytes of a body in an exporter's own format.
    pub format_body_bytes: usize,
    /// Days that a snapshot goes back.
    pub snapshot_d: u32,
}

/// Keys for what is stored sealed.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sealing {
    /// `id:base64url of 32 bytes`; the first seals, all open. Empty: the one in
    /// `data_dir`.
    #[serde(serialize_with = "mask::secrets")]
    pub keys: Vec<String>,
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealing").finish_non_exhaustive()
    }
}

/// Cloud providers of health data.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Providers {
    /// Where browsers and providers reach this gateway.
    pub public_url: String,
    /// Where a browser may be sent after a connect: what the URL begins with.
    pub return_urls: Vec<String>,
    /// Seconds between two runs of an integration.
    pub interval_s: u32,
    /// Seconds between two looks for tokens that end soon.
    pub refresh_interval_s: u32,
    /// How long before its end a token is refreshed, seconds.
    pub refresh_before_s: u32,
    /// Days before the newest item known that are read again.
    pub reread_d: u32,
    /// Days that a first run goes back.
    pub first_sync_d: u32,
    /// How long one request may take, seconds.
    pub timeout_s: u64,
    /// Part of each rate window that is kept for webhooks and refreshed tokens.
    pub reserve_percent: u32,
    /// Strava.
    pub strava: ProviderSettings,
    /// Google Health.
    pub google_health: ProviderSettings,
    /// Oura.
    pub oura: ProviderSettings,
    /// Fitbit, as it was until it was shut down.
    pub fitbit: ProviderSettings,
}

/// One provider; off while `client_id` is empty.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings {
    /// Fitbit only: whether it is used at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Who this installation is to the provider.
    pub client_id: String,
    /// What proves it.
    #[serde(serialize_with = "mask::secret")]
    pub client_secret: String,
    /// Where its data are.
    #[serde(serialize_with = "mask::url")]
    pub base_url: String,
    /// Where a person allows the access.
    #[serde(serialize_with = "mask::url")]
    pub authorize_url: String,
    /// Where tokens are given.
    #[serde(serialize_with = "mask::url")]
    pub token_url: String,
    /// Where they are given back.
    #[serde(serialize_with = "mask::url")]
    pub revoke_url: String,
    /// What access is asked for.
    pub scopes: Vec<String>,
    /// Whether it tells of news, so that they need not wait for a run.
    pub webhooks: bool,
    /// Strava only: requests that read, in a quarter of an hour and in a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_limits: Option<[u32; 2]>,
    /// Strava only: all requests, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<[u32; 2]>,
    /// Strava and Oura: what proves that we asked for the news.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "mask::some")]
    pub verify_token: Option<String>,
    /// Google Health: the `Authorization` that its news carry.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "mask::some")]
    pub webhook_secret: Option<String>,
}

impl std::fmt::Debug for ProviderSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderSettings").field("webhooks", &self.webhooks).finish_non_exhaustive()
    }
}

impl ProviderSettings {
    /// Whether its users can connect.
    pub fn is_configured(&self) -> bool {
        !self.client_id.is_empty()
    }

    /// The text that the provider proves its news by, if there is one.
    pub fn verify_token(&self) -> &str {
        self.verify_token.as_deref().unwrap_or_default()
    }

    /// See `webhook_secret`.
    pub fn webhook_secret(&self) -> &str {
        self.webhook_secret.as_deref().unwrap_or_default()
    }
}

impl Providers {
    /// All of them, with the name each has among the settings.
    pub const fn all(&self) -> [(&'static str, &ProviderSettings); 4] {
        [
            ("strava", &self.strava),
            ("google_health", &self.google_health),
            ("oura", &self.oura),
            ("fitbit", &self.fitbit),
        ]
    }

    /// Whether any can be connected.
    pub fn is_any_configured(&self) -> bool {
        self.all().iter().any(|(_, settings)| settings.is_configured())
    }

    /// Whether a browser may be sent there after a connect. Origins are compared
    /// as such and paths by whole segments, so that neither
    /// `https://good.example.evil` nor `https://good.example@evil` begins with
    /// `https://good.example`, nor `/apps` with `/app`.
    pub fn allows_return(&self, url: &str) -> bool {
        let Some(asked) = return_url(url) else { return false };
        self.return_urls.iter().filter_map(|allowed| return_url(allowed)).any(|allowed| {
            // Of an app's own scheme: there is no origin to compare.
            let is_same_place = if allowed.origin().is_tuple() {
                allowed.origin() == asked.origin()
            } else {
                allowed.scheme() == asked.scheme() && allowed.host_str() == asked.host_str()
            };
            is_same_place && begins_with(asked.path(), allowed.path())
        })
    }
}

/// A URL that a browser can be sent to and that has an own place to compare: none
/// with a name and a password in front, which only deceive people.
pub(crate) fn return_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let is_script = matches!(url.scheme(), "javascript" | "data" | "blob" | "file" | "vbscript");
    (is_plain && !is_script && !url.cannot_be_a_base()).then_some(url)
}

fn begins_with(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use crate::config::load::load;

    #[test]
    fn browsers_are_sent_only_where_it_is_allowed() {
        let file = "[providers]\nreturn_urls = ['https://good.example/app', 'https://b.example', \
                    'coachfit://done']\n";
        let providers = load(Some(("f", file)), []).unwrap().providers;
        for url in [
            "https://good.example/app",
            "https://good.example/app/",
            "https://good.example:443/app/done?x=1#y",
            "https://b.example/anything",
            "coachfit://done",
            "coachfit://done/now?x",
        ] {
            assert!(providers.allows_return(url), "{url}");
        }
        for url in [
            "https://good.example.evil/app",
            "https://good.example@evil/app",
            "https://u:p@good.example/app",
            "https://good.example/apps",
            "https://good.example/app/../evil",
            "https://good.example/app/%2e%2e/evil",
            "http://good.example/app",
            "https://good.example:8443/app",
            "https://good.example/",
            "//good.example/app",
            "/app",
            "coachfit://other",
            "other://done",
            "javascript:alert(1)",
            "data:text/html,x",
            "",
        ] {
            assert!(!providers.allows_return(url), "{url}");
        }
    }
}
