//! The WebSocket: upgrade, hello, the live session.
//!
//! One task owns a socket from upgrade to close. It holds no queue of
//! payloads: a wake-up makes it read the journal.

use std::sync::atomic::Ordering;

use axum::response::{IntoResponse, Response};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, StatusCode};
use hyper::upgrade::OnUpgrade;
use tidegate_protocol::SUBPROTOCOL;
use tidegate_protocol::code::ErrorCode;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::Instrument;

use crate::auth::Claims;
use crate::error::{ApiError, ApiResult};
use crate::state::AppState;

mod frames;
mod hello;
mod live;
mod socket;

pub(crate) use frames::check_results;

/// Answers an upgrade request and starts the socket's task. `claims` are
/// those of the `Authorization` header, where there was one.
pub fn upgrade(state: &AppState, parts: &mut Parts, claims: Option<Claims>) -> ApiResult<Response> {
    let accept = check_handshake(&parts.headers)?;
    let on_upgrade = parts.extensions.remove::<OnUpgrade>().ok_or_else(not_an_upgrade)?;
    if state.draining.is_cancelled() {
        return Err(ApiError::unavailable("this node is going away; try again"));
    }
    let place = BeforeHello::enter(state)?;
    let session_id = uuid::Uuid::now_v7().to_string();
    let span = tracing::info_span!("session", session.id = %session_id);
    state.metrics.sockets_accepted.inc();
    let task_state = state.clone();
    let task = async move {
        match on_upgrade.await {
            Ok(upgraded) => socket_task(task_state, upgraded, claims, session_id, place).await,
            Err(error) => tracing::debug!(%error, "upgrade failed"),
        }
    };
    state.sockets.spawn(task.instrument(span));
    let headers = [
        (CONNECTION, "Upgrade"),
        (UPGRADE, "websocket"),
        (SEC_WEBSOCKET_ACCEPT, accept.as_str()),
        (SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

async fn socket_task(
    state: AppState,
    upgraded: hyper::upgrade::Upgraded,
    claims: Option<Claims>,
    session_id: String,
    place: BeforeHello,
) {
    // Boxed and finished before the session lives: an idle session must not
    // keep the memory of its beginning.
    let opened = Box::pin(hello::open(&state, upgraded, claims, session_id)).await;
    drop(place);
    if let Some(live) = opened {
        live.run().await;
    }
}

fn check_handshake(headers: &HeaderMap) -> ApiResult<String> {
    if !has_token(headers, &CONNECTION, "upgrade") || !has_token(headers, &UPGRADE, "websocket") {
        return Err(not_an_upgrade());
    }
    let version = headers.get(SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|version| version != "13") {
        return Err(ApiError::new(ErrorCode::UpgradeRequired, "WebSocket version 13 is required"));
    }
    if !has_token(headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        let message = format!("the subprotocol `{SUBPROTOCOL}` is required");
        return Err(ApiError::new(ErrorCode::SubprotocolRequired, message));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or_else(not_an_upgrade)?;
    Ok(derive_accept_key(key.as_bytes()))
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

fn not_an_upgrade() -> ApiError {
    ApiError::new(ErrorCode::UpgradeRequired, "this is a WebSocket endpoint")
}

/// A place among the sockets that have not said hello.
struct BeforeHello {
    state: AppState,
}

impl BeforeHello {
    fn enter(state: &AppState) -> ApiResult<Self> {
        let most = state.config.limits.sockets_before_hello;
        let entered = state.before_hello.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            (now < most).then_some(now + 1)
        });
        if entered.is_err() {
            let message = "too many sockets have not said hello; try again";
            return Err(ApiError::new(ErrorCode::TooManyConnections, message).with_retry_after(1));
        }
        Ok(Self { state: state.clone() })
    }
}

impl Drop for BeforeHello {
    fn drop(&mut self) {
        self.state.before_hello.fetch_sub(1, Ordering::AcqRel);
    }
}
