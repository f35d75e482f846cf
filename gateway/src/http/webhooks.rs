//! Where cloud providers tell what is new. No token: each has its own way to prove
//! who it is. What is told is kept before it is answered, and looked at later.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_protocol::code::ErrorCode;
use tidegate_services::provider::Provider;
use tokio::time::timeout;
use utoipa::IntoParams;

use crate::error::{ApiError, ApiResult};
use crate::http::body::Nameless;
use crate::http::extract::QueryOf;
use crate::limits::WEBHOOK_ANSWER;
use crate::metrics::label::provider::WebhookResult;
use crate::providers::webhook;
use crate::state::AppState;

fn check_configured(state: &AppState, provider: Provider) -> ApiResult<()> {
    if state.providers.clients.contains_key(&provider) {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::NotFound, "the provider is not configured"))
}

fn refused(state: &AppState) -> ApiError {
    state.metrics.webhook_events.of(WebhookResult::Refused).inc();
    ApiError::new(ErrorCode::Forbidden, "the proof of who sent this is not right")
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// Keeps what a body tells, in the time that a provider waits.
async fn keep(state: &AppState, provider: Provider, body: &[u8]) -> ApiResult<StatusCode> {
    let kept = timeout(WEBHOOK_ANSWER, webhook::take_in(&state.providers, provider, body));
    let late = |_| ApiError::unavailable("this could not be kept in time; send it again");
    match kept.await.map_err(late)?? {
        Some(()) => Ok(StatusCode::OK),
        None => Err(ApiError::new(ErrorCode::Malformed, "the body is not what it should be")),
    }
}

/// Strava asks whether its news are wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StravaQuery {
    /// The `verify_token` of the settings.
    #[serde(default, rename = "hub.verify_token")]
    #[param(value_type = Option<String>)]
    verify_token: Option<String>,
    /// To be repeated.
    #[serde(default, rename = "hub.challenge")]
    challenge: Option<String>,
}

/// The handshake of Strava's subscription.
#[utoipa::path(get, path = "/api/v1/webhooks/strava", tag = "webhooks", params(StravaQuery),
    security(()),
    responses((status = 200, body = Object), (status = 403, description = "Another `verify_token`"),
        (status = 404, description = "The provider is not configured")))]
pub(super) async fn strava_challenge(
    State(state): State<AppState>,
    QueryOf(query): QueryOf<StravaQuery>,
) -> ApiResult<Json<Value>> {
    check_configured(&state, Provider::Strava)?;
    let expected = state.config.providers.strava.verify_token();
    let challenge = challenge(&state, query.verify_token, query.challenge, expected)?;
    Ok(Json(json!({ "hub.challenge": challenge })))
}

fn challenge(
    state: &AppState,
    sent: Option<String>,
    challenge: Option<String>,
    expected: &str,
) -> ApiResult<String> {
    let is_ours = !expected.is_empty() && webhook::is_secret(&sent.unwrap_or_default(), expected);
    challenge.filter(|_| is_ours).ok_or_else(|| refused(state))
}

/// An event of Strava: JSON of at most 64 KiB, signed or not.
#[utoipa::path(post, path = "/api/v1/webhooks/strava", tag = "webhooks", security(()),
    responses((status = 200, description = "Kept, or of nobody here"), (status = 400), (status = 413),
        (status = 403, description = "A wrong `X-Strava-Signature`"),
        (status = 404, description = "The provider is not configured")))]
pub(super) async fn strava(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Nameless,
) -> ApiResult<StatusCode> {
    check_configured(&state, Provider::Strava)?;
    let signature = header(&headers, "x-strava-signature");
    if !webhook::is_of_strava(&state.providers, signature, body.bytes()) {
        return Err(refused(&state));
    }
    keep(&state, Provider::Strava, body.bytes()).await
}

/// Oura asks whether its news are wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OuraQuery {
    /// The `verify_token` of the settings.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    verification_token: Option<String>,
    /// To be repeated.
    #[serde(default)]
    challenge: Option<String>,
}

/// The handshake of Oura's subscriptions.
#[utoipa::path(get, path = "/api/v1/webhooks/oura", tag = "webhooks", params(OuraQuery),
    security(()),
    responses((status = 200, body = Object), (status = 403, description = "Another `verify_token`"),
        (status = 404, description = "The provider is not configured")))]
pub(super) async fn oura_challenge(
    State(state): State<AppState>,
    QueryOf(query): QueryOf<OuraQuery>,
) -> ApiResult<Json<Value>> {
    check_configured(&state, Provider::Oura)?;
    let expected = state.config.providers.oura.verify_token();
    let challenge = challenge(&state, query.verification_token, query.challenge, expected)?;
    Ok(Json(json!({ "challenge": challenge })))
}

/// An event of Oura: JSON of at most 64 KiB, signed at most 5 minutes ago.
#[utoipa::path(post, path = "/api/v1/webhooks/oura", tag = "webhooks", security(()),
    responses((status = 200, description = "Kept, or of nobody here"), (status = 400), (status = 413),
        (status = 403, description = "No `x-oura-signature`, or a wrong or an old one"),
        (status = 404, description = "The provider is not configured")))]
pub(super) async fn oura(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Nameless,
) -> ApiResult<StatusCode> {
    check_configured(&state, Provider::Oura)?;
    let [signed, timestamp] = ["x-oura-signature", "x-oura-timestamp"]
        .map(|name| header(&headers, name).unwrap_or_default());
    if !webhook::is_of_oura(&state.providers, (signed, timestamp), body.bytes()) {
        return Err(refused(&state));
    }
    keep(&state, Provider::Oura, body.bytes()).await
}

/// Events of Google Health, or its question whether they are wanted: JSON of at most
/// 64 KiB, with the `webhook_secret` of the settings as `Authorization`.
#[utoipa::path(post, path = "/api/v1/webhooks/google_health", tag = "webhooks", security(()),
    responses((status = 200, description = "Kept, or of nobody here"), (status = 400), (status = 413),
        (status = 401, description = "Another `Authorization`"),
        (status = 404, description = "The provider is not configured")))]
pub(super) async fn google_health(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Nameless,
) -> ApiResult<Response> {
    check_configured(&state, Provider::GoogleHealth)?;
    let secret = state.config.providers.google_health.webhook_secret();
    let sent = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if secret.is_empty() || !webhook::is_secret(sent.unwrap_or_default(), secret) {
        state.metrics.webhook_events.of(WebhookResult::Refused).inc();
        let message = "the `Authorization` is not the one agreed on";
        return Err(ApiError::new(ErrorCode::Unauthenticated, message));
    }
    if is_verification(body.bytes()) {
        return Ok(StatusCode::OK.into_response());
    }
    Ok(keep(&state, Provider::GoogleHealth, body.bytes()).await?.into_response())
}

fn is_verification(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Asked {
        #[serde(rename = "type")]
        kind: String,
    }
    serde_json::from_slice::<Asked>(body).is_ok_and(|asked| asked.kind == "verification")
}
