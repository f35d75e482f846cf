//! The browser's way to a code, and what codes and refresh tokens are traded
//! for.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, Uri};
use serde_json::Value;
use url::Url;

use crate::provider::pipe::{Call, Said};
use crate::provider::{CLIENT_ID, CLIENT_SECRET, DEFAULT_USER, Service, caller, lock};

/// What is wrong with a token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenFault {
    ClientId,
    ClientSecret,
    GrantType,
    Code,
    Refresh,
    Redirect,
    Verifier,
}

pub(crate) type Form = HashMap<String, String>;

/// Routes of OAuth; revoking is each service's own.
pub(crate) fn router(service: &Arc<Service>) -> Router {
    let mut router = Router::new().route(service.dialect.authorize, get(authorize));
    for path in service.dialect.token {
        router = router.route(path, post(token));
    }
    router.with_state(Arc::clone(service))
}

/// What the query says.
pub(crate) fn query(uri: &Uri) -> Form {
    form(uri.query().unwrap_or_default().as_bytes())
}

/// What a form says, or an object of texts.
pub(crate) fn form(body: &[u8]) -> Form {
    if let Ok(Value::Object(members)) = serde_json::from_slice(body) {
        let texts = members.into_iter().map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (name, text)
        });
        return texts.collect();
    }
    url::form_urlencoded::parse(body).into_owned().collect()
}

async fn authorize(State(service): State<Arc<Service>>, parts: Parts) -> Response {
    let asked = query(&parts.uri);
    let user = service.who(&asked);
    let look = async { service.consent(&asked, &user) };
    let user = Some(user.as_str().into());
    service.plain(parts, Call::named("authorize"), user, String::new(), look).await
}

async fn token(State(service): State<Arc<Service>>, parts: Parts, body: Bytes) -> Response {
    let mut asked = query(&parts.uri);
    asked.extend(form(&body));
    let user = {
        let accounts = lock(&service.accounts);
        let by_code = asked.get("code").and_then(|code| accounts.user_of_code(code));
        let by_refresh = asked.get("refresh_token");
        by_code.or_else(|| by_refresh.and_then(|token| accounts.user_of_refresh(token)))
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    let headers = parts.headers.clone();
    let look = async {
        service
            .trade(&asked, &headers)
            .unwrap_or_else(|fault| (service.dialect.refuse_token)(fault))
    };
    service.plain(parts, Call::named("token"), user, body, look).await
}

impl Service {
    /// Who sits at the browser.
    fn who(&self, asked: &Form) -> String {
        let named = asked.get("login_hint").cloned();
        let standing = || lock(&self.consent).user.clone();
        named.or_else(standing).unwrap_or_else(|| DEFAULT_USER.to_owned())
    }

    fn consent(&self, asked: &Form, user: &str) -> Said {
        let get = |name: &str| asked.get(name).map(String::as_str);
        let bad = |word| Said::with(400, word, (self.dialect.error)(400));
        if get("client_id") != Some(CLIENT_ID) {
            return bad("bad_client");
        }
        let Some(mut back) = get("redirect_uri").and_then(|uri| uri.parse::<Url>().ok()) else {
            return bad("bad_redirect");
        };
        if get("response_type") != Some("code") {
            return bad("bad_response_type");
        }
        let challenge = get("code_challenge").map(str::to_owned);
        let is_s256 = get("code_challenge_method") == Some("S256");
        if challenge.is_some() != is_s256 || (self.dialect.wants_challenge && !is_s256) {
            return bad("bad_challenge");
        }
        let redirect_uri = back.to_string();
        let state = get("state").unwrap_or_default();
        let consent = lock(&self.consent);
        if consent.denies {
            back.query_pairs_mut()
                .append_pair("error", "access_denied")
                .append_pair("state", state);
            return Said::redirect("denied", back.into());
        }
        let wanted = get("scope").unwrap_or_default();
        let wanted = wanted.split([' ', ',']).filter(|scope| !scope.is_empty()).map(str::to_owned);
        let mut scopes: Vec<_> = wanted.collect();
        if let Some(only) = &consent.only {
            scopes.retain(|scope| only.contains(scope));
        }
        drop(consent);
        let named = self.dialect.joins_scopes.map(|separator| scopes.join(separator));
        let now_s = self.clock.unix_seconds();
        let asked_uri = get("redirect_uri").unwrap_or(&redirect_uri);
        let code = lock(&self.accounts).code(caller(user, scopes), asked_uri, challenge, now_s);
        let mut query = back.query_pairs_mut();
        query.append_pair("code", &code).append_pair("state", state);
        if let Some(named) = named {
            query.append_pair("scope", &named);
        }
        drop(query);
        Said::redirect("consented", back.into())
    }

    fn trade(&self, asked: &Form, headers: &HeaderMap) -> Result<Said, TokenFault> {
        self.check_client(asked, headers)?;
        let get = |name: &str| asked.get(name).map(String::as_str);
        let now_s = self.clock.unix_seconds();
        let (issued, is_first) = match get("grant_type") {
            Some("authorization_code") => {
                let code = get("code").unwrap_or_default();
                let mut accounts = lock(&self.accounts);
                let code = accounts.take_code(code, now_s).ok_or(TokenFault::Code)?;
                let redirect_uri = get("redirect_uri");
                if self.dialect.checks_redirect && redirect_uri != Some(&code.redirect_uri) {
                    return Err(TokenFault::Redirect);
                }
                if let Some(challenge) = &code.challenge {
                    let verifier = get("code_verifier").unwrap_or_default();
                    let hash = digest(&SHA256, verifier.as_bytes());
                    if BASE64_URL_SAFE_NO_PAD.encode(hash) != *challenge {
                        return Err(TokenFault::Verifier);
                    }
                }
                (accounts.issue(code.caller, now_s), true)
            }
            Some("refresh_token") => {
                let token = get("refresh_token").unwrap_or_default();
                let issued = lock(&self.accounts).refresh(token, now_s);
                (issued.ok_or(TokenFault::Refresh)?, false)
            }
            _ => return Err(TokenFault::GrantType),
        };
        Ok(Said::ok((self.dialect.grant)(&issued, now_s, is_first)))
    }

    fn check_client(&self, asked: &Form, headers: &HeaderMap) -> Result<(), TokenFault> {
        if self.dialect.has_basic {
            return if is_basic(headers) { Ok(()) } else { Err(TokenFault::ClientSecret) };
        }
        if asked.get("client_id").map(String::as_str) != Some(CLIENT_ID) {
            return Err(TokenFault::ClientId);
        }
        if asked.get("client_secret").map(String::as_str) != Some(CLIENT_SECRET) {
            return Err(TokenFault::ClientSecret);
        }
        Ok(())
    }
}

/// Whether the application's credentials are in the header.
pub(crate) fn is_basic(headers: &HeaderMap) -> bool {
    let expected = BASE64_STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.strip_prefix("Basic ")) == Some(&expected)
}
