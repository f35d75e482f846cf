//! What refusals say for later attempts: which token is of no use, and how long
//! to stay away.
//!
//! Owns the one way by which HTTP calls of a device go out. Never tries again.

use tidegate_protocol::code::{CloseReason, ErrorCode};
use tidegate_protocol::server::ErrorFrame;

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

/// What a close says for later attempts, with the refusal that came just before
/// it and tells more than the code.
pub(super) fn note_close<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    closed: &mut Closed,
    refused: Option<&ErrorFrame>,
    token: &Token,
) {
    let Some(code) = closed.code else { return };
    if let Some(refused) = refused {
        if let Some(wait) = device.wait_of(refused) {
            device.hold_off(wait);
        }
        if refused.code == ErrorCode::TooManyDevices && code == CloseReason::Forbidden.number() {
            refused.code.as_str().clone_into(&mut closed.reason);
        }
    }
    if closed.is_token_refused() {
        device.refused().note(token);
    }
}
