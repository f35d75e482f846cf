//! Where public keys come from: a file or a URL, read again and again by one
//! task that owns them.
//!
//! A set that cannot be read leaves the one before in force. Requests never
//! fetch by themselves: they ask the task and wait, so that neither a stream of
//! made-up key ids nor a client that hangs up decides when the set is read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jsonwebtoken::Algorithm;
use reqwest::Url;
use reqwest::redirect::Policy;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::auth::AuthError;
use crate::auth::keys::{KeySet, Lookup};
use crate::config::Auth;
use crate::file::SmallFile;

/// Unknown key ids have the set read again at most this often.
const GAP_MIN: Duration = Duration::from_secs(10);

/// How long a token with an unknown key id waits for the set.
const LOOKUP_WAIT: Duration = Duration::from_secs(5);

/// How long a fetch may take; below [`LOOKUP_WAIT`], so that waiting is worth it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(4);

/// Largest set read, in bytes.
const SET_BYTES: usize = 1024 * 1024;

/// The configured JWKS.
pub(crate) struct KeySource {
    place: Place,
    interval: Duration,
    loaded: watch::Sender<Loaded>,
    wanted: Notify,
}

enum Place {
    File(SmallFile),
    Url(Url, reqwest::Client),
}

/// The outcome of the last reading.
pub(crate) struct Loaded {
    /// The last set that could be read.
    keys: Option<Arc<KeySet>>,
    /// How many times a set was read.
    readings: u64,
    /// When it was tried last, whatever came of it.
    tried_at: Instant,
}

impl KeySource {
    /// Reads the set for the first time. `None` where no JWKS is configured.
    pub(crate) async fn open(auth: &Auth) -> anyhow::Result<Option<Self>> {
        let place = if !auth.jwks_file.is_empty() {
            Place::File(SmallFile::new(PathBuf::from(&auth.jwks_file)))
        } else if !auth.jwks_url.is_empty() {
            Place::Url(auth.jwks_url.parse().context("`auth.jwks_url`")?, client()?)
        } else {
            return Ok(None);
        };
        let keys = match (place.read().await, &place) {
            (Ok(keys), _) => Some(Arc::new(keys)),
            (Err(error), Place::File(file)) => {
                return Err(error.context(format!("`auth.jwks_file` {}", file.path().display())));
            }
            (Err(error), Place::Url(..)) => {
                tracing::warn!(error = format!("{error:#}"), "the JWKS is not available yet");
                None
            }
        };
        Ok(Some(Self {
            place,
            interval: Duration::from_secs(auth.jwks_refresh_s),
            loaded: watch::Sender::new(Loaded { keys, readings: 1, tried_at: Instant::now() }),
            wanted: Notify::new(),
        }))
    }

    /// Reads the set at its interval and when it is wanted; never returns.
    pub(crate) async fn keep_fresh(&self) {
        loop {
            let (due, earliest) = {
                let loaded = self.loaded.borrow();
                // Without any keys nobody gets in: try as often as allowed.
                let pause = if loaded.keys.is_some() { self.interval } else { GAP_MIN };
                (loaded.tried_at + pause, loaded.tried_at + GAP_MIN)
            };
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                // A wish that came while the set was being read is outdated.
                () = self.wanted.notified() => if Instant::now() < earliest { continue },
            }
            self.refresh().await;
        }
    }

    async fn refresh(&self) {
        let read = self.place.read().await;
        self.loaded.send_modify(|loaded| {
            loaded.tried_at = Instant::now();
            match read {
                Ok(keys) => {
                    loaded.keys = Some(Arc::new(keys));
                    loaded.readings += 1;
                }
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    "the JWKS could not be read; the keys known stay in force"
                ),
            }
        });
    }

    /// Which set is in force: another number each time one was read.
    pub(crate) fn reading(&self) -> u64 {
        self.loaded.borrow().readings
    }

    /// Keys that may have signed a token. Waits for a new reading of the set
    /// where the key named is not known and the last reading is not recent.
    pub(crate) async fn lookup(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> Result<Lookup, AuthError> {
        // Subscribed before looking, so that a reading that ends in between is
        // not waited for.
        let mut updates = self.loaded.subscribe();
        let (known, is_recent) = {
            let loaded = updates.borrow_and_update();
            let known = loaded.keys.as_ref().map(|keys| keys.lookup(algorithm, kid));
            (known, loaded.tried_at.elapsed() < GAP_MIN)
        };
        match known {
            None => return Err(AuthError::Unavailable),
            Some(Lookup::UnknownKey) if !is_recent => {}
            Some(settled) => return Ok(settled),
        }
        self.wanted.notify_one();
        // Whether it came or not, what is known then decides.
        let _ = tokio::time::timeout(LOOKUP_WAIT, updates.changed()).await;
        let keys = self.loaded.borrow().keys.clone();
        keys.map(|keys| keys.lookup(algorithm, kid)).ok_or(AuthError::Unavailable)
    }
}

#[cfg(test)]
impl KeySource {
    /// Tells of every reading, so that tests need not wait by the clock.
    pub(crate) fn updates(&self) -> watch::Receiver<Loaded> {
        self.loaded.subscribe()
    }
}

impl Place {
    async fn read(&self) -> anyhow::Result<KeySet> {
        let text = match self {
            Self::File(file) => String::from_utf8(file.read().await?)?,
            Self::Url(url, client) => fetch(client, url.clone()).await?,
        };
        KeySet::parse(&text)
    }
}

fn client() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .timeout(FETCH_TIMEOUT)
        .connect_timeout(FETCH_TIMEOUT / 2)
        // Read every few minutes: an idle connection is dead more often than not.
        .pool_max_idle_per_host(0)
        .redirect(Policy::limited(2))
        .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
        .build()
        .context("cannot set up the client for `auth.jwks_url`")
}

async fn fetch(client: &reqwest::Client, url: Url) -> anyhow::Result<String> {
    // Errors of reqwest name the URL, which may hold a secret.
    let answer = client.get(url).send().await.map_err(reqwest::Error::without_url)?;
    let mut answer = answer.error_for_status().map_err(reqwest::Error::without_url)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        anyhow::ensure!(body.len() + chunk.len() <= SET_BYTES, "the JWKS is larger than 1 MiB");
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).context("the JWKS is not UTF-8")
}
