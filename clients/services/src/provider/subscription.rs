//! Subscriptions to webhooks: which there are, and making what is missing.
//! Strava has one per application, Oura one per event and type of data.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::provider::call::About;
use crate::provider::error::ProviderError;
use crate::provider::tokens::set_form;
use crate::provider::{Kind, Provider, ProviderClient, raw};

/// What Oura is asked to tell of.
const EVENTS: [&str; 3] = ["create", "update", "delete"];

#[derive(Deserialize)]
struct StravaSubscription {
    id: Box<RawValue>,
    callback_url: String,
}

#[derive(Deserialize)]
struct OuraSubscription {
    id: Box<RawValue>,
    callback_url: String,
    event_type: String,
    data_type: String,
    expiration_time: Option<String>,
}

impl ProviderClient {
    /// Makes what is missing for this address, and renews what ends within
    /// `renew_before`. Providers that are not asked this way have it already.
    ///
    /// While it runs the provider calls the address, and wants the challenge
    /// back.
    pub async fn subscribe(
        &self,
        callback_url: &str,
        verify_token: &str,
        renew_before: Duration,
    ) -> Result<(), ProviderError> {
        match self.provider() {
            Provider::Strava => self.subscribe_strava(callback_url, verify_token).await,
            Provider::Oura => self.subscribe_oura(callback_url, verify_token, renew_before).await,
            Provider::GoogleHealth | Provider::Fitbit => Ok(()),
        }
    }

    async fn subscribe_strava(
        &self,
        callback_url: &str,
        verify_token: &str,
    ) -> Result<(), ProviderError> {
        let secrets = [verify_token];
        let known = self.strava_call(Method::GET, None, &secrets).await?;
        let known: Vec<StravaSubscription> =
            serde_json::from_slice(&known).map_err(|_| ProviderError::unreadable())?;
        if known.iter().any(|known| known.callback_url == callback_url) {
            return Ok(());
        }
        // There can be one only: another address is this application's old one.
        for other in &known {
            let id = raw::id(&other.id).ok_or_else(ProviderError::unreadable)?;
            self.strava_call(Method::DELETE, Some(&id), &secrets).await?;
        }
        let pairs = [
            ("client_id", self.options.client_id.as_str()),
            ("client_secret", &self.options.client_secret),
            ("callback_url", callback_url),
            ("verify_token", verify_token),
        ];
        let mut request = Request::new(Method::POST, self.url(&["push_subscriptions"]));
        set_form(&mut request, &pairs);
        let made = self.send(request, About::Application, &secrets).await.body?;
        raw::whole(&made).map(|_| ()).ok_or_else(ProviderError::unreadable)
    }

    async fn strava_call(
        &self,
        method: Method,
        id: Option<&str>,
        secrets: &[&str],
    ) -> Result<Vec<u8>, ProviderError> {
        let path: Vec<_> = ["push_subscriptions"].into_iter().chain(id).collect();
        let mut url = self.url(&path);
        url.query_pairs_mut()
            .append_pair("client_id", &self.options.client_id)
            .append_pair("client_secret", &self.options.client_secret);
        self.send(Request::new(method, url), About::Application, secrets).await.body
    }

    async fn subscribe_oura(
        &self,
        callback_url: &str,
        verify_token: &str,
        renew_before: Duration,
    ) -> Result<(), ProviderError> {
        let known = self.oura_call(Method::GET, &[], None, verify_token).await?;
        let mut known: Vec<OuraSubscription> =
            serde_json::from_slice(&known).map_err(|_| ProviderError::unreadable())?;
        known.retain(|known| known.callback_url == callback_url);
        for kind in self.provider().kinds() {
            for event in EVENTS {
                let there = known
                    .iter()
                    .find(|known| known.event_type == event && known.data_type == kind.as_str());
                self.keep_oura(there, (event, *kind), (callback_url, verify_token), renew_before)
                    .await?;
            }
        }
        Ok(())
    }

    /// One of Oura's: makes it, renews it, or leaves it.
    async fn keep_oura(
        &self,
        there: Option<&OuraSubscription>,
        (event, kind): (&str, Kind),
        (callback_url, verify_token): (&str, &str),
        renew_before: Duration,
    ) -> Result<(), ProviderError> {
        if let Some(there) = there {
            if self.lasts(there, renew_before) {
                return Ok(());
            }
            let id = raw::id(&there.id).ok_or_else(ProviderError::unreadable)?;
            match self.oura_call(Method::PUT, &["renew", &id], None, verify_token).await {
                // It ended in the meantime.
                Err(ProviderError::Refused { status: 404, .. }) => {}
                other => return other.map(|_| ()),
            }
        }
        let body = json!({
            "callback_url": callback_url,
            "verification_token": verify_token,
            "event_type": event,
            "data_type": kind.as_str(),
        });
        self.oura_call(Method::POST, &[], Some(body.to_string()), verify_token).await?;
        Ok(())
    }

    /// Whether it needs no renewal yet. One whose end cannot be read does.
    fn lasts(&self, subscription: &OuraSubscription, renew_before: Duration) -> bool {
        let end = subscription.expiration_time.as_deref().and_then(end_ms);
        let before_ms = i64::try_from(renew_before.as_millis()).unwrap_or(i64::MAX);
        let due = self.options.clock.now().plus_millis(before_ms);
        end.is_some_and(|end_ms| end_ms > due.millis())
    }

    async fn oura_call(
        &self,
        method: Method,
        path: &[&str],
        body: Option<String>,
        verify_token: &str,
    ) -> Result<Vec<u8>, ProviderError> {
        let path: Vec<_> = ["webhook", "subscription"].iter().chain(path).copied().collect();
        let mut request = Request::new(method, self.url(&path));
        for (name, value) in [
            ("x-client-id", &self.options.client_id),
            ("x-client-secret", &self.options.client_secret),
        ] {
            let value = HeaderValue::from_str(value);
            let mut value = value.map_err(|_| ProviderError::unsent("client"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
        }
        if let Some(body) = body {
            let kind = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, kind);
            *request.body_mut() = Some(body.into());
        }
        self.send(request, About::Application, &[verify_token]).await.body
    }
}

/// A time with or without offset; without one it is UTC.
fn end_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    let with = DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc));
    let without = || Some(text.parse::<NaiveDateTime>().ok()?.and_utc());
    Some(with.or_else(without)?.timestamp_millis())
}
