//! Trading codes and refresh tokens, and revoking what came of them.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tidegate_protocol::time::Timestamp;
use url::form_urlencoded::Serializer;

use crate::limits::{PROVIDER_TOKEN_BYTES, PROVIDER_TOKEN_LIFE, PROVIDER_TOKEN_LIFE_MAX};
use crate::provider::call::About;
use crate::provider::error::ProviderError;
use crate::provider::{Provider, ProviderClient, raw};

/// Tokens as answered. `Debug` hides them.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    /// What requests are made with.
    pub access_token: String,
    /// What the next pair is traded for. `None`: keep the old one.
    pub refresh_token: Option<String>,
    /// When the access token ends.
    pub expires_at: Timestamp,
    /// What was granted, where the answer says so; Strava and Oura say it in
    /// the callback's query.
    pub scopes: Option<Vec<String>>,
    /// The provider's id of the user, where the answer has it.
    pub owner_id: Option<String>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("has_refresh_token", &self.refresh_token.is_some())
            .field("expires_at", &self.expires_at)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

impl ProviderClient {
    /// Trades a code. `redirect_uri` is the one the user was sent away with.
    pub async fn exchange(
        &self,
        code: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
    ) -> Result<Tokens, ProviderError> {
        let mut pairs = vec![("grant_type", "authorization_code"), ("code", code)];
        if self.provider() != Provider::Strava {
            pairs.push(("redirect_uri", redirect_uri));
        }
        if let Some(verifier) = verifier {
            pairs.push(("code_verifier", verifier));
        }
        self.trade(pairs, code).await
    }

    /// Trades a refresh token. The old one may be dead from then on: what comes
    /// back must be stored before it is used.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Tokens, ProviderError> {
        let pairs = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        self.trade(pairs, refresh_token).await
    }

    /// Takes back what the user granted. Tokens that are invalid already are
    /// no error where the provider says so.
    pub async fn revoke(
        &self,
        access_token: &str,
        refresh_token: &str,
    ) -> Result<(), ProviderError> {
        let mut url = self.options.revoke_url.clone();
        let mut pairs = vec![("token", refresh_token)];
        let mut authorization = None;
        match self.provider() {
            // Either token stands for the grant; only the refresh token is
            // sure to be known still.
            Provider::Strava => {
                pairs.push(("token_type_hint", "refresh_token"));
                authorization = Some(self.basic());
            }
            Provider::GoogleHealth => {}
            Provider::Oura => {
                pairs.clear();
                url.query_pairs_mut().append_pair("access_token", access_token);
            }
            Provider::Fitbit => authorization = Some(self.basic()),
        }
        let mut request = Request::new(Method::POST, url);
        set_form(&mut request, &pairs);
        if let Some(value) = authorization {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let heard = self.send(request, About::Token, &[access_token, refresh_token]).await;
        match heard.body {
            Ok(_) | Err(ProviderError::DeadRefresh) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn trade<'a>(
        &'a self,
        mut pairs: Vec<(&'a str, &'a str)>,
        traded: &str,
    ) -> Result<Tokens, ProviderError> {
        pairs.push(("client_id", &self.options.client_id));
        let mut authorization = None;
        if self.provider() == Provider::Fitbit {
            authorization = Some(self.basic());
        } else {
            pairs.push(("client_secret", &self.options.client_secret));
        }
        let mut request = Request::new(Method::POST, self.options.token_url.clone());
        set_form(&mut request, &pairs);
        if let Some(value) = authorization {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let body = self.send(request, About::Token, &[traded]).await.body?;
        granted(&body, self.options.clock.now()).ok_or_else(ProviderError::unreadable)
    }

    /// The application's own credentials.
    fn basic(&self) -> HeaderValue {
        let pair = format!("{}:{}", self.options.client_id, self.options.client_secret);
        let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair)))
            .unwrap_or_else(|_| HeaderValue::from_static("Basic"));
        value.set_sensitive(true);
        value
    }
}

/// Whether this can stand in a header: visible ASCII, and not endless.
pub(super) fn is_sendable(token: &str) -> bool {
    (1..=PROVIDER_TOKEN_BYTES).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Not a step of those who wait for the answer: what writes forms stays on its
/// thread, and they may move.
pub(super) fn set_form(request: &mut Request, pairs: &[(&str, &str)]) {
    let form = Serializer::new(String::new()).extend_pairs(pairs).finish();
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(CONTENT_TYPE, kind);
    *request.body_mut() = Some(form.into());
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    refresh_token: Option<String>,
    /// Seconds from now.
    expires_in: Option<Value>,
    /// Seconds since the epoch.
    expires_at: Option<Value>,
    scope: Option<Value>,
    /// Strava.
    athlete: Option<Box<RawValue>>,
    /// Fitbit.
    user_id: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Athlete {
    id: Option<Box<RawValue>>,
}

/// Reads what it can: a refresh token works once, and an answer that is thrown
/// away for a missing number has cost the user's connection.
fn granted(body: &[u8], now: Timestamp) -> Option<Tokens> {
    let granted: Granted = raw::object(body)?;
    let refresh_token = granted.refresh_token.filter(|token| !token.is_empty());
    let are_sendable =
        is_sendable(&granted.access_token) && refresh_token.as_deref().is_none_or(is_sendable);
    if !are_sendable {
        return None;
    }
    let life_s = granted.expires_in.as_ref().and_then(seconds);
    let end_s = granted.expires_at.as_ref().and_then(seconds);
    let now_s = now.millis().div_euclid(1000);
    let longest_s = whole_seconds(PROVIDER_TOKEN_LIFE_MAX);
    let life_s = life_s
        .or_else(|| Some(end_s?.saturating_sub(now_s)))
        .unwrap_or_else(|| whole_seconds(PROVIDER_TOKEN_LIFE))
        .clamp(0, longest_s);
    let athlete: Option<Athlete> =
        granted.athlete.and_then(|athlete| raw::object(athlete.get().as_bytes()));
    let owner = granted.user_id.or_else(|| athlete?.id);
    Some(Tokens {
        access_token: granted.access_token,
        refresh_token,
        expires_at: now.plus_millis(life_s * 1000),
        scopes: granted.scope.as_ref().and_then(Value::as_str).map(split_scopes),
        owner_id: owner.and_then(|id| raw::id(&id)),
    })
}

fn split_scopes(text: &str) -> Vec<String> {
    let scopes = text.split([' ', ',']).filter(|scope| !scope.is_empty());
    scopes.map(str::to_owned).collect()
}

/// A count of seconds, whichever way it is written.
#[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates")]
fn seconds(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| Some(number.as_f64()? as i64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_568_754_568_500);

    fn read(text: &str) -> Option<Tokens> {
        granted(text.as_bytes(), NOW)
    }

    #[test]
    fn strava_names_the_athlete_once() {
        let first = read(
            r#"{"token_type":"Bearer","expires_at":1568775134,"expires_in":21600,
                "refresh_token":"e5n567567","access_token":"a4b945687g",
                "athlete":{"id":1513,"resource_state":2,"firstname":"A"}}"#,
        )
        .unwrap();
        assert_eq!(first.access_token, "a4b945687g");
        assert_eq!(first.refresh_token.as_deref(), Some("e5n567567"));
        assert_eq!(first.owner_id.as_deref(), Some("1513"));
        assert_eq!(first.scopes, None);
        assert_eq!(first.expires_at, NOW.plus_millis(21_600_000));
        let next = read(
            r#"{"token_type":"Bearer","access_token":"a9b723","expires_at":1568775134,
                "refresh_token":"b5c569"}"#,
        )
        .unwrap();
        assert_eq!((next.owner_id, next.expires_at.millis()), (None, 1_568_775_134_500));
    }

    #[test]
    fn google_keeps_the_refresh_token_and_names_scopes() {
        let tokens = read(
            r#"{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer",
                "scope":"https://a/x.readonly https://a/y.readonly"}"#,
        )
        .unwrap();
        assert_eq!(tokens.refresh_token, None);
        let scopes = ["https://a/x.readonly", "https://a/y.readonly"].map(str::to_owned);
        assert_eq!(tokens.scopes, Some(scopes.to_vec()));
    }

    #[test]
    fn strange_lives_cost_no_connection() {
        let life_s = |text: &str| {
            let tokens = read(&format!(r#"{{"access_token":"a","refresh_token":"r"{text}}}"#));
            (tokens.unwrap().expires_at.millis() - NOW.millis()) / 1000
        };
        assert_eq!(life_s(""), 3600);
        assert_eq!(life_s(r#","expires_in":null"#), 3600);
        assert_eq!(life_s(r#","expires_in":"28800""#), 28_800);
        assert_eq!(life_s(r#","expires_in":86400.5"#), 86_400);
        assert_eq!(life_s(r#","expires_in":-5"#), 0);
        assert_eq!(life_s(r#","expires_in":1e300"#), 90 * 86_400);
        assert_eq!(life_s(r#","expires_at":1"#), 0);
        assert_eq!(life_s(r#","user_id":"37FDYX","scope":7"#), 3600);
    }

    #[test]
    fn what_cannot_be_sent_is_no_token() {
        for bad in [
            "",
            "[]",
            "{}",
            "<html>",
            r#"{"access_token":""}"#,
            r#"{"access_token":null}"#,
            r#"{"access_token":"a b"}"#,
            r#"{"access_token":"a","refresh_token":"r\n"}"#,
            r#"{"access_token":"a""#,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read(&format!(r#"{{"access_token":"{}"}}"#, "a".repeat(5000))), None);
    }

    #[test]
    fn debug_output_hides_the_tokens() {
        let tokens = read(r#"{"access_token":"hidden1","refresh_token":"hidden2"}"#).unwrap();
        assert!(!format!("{tokens:?}").contains("hidden"));
    }
}
