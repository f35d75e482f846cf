//! The WebSocket: upgrade, hello, the live session.
//!
//! One task owns a socket from upgrade to close. It holds no queue of
//! payloads: a wake-up makes it read the journal.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use tidegate_protocol::SUBPROTOCOL;
use tracing::Instrument;
use uuid::Uuid;

use crate::auth::Claims;
use crate::error::{ApiError, ApiResult};
use crate::hub::peer::{Origin, Peer};
use crate::hub::silent::{Place, Waiter};
use crate::state::AppState;
use crate::transport::ws::live::Live;

mod deliver;
mod end;
mod frames;
mod handshake;
mod hello;
mod live;
mod queue;
mod reader;
mod socket;
mod work;

pub(crate) use frames::check_results;

/// Answers an upgrade request and starts the socket's task. `claims` are
/// those of the `Authorization` header, where there was one.
pub fn upgrade(state: &AppState, parts: &mut Parts, claims: Option<Claims>) -> ApiResult<Response> {
    let accept = handshake::check(parts)?;
    let on_upgrade = parts.extensions.remove::<OnUpgrade>();
    let on_upgrade = on_upgrade.ok_or_else(handshake::not_an_upgrade)?;
    if state.draining.is_cancelled() {
        return Err(ApiError::unavailable("this node is going away; try again"));
    }
    let place = state.silent.enter(match &claims {
        Some(claims) => Waiter::Known(claims.sub.clone()),
        None => Waiter::Unknown(origin(parts)),
    });
    state.metrics.sockets_accepted.inc();
    // Boxed and gone before the session lives: an idle session must not keep
    // the memory of its beginning.
    state.sockets.spawn(live(Box::pin(open(state.clone(), on_upgrade, claims, place))));
    let headers = [
        (CONNECTION, "Upgrade"),
        (UPGRADE, "websocket"),
        (SEC_WEBSOCKET_ACCEPT, accept.as_str()),
        (SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

/// The task of a socket.
async fn live(opening: impl Future<Output = Option<Box<Live>>> + Unpin) {
    if let Some(live) = opening.await {
        live.run().await;
    }
}

/// Takes the connection to its live session; `None` when it ended before.
async fn open(
    state: AppState,
    on_upgrade: OnUpgrade,
    claims: Option<Claims>,
    place: Place,
) -> Option<Box<Live>> {
    let session_id = Uuid::now_v7();
    // A span for as long as it opens only: thousands of idle sessions would
    // keep theirs.
    let span = tracing::info_span!("session", session.id = %session_id);
    let opening = async {
        match on_upgrade.await {
            Ok(upgraded) => hello::open(&state, upgraded, claims, place, session_id).await,
            Err(error) => {
                tracing::debug!(%error, "upgrade failed");
                None
            }
        }
    };
    opening.instrument(span).await
}

/// Where a request comes from; a server that does not tell is not believed to
/// tell clients apart.
fn origin(parts: &Parts) -> Origin {
    parts.extensions.get::<Peer>().map_or(Origin::Unreadable, |peer| peer.origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With what the runtime keeps of it, a task of this size takes 256 bytes;
    /// the next larger one 384 or 512.
    const TASK_BYTES: usize = 144;

    #[test]
    fn an_idle_session_has_a_small_task() {
        let task = live(Box::pin(std::future::ready(None)));
        assert!(size_of_val(&task) <= TASK_BYTES, "{} bytes", size_of_val(&task));
    }
}
