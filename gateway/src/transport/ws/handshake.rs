//! The opening handshake (RFC 6455, 4.2): what an upgrade must say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};
use tidegate_protocol::SUBPROTOCOL;
use tidegate_protocol::code::ErrorCode;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::error::{ApiError, ApiResult};

/// Bytes of the nonce that a client sends.
const KEY_BYTES: usize = 16;

/// Checks an upgrade request; what `Sec-WebSocket-Accept` answers.
pub(super) fn check(parts: &Parts) -> ApiResult<String> {
    let headers = &parts.headers;
    let is_upgrade = has_token(headers, &CONNECTION, |token| token.eq_ignore_ascii_case("upgrade"))
        && has_token(headers, &UPGRADE, |token| token.eq_ignore_ascii_case("websocket"));
    // A route for GET is asked for HEAD as well.
    if parts.method != Method::GET || !is_upgrade {
        return Err(not_an_upgrade());
    }
    if only(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(ApiError::new(ErrorCode::UpgradeRequired, "WebSocket version 13 is required"));
    }
    // Names of subprotocols are compared as they are spelled.
    if !has_token(headers, &SEC_WEBSOCKET_PROTOCOL, |token| token == SUBPROTOCOL) {
        let message = format!("the subprotocol `{SUBPROTOCOL}` is required");
        return Err(ApiError::new(ErrorCode::SubprotocolRequired, message));
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY).filter(|key| is_key(key)).ok_or_else(|| {
        ApiError::new(ErrorCode::Malformed, "`Sec-WebSocket-Key` must be 16 bytes in base64")
    })?;
    Ok(derive_accept_key(key.as_bytes()))
}

/// Refuses what is no upgrade to a WebSocket.
pub(super) fn not_an_upgrade() -> ApiError {
    ApiError::new(ErrorCode::UpgradeRequired, "this is a WebSocket endpoint")
}

/// The value of a header that may stand there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn is_key(key: &str) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == KEY_BYTES)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: impl Fn(&str) -> bool) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| wanted(token.trim()))
}
