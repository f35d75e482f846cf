//! One request and its answer, whatever the provider.

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Method, Request, Response};
use serde_json::value::RawValue;
use url::Url;

use crate::limits::{ANSWER_BYTES, PROVIDER_PAGE_BYTES, PROVIDER_WAIT_MAX};
use crate::provider::error::ProviderError;
use crate::provider::rate::{self, Usage};
use crate::provider::tokens::is_sendable;
use crate::provider::{
    Answer, Failed, Kind, Page, Provider, ProviderClient, Span, fault, fitbit, google_health, oura,
    raw, strava,
};
use crate::retry_after;
use crate::transport::{self, TransportError};

/// What a request is about: what its refusals mean depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A user's data.
    Data,
    /// A user's tokens.
    Token,
    /// The application.
    Application,
}

/// What came back.
pub(super) struct Heard {
    pub(super) usage: Usage,
    pub(super) body: Result<Vec<u8>, ProviderError>,
}

impl Heard {
    fn read<T>(self, parse: impl FnOnce(&[u8]) -> Option<T>) -> Result<Answer<T>, Failed> {
        let Self { usage, body } = self;
        let value = body.and_then(|body| parse(&body).ok_or_else(ProviderError::unreadable));
        match value {
            Ok(value) => Ok(Answer { value, usage }),
            Err(error) => Err(Failed { error, usage }),
        }
    }
}

impl ProviderClient {
    /// The provider's id of the user whose token this is.
    pub async fn owner(&self, access_token: &str) -> Result<Answer<String>, Failed> {
        let path: &[&str] = match self.provider() {
            Provider::Strava => &["athlete"],
            Provider::GoogleHealth => &["users", "me", "identity"],
            Provider::Oura => &["usercollection", "personal_info"],
            Provider::Fitbit => &["1", "user", "-", "profile.json"],
        };
        self.get(self.url(path), access_token).await?.read(|body| match self.provider() {
            Provider::Strava => strava::owner(body),
            Provider::GoogleHealth => google_health::owner(body),
            Provider::Oura => oura::owner(body),
            Provider::Fitbit => fitbit::owner(body),
        })
    }

    /// A page of what the user has of this kind and in this span; of APIs that
    /// know dates only, and nobody's time zone, up to a day more on both sides.
    /// `page`: the last page's [`Page::next`].
    pub async fn list(
        &self,
        access_token: &str,
        kind: Kind,
        span: &Span,
        page: Option<&str>,
    ) -> Result<Answer<Page>, Failed> {
        if !self.provider().kinds().contains(&kind) {
            return Err(ProviderError::unsent("kind").into());
        }
        let base = &self.options.base_url;
        let url = match self.provider() {
            Provider::Strava => strava::list(base, span, page),
            Provider::GoogleHealth => google_health::list(base, kind, span, page),
            Provider::Oura => Some(oura::list(base, kind, span, page)),
            Provider::Fitbit => fitbit::list(base, kind, span, page),
        };
        let url = url.ok_or_else(|| ProviderError::unsent("page"))?;
        self.get(url, access_token).await?.read(|body| match self.provider() {
            Provider::Strava => strava::page(body, page),
            Provider::GoogleHealth => google_health::page(body, page),
            Provider::Oura => oura::page(body, page),
            Provider::Fitbit => fitbit::page(body, kind, span, page),
        })
    }

    /// One item. `None`: the service says that there is none.
    ///
    /// Fitbit's API has no such call.
    pub async fn one(
        &self,
        access_token: &str,
        kind: Kind,
        id: &str,
    ) -> Result<Answer<Option<Box<RawValue>>>, Failed> {
        let path = match self.provider() {
            Provider::Strava => strava::one(kind, id),
            Provider::GoogleHealth => google_health::one(kind, id),
            Provider::Oura => oura::one(kind, id),
            Provider::Fitbit => None,
        };
        let path = path.ok_or_else(|| ProviderError::unsent("id"))?;
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        let heard = self.get(self.url(&path), access_token).await?;
        if let Err(ProviderError::Refused { status: 404, .. }) = heard.body {
            return Ok(Answer { value: None, usage: heard.usage });
        }
        heard.read(|body| raw::whole(body).map(Some))
    }

    /// The base address followed by these segments.
    pub(super) fn url(&self, path: &[&str]) -> Url {
        join(&self.options.base_url, path)
    }

    async fn get(&self, url: Url, access_token: &str) -> Result<Heard, Failed> {
        // What cannot stand in a header was never a token.
        if !is_sendable(access_token) {
            return Err(ProviderError::Unauthorized.into());
        }
        let mut request = Request::new(Method::GET, url);
        let value = HeaderValue::try_from(format!("Bearer {access_token}"));
        let mut value = value.map_err(|_| ProviderError::Unauthorized)?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(self.send(request, About::Data, &[access_token]).await)
    }

    /// Sends a request. `secrets`: what no error may repeat, besides the
    /// application's own.
    pub(super) async fn send(&self, mut request: Request, about: About, secrets: &[&str]) -> Heard {
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        let response = match self.http.execute(request).await {
            Ok(response) => response,
            Err(error) => {
                let error = TransportError::of(&error).into();
                return Heard { usage: Usage::default(), body: Err(error) };
            }
        };
        let is_limited = response.status().as_u16() == 429;
        let now = self.options.clock.now();
        let usage = rate::usage(self.provider(), response.headers(), is_limited, now);
        let body = self.read(response, about).await;
        Heard { usage, body: body.map_err(|error| self.without(error, secrets)) }
    }

    async fn read(&self, response: Response, about: About) -> Result<Vec<u8>, ProviderError> {
        let status = response.status();
        if status.is_success() {
            let limit_bytes = if about == About::Data { PROVIDER_PAGE_BYTES } else { ANSWER_BYTES };
            return Ok(transport::read_whole(response, limit_bytes).await?);
        }
        let clock = &self.options.clock;
        let retry_after = retry_after::within(response.headers(), clock, PROVIDER_WAIT_MAX);
        // The status alone says enough when the body does not come.
        let body = transport::read_body(response).await.unwrap_or_default();
        Err(fault::classify(about, status.as_u16(), retry_after, &body))
    }

    /// An error whose word repeats no secret.
    fn without(&self, error: ProviderError, secrets: &[&str]) -> ProviderError {
        let ProviderError::Refused { status, said: Some(said) } = error else { return error };
        let mut secrets = secrets.to_vec();
        secrets.push(&self.options.client_secret);
        let is_clean = secrets.iter().filter(|secret| !secret.is_empty()).all(|secret| {
            let repeats = said.contains(secret) || secret.contains(&said);
            !repeats
        });
        ProviderError::Refused { status, said: is_clean.then_some(said) }
    }
}

/// An address followed by these segments, each written as one.
pub(super) fn join(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    // Fails for addresses without a host only, which no client has.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}
