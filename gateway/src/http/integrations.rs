//! Integrations with cloud providers: how they stand, connecting, and asking for a
//! run.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::Url;
use serde::Deserialize;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::rest::Page;
use tidegate_protocol::rest::integrations::{
    ConnectAnswer, ConnectIntegration, IntegrationView, SyncAccepted,
};
use tidegate_services::provider::Provider;
use utoipa::IntoParams;

use crate::error::{ApiError, ApiResult};
use crate::http::body::{Anyone, Sent};
use crate::http::extract::{PathOf, QueryOf};
use crate::http::health::{Subject, UserQuery};
use crate::http::tag::tagged_text;
use crate::providers::connect::{self, Brought, Outcome, Wish};
use crate::providers::sync;
use crate::state::AppState;

/// What a person reads at the end, where no app takes over.
const CONNECTED: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width\">\
    <meta name=\"color-scheme\" content=\"light dark\"><title>Connected</title><p>Connected. You can close this window.</p></html>\n";

/// The provider that a path names.
fn named(word: &str) -> ApiResult<Provider> {
    let known = Provider::from_word(word);
    known.ok_or_else(|| ApiError::new(ErrorCode::NotFound, "there is no such provider"))
}

impl Subject {
    /// Who acts: the user, or who does it for the user.
    fn actor(&self) -> &str {
        self.by.as_deref().unwrap_or(&self.user_id)
    }
}

/// All integrations of a user, connected or not.
#[utoipa::path(get, path = "/api/v1/integrations", tag = "integrations",
    params(UserQuery, ("If-None-Match" = Option<String>, Header)),
    security(("bearer" = ["device", "service"])),
    responses((status = 200, body = Page<IntegrationView>)))]
pub(super) async fn list(
    State(state): State<AppState>,
    subject: Subject,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let items = sync::list(&state.providers, &subject.user_id).await?;
    let page = Page { items, next_cursor: None };
    let text = serde_json::to_string(&page).map_err(|error| ApiError::internal(&error))?;
    Ok(tagged_text(&headers, text))
}

/// Where to send the user to allow the access. Good for 10 minutes, once.
#[utoipa::path(post, path = "/api/v1/integrations/{provider}/connect", tag = "integrations",
    params(("provider" = String, Path), UserQuery), security(("bearer" = ["device", "service"])),
    request_body = ConnectIntegration,
    responses((status = 200, body = ConnectAnswer),
        (status = 410, description = "The provider's service was switched off"),
        (status = 501, description = "The provider is not configured")))]
pub(super) async fn connect(
    State(state): State<AppState>,
    PathOf(provider): PathOf,
    subject: Subject,
    Sent { body: request, .. }: Sent<Anyone, ConnectIntegration>,
) -> ApiResult<Json<ConnectAnswer>> {
    let provider = named(&provider)?;
    let actor = subject.actor().to_owned();
    let wish = Wish { user_id: subject.user_id, actor, return_url: request.return_url };
    let (url, expires_at) = connect::begin(&state.providers, provider, wish).await?;
    Ok(Json(ConnectAnswer { authorize_url: url.into(), expires_at }))
}

/// What a browser brings back from a provider.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CallbackQuery {
    /// As it was sent away with.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    state: Option<String>,
    /// What is traded for tokens.
    #[serde(default)]
    code: Option<String>,
    /// What the user granted.
    #[serde(default)]
    scope: Option<String>,
    /// Why there is no code.
    #[serde(default)]
    error: Option<String>,
}

/// Where a provider sends the browser back to: the redirect URI to register with
/// it. Answers with a page for people, or sends the browser on to `return_url` with
/// `provider`, `status` and `error` in its query.
#[utoipa::path(get, path = "/api/v1/integrations/{provider}/callback", tag = "integrations",
    params(("provider" = String, Path), CallbackQuery), security(()),
    responses((status = 200, body = String, content_type = "text/html"),
        (status = 303, description = "To `return_url`"),
        (status = 400, description = "`invalid_state` or `connect_refused`"),
        (status = 503, description = "The provider does not answer")))]
pub(super) async fn callback(
    State(state): State<AppState>,
    PathOf(provider): PathOf,
    QueryOf(query): QueryOf<CallbackQuery>,
) -> ApiResult<Response> {
    let provider = named(&provider)?;
    let CallbackQuery { state: sent, code, scope, error } = query;
    let brought = Brought { state: sent, code, scope, error };
    let outcome = connect::finish(&state.providers, provider, brought).await;
    Ok(private(answer(provider, outcome)))
}

fn answer(provider: Provider, Outcome { return_url, result }: Outcome) -> Response {
    let Some(mut url) = return_url.and_then(|url| url.parse::<Url>().ok()) else {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        let page = || ([(CONTENT_TYPE, html)], CONNECTED).into_response();
        return result.map_or_else(ApiError::into_response, |()| page());
    };
    let mut query = url.query_pairs_mut();
    query.append_pair("provider", provider.as_str());
    match result {
        Ok(()) => query.append_pair("status", "connected"),
        Err(error) => {
            query.append_pair("status", "error").append_pair("error", error.code.as_str())
        }
    };
    drop(query);
    Redirect::to(url.as_str()).into_response()
}

/// What came here had a code and a state in its address: nobody is to keep it, or
/// to be told of it.
fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    response
}

/// Reads what is new now.
#[utoipa::path(post, path = "/api/v1/integrations/{provider}/sync", tag = "integrations",
    params(("provider" = String, Path), UserQuery), security(("bearer" = ["device", "service"])),
    responses((status = 202, body = SyncAccepted),
        (status = 409, description = "`sync_already_in_progress`, or `reconnect_required`"),
        (status = 501, description = "The provider is not configured any more")))]
pub(super) async fn sync(
    State(state): State<AppState>,
    PathOf(provider): PathOf,
    subject: Subject,
) -> ApiResult<(StatusCode, Json<SyncAccepted>)> {
    let provider = named(&provider)?;
    let sync_id = sync::request(&state.providers, provider, &subject.user_id).await?;
    Ok((StatusCode::ACCEPTED, Json(SyncAccepted { sync_id, status: "accepted".to_owned() })))
}

/// Ends the connection: the tokens are forgotten, and taken back at the provider;
/// what was read stays.
#[utoipa::path(delete, path = "/api/v1/integrations/{provider}", tag = "integrations",
    params(("provider" = String, Path), UserQuery), security(("bearer" = ["device", "service"])),
    responses((status = 204, description = "It is not connected")))]
pub(super) async fn disconnect(
    State(state): State<AppState>,
    PathOf(provider): PathOf,
    subject: Subject,
) -> ApiResult<StatusCode> {
    let provider = named(&provider)?;
    connect::disconnect(&state.providers, provider, &subject.user_id, subject.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
