//! What refusals say for later attempts: which token is of no use, and how long
//! to stay away.
//!
//! Owns the one way by which HTTP calls of a device go out. Never tries again.

use tidegate_protocol::server::ErrorFrame;

use crate::connection::renewal::SessionToken;
use crate::device::Device;
use crate::handler::Handler;
use crate::rest::RestError;
use crate::state::Closed;
use crate::token::{Token, TokenProvider};

/// Makes this call, which shows this token. While the gateway asked to be left
/// alone it fails with [`RestError::Wait`] and nothing goes out.
pub(super) async fn call<H: Handler, T: TokenProvider, A>(
    device: &Device<H, T>,
    token: &Token,
    call: impl Future<Output = Result<A, RestError>>,
) -> Result<A, RestError> {
    if let Some(left) = device.hold().left() {
        return Err(RestError::Wait { retry_after: Some(left) });
    }
    let answer = call.await;
    match &answer {
        Err(RestError::Unauthorized) => device.refused().note(token),
        Err(RestError::Wait { retry_after: Some(wait) }) => device.hold_off(*wait),
        _ => {}
    }
    answer
}

/// What the end of a session says for later attempts, with the refusal that came
/// just before it: that holds also where the connection is cut and no close
/// frame follows.
pub(super) fn note_close<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    closed: &Closed,
    refused: Option<&ErrorFrame>,
    token: &SessionToken<'_>,
) {
    if let Some(wait) = refused.and_then(|refused| device.wait_of(refused)) {
        device.hold_off(wait);
    }
    if closed.is_token_refused() {
        device.refused().note(token.blamed(closed));
    }
}
