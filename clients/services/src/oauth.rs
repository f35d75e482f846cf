//! Access tokens for a Google service account: a signed assertion is traded
//! for a token (RFC 7523), which is kept and renewed early.
//!
//! Owns the one cached token. At most one request to the token endpoint is
//! under way; who arrives meanwhile shares its answer, a failure included. It
//! never retries: the caller's schedule does.

pub mod account;
pub mod error;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use tidegate_clock::Clock;
use tidegate_protocol::time::Timestamp;
use tokio::sync::Semaphore;

use crate::limits::{TOKEN_LIFE_MAX, TOKEN_RENEW_EARLY, TOKEN_RENEW_PAUSE, TOKEN_UNUSABLE_EARLY};
use crate::oauth::account::ServiceAccount;
use crate::oauth::error::OauthError;
use crate::retry_after;
use crate::transport::{self, TransportError};

/// The scope that lets a service account send FCM messages.
pub const FIREBASE_MESSAGING: &str = "https://www.googleapis.com/auth/firebase.messaging";

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A bearer token. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(String);

impl AccessToken {
    /// The secret, for the `Authorization` header.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(..)")
    }
}

/// Gives out a valid access token of one service account.
#[derive(Debug)]
pub struct TokenSource {
    account: ServiceAccount,
    scope: &'static str,
    http: Client,
    clock: Clock,
    state: Mutex<State>,
    /// One permit: its holder alone talks to the token endpoint.
    flight: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    cached: Option<Cached>,
    /// Requests that came to an end, well or badly.
    finished: u64,
    /// Why the last one failed; `None` when it went well.
    last_error: Option<OauthError>,
}

#[derive(Debug)]
struct Cached {
    token: AccessToken,
    /// From here on one caller fetches a new one.
    renew_at: Timestamp,
    /// From here on it is not used.
    unusable_at: Timestamp,
}

enum Glance {
    Fresh(AccessToken),
    /// Still valid, but due for renewal.
    Due(AccessToken),
    Missing {
        finished: u64,
    },
}

impl TokenSource {
    /// Tokens of `account` for `scope`; several scopes are separated by
    /// spaces. Asks for nothing yet.
    pub fn new(account: ServiceAccount, scope: &'static str, http: Client, clock: Clock) -> Self {
        let state = Mutex::default();
        Self { account, scope, http, clock, state, flight: Semaphore::new(1) }
    }

    /// A token that is valid for [`TOKEN_UNUSABLE_EARLY`] at least, or for a
    /// quarter of its life where that is shorter.
    ///
    /// Safe to drop at any point: the next caller then asks anew.
    pub async fn token(&self) -> Result<AccessToken, OauthError> {
        let finished = match self.glance() {
            Glance::Fresh(token) => return Ok(token),
            Glance::Due(token) => return Ok(self.renew(token).await),
            Glance::Missing { finished } => finished,
        };
        // The semaphore is never closed, so this cannot fail; were it to, the
        // request would merely not be shared.
        let _permit = self.flight.acquire().await;
        match self.answer_since(finished) {
            Some(shared) => shared,
            None => self.fetch().await,
        }
    }

    /// Forgets `token` because the service refused it. Another one that came
    /// in the meantime stays.
    pub fn invalidate(&self, token: &AccessToken) {
        let mut state = self.lock();
        if state.cached.as_ref().is_some_and(|cached| cached.token == *token) {
            state.cached = None;
            // The last answer was this token: nobody may take it for an error
            // or a success of his own.
            state.last_error = None;
        }
    }

    /// Renews early, unless someone else is at it; a failure keeps `current`.
    async fn renew(&self, current: AccessToken) -> AccessToken {
        let Ok(_permit) = self.flight.try_acquire() else { return current };
        match self.fetch().await {
            Ok(token) => token,
            Err(error) => {
                tracing::warn!(%error, "access token not renewed; the old one is still valid");
                current
            }
        }
    }

    fn glance(&self) -> Glance {
        let now = self.clock.now();
        let state = self.lock();
        match &state.cached {
            Some(cached) if now < cached.renew_at => Glance::Fresh(cached.token.clone()),
            Some(cached) if now < cached.unusable_at => Glance::Due(cached.token.clone()),
            _ => Glance::Missing { finished: state.finished },
        }
    }

    /// The answer to a request that ended after `finished` was read.
    fn answer_since(&self, finished: u64) -> Option<Result<AccessToken, OauthError>> {
        let now = self.clock.now();
        let state = self.lock();
        if state.finished == finished {
            return None;
        }
        match (&state.cached, &state.last_error) {
            (Some(cached), _) if now < cached.unusable_at => Some(Ok(cached.token.clone())),
            (_, Some(error)) => Some(Err(error.clone())),
            _ => None,
        }
    }

    /// Asks the token endpoint and keeps the answer. Needs the permit.
    async fn fetch(&self) -> Result<AccessToken, OauthError> {
        let answer = self.request().await;
        let now = self.clock.now();
        let mut state = self.lock();
        state.finished += 1;
        match answer {
            Ok((token, life)) => {
                let end = later(now, life);
                state.cached = Some(Cached {
                    token: token.clone(),
                    // One that lives for minutes, or for less, would be due
                    // at once, and so would every successor.
                    renew_at: earlier(end, TOKEN_RENEW_EARLY.min(life / 2)),
                    unusable_at: earlier(end, TOKEN_UNUSABLE_EARLY.min(life / 4)),
                });
                state.last_error = None;
                Ok(token)
            }
            Err(error) => {
                if let Some(cached) = &mut state.cached {
                    cached.renew_at = later(now, TOKEN_RENEW_PAUSE).min(cached.unusable_at);
                }
                state.last_error = Some(error.clone());
                Err(error)
            }
        }
    }

    async fn request(&self) -> Result<(AccessToken, Duration), OauthError> {
        let assertion = self.account.assertion(self.scope, self.clock.now())?;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", GRANT_TYPE)
            .append_pair("assertion", &assertion)
            .finish();
        let response = self
            .http
            .post(self.account.token_uri().clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .body(form)
            .send()
            .await
            .map_err(|error| TransportError::of(&error))?;
        let status = response.status().as_u16();
        let retry_after = retry_after::from_headers(response.headers(), &self.clock);
        let body = transport::read_body(response).await?;
        if status == 200 {
            granted(&body)
        } else {
            Err(error::classify(status, retry_after, &body))
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; were it to, the state is
        // still whole, for each field is set at once.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
struct Granted {
    /// Missing when Google did not recognise the scope: it then grants an
    /// `id_token`, with status 200.
    access_token: Option<String>,
    expires_in: Option<u64>,
}

fn granted(body: &[u8]) -> Result<(AccessToken, Duration), OauthError> {
    let answer: Granted = serde_json::from_slice(body).map_err(|_| OauthError::InvalidAnswer)?;
    let token = answer.access_token.ok_or(OauthError::NoAccessToken)?;
    let life = Duration::from_secs(answer.expires_in.ok_or(OauthError::InvalidAnswer)?);
    // What is no header value could never be sent.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(OauthError::InvalidAnswer);
    }
    Ok((AccessToken(token), life.min(TOKEN_LIFE_MAX)))
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.plus_millis(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    time.plus_millis(-i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_without_a_usable_token_is_an_error() {
        let grant = |text: &str| granted(text.as_bytes()).map(|(_, life)| life.as_secs());
        assert_eq!(grant(r#"{"access_token":"ya29.c.x","expires_in":3599}"#), Ok(3599));
        assert_eq!(grant(r#"{"access_token":"a","expires_in":99999999}"#), Ok(86_400));
        assert_eq!(grant(r#"{"id_token":"eyJ.x.y"}"#), Err(OauthError::NoAccessToken));
        for unreadable in [
            "",
            "<html>",
            "[]",
            r#"{"access_token":"a"}"#,
            r#"{"access_token":"","expires_in":1}"#,
            r#"{"access_token":"a\nb","expires_in":1}"#,
            r#"{"access_token":"a","expires_in":-1}"#,
        ] {
            assert_eq!(grant(unreadable), Err(OauthError::InvalidAnswer), "{unreadable}");
        }
    }

    #[test]
    fn debug_output_hides_the_token() {
        assert_eq!(format!("{:?}", AccessToken("ya29.secret".into())), "AccessToken(..)");
    }
}
