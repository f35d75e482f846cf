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
use uuid::Uuid;

use crate::auth::Claims;
use crate::error::{ApiError, ApiResult};
use crate::state::AppState;
use crate::transport::ws::live::Live;

mod frames;
mod hello;
mod live;
mod queue;
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
    state.metrics.sockets_accepted.inc();
    // Boxed and gone before the session lives: an idle session must not keep
    // the memory of its beginning.
    let opening = Box::pin(open(state.clone(), on_upgrade, claims, place));
    state.sockets.spawn(async move {
        if let Some(live) = opening.await {
            live.run().await;
        }
    });
    let headers = [
        (CONNECTION, "Upgrade"),
        (UPGRADE, "websocket"),
        (SEC_WEBSOCKET_ACCEPT, accept.as_str()),
        (SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

/// Takes the connection to its live session; `None` when it ended before.
async fn open(
    state: AppState,
    on_upgrade: OnUpgrade,
    claims: Option<Claims>,
    place: BeforeHello,
) -> Option<Box<Live>> {
    let session_id = Uuid::now_v7();
    // A span for as long as it opens only: thousands of idle sessions would
    // keep theirs.
    let span = tracing::info_span!("session", session.id = %session_id);
    let opening = async {
        match on_upgrade.await {
            Ok(upgraded) => hello::open(&state, upgraded, claims, session_id).await,
            Err(error) => {
                tracing::debug!(%error, "upgrade failed");
                None
            }
        }
    };
    let opened = opening.instrument(span).await;
    drop(place);
    opened
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
