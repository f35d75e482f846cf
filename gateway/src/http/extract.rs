//! What routes take from a request, and the one shape of every refusal.
//!
//! Bodies have a way of their own: see [`body`](crate::http::body). Extractors
//! never look at the database.

use std::fmt::Display;

use axum::Json;
use axum::extract::{FromRef, FromRequestParts};
use axum::response::{IntoResponse, Response};
use http::header::{
    AUTHORIZATION, CONNECTION, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::id::DeviceId;
use tidegate_protocol::json::{self, WrongField};

use crate::auth::{Authenticator, Claims, Role};
use crate::error::{ApiError, ApiResult};
use crate::http::answers::Asked;

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.number())
            .expect("the table of codes holds HTTP statuses: a test makes each");
        let mut response = (status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            // RFC 9110, 15.5.22, and RFC 6455, 4.4.
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        response
    }
}

/// Reads the text of a JSON object: 400 where it is not JSON, 422 with the field
/// where a value is wrong.
pub fn parse_json<T: DeserializeOwned>(text: &str) -> ApiResult<T> {
    // Before parsing: serde_json would recurse twice as deep as we allow.
    json::check(text).map_err(|error| ApiError::new(ErrorCode::Invalid, error.to_string()))?;
    parse_unchecked(text)
}

/// The same, of a text whose depth its parts are judged by.
pub(super) fn parse_unchecked<T: DeserializeOwned>(text: &str) -> ApiResult<T> {
    // serde would take a list for a struct, its elements for the fields.
    if !text.trim_start().starts_with('{') && is_valid_json(text) {
        return Err(ApiError::new(ErrorCode::Invalid, "the body must be a JSON object"));
    }
    // Keeping the path to what is read costs as much as reading it.
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        // Reading stops at the first wrong value; what follows may not be JSON.
        Err(error) if error.inner().classify() == Category::Data && is_valid_json(text) => {
            Err(invalid_field(&error))
        }
        _ => Err(ApiError::new(ErrorCode::Malformed, "the body is not JSON")),
    }
}

/// The parameters of the query; 422 with the field where one is wrong.
#[derive(Debug)]
pub struct QueryOf<T>(pub T);

impl<S, T> FromRequestParts<S> for QueryOf<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        parse_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn parse_query<T: DeserializeOwned>(query: &str) -> ApiResult<T> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    if let Some((name, _)) = pairs.clone().find(|(_, value)| value.contains('\0')) {
        return Err(ApiError::invalid(name, "U+0000 is not allowed"));
    }
    serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs))
        .map(|read: T| read)
        .map_err(|error| invalid_field(&error))
}

/// A part of the path, as text.
#[derive(Clone, Debug)]
pub struct PathOf(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathOf {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        // Not UTF-8 behind the percent signs, or with U+0000: nothing has such a
        // name, and PostgreSQL takes no text with it.
        let path = path.ok().filter(|path| !path.0.contains('\0'));
        path.map(|path| Self(path.0))
            .ok_or_else(|| ApiError::new(ErrorCode::NotFound, "there is no such path"))
    }
}

/// Who calls, by the bearer token.
#[derive(Clone, Debug)]
pub struct Caller(pub Claims);

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Authenticator: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let authenticator = Authenticator::from_ref(state);
        let Some(token) = bearer(&parts.headers) else { return Err(authenticator.missing()) };
        let caller = Self(authenticator.verify(token).await?);
        if let Some(asked) = parts.extensions.get::<Asked>() {
            asked.by(caller.0.holder());
        }
        Ok(caller)
    }
}

impl Caller {
    /// Refuses a caller whose role does not include `role`.
    pub fn require_role(&self, role: Role) -> ApiResult<()> {
        if self.0.role.includes(role) {
            return Ok(());
        }
        Err(ApiError::new(ErrorCode::Forbidden, "the token's role may not do this"))
    }

    /// Refuses a caller that is no device, or whose token is bound to another
    /// one.
    pub fn require_device(&self, device: &DeviceId) -> ApiResult<()> {
        self.require_role(Role::Device)?;
        if self.0.is_for(device) {
            return Ok(());
        }
        Err(device_mismatch())
    }
}

pub(super) fn device_mismatch() -> ApiError {
    ApiError::new(ErrorCode::DeviceMismatch, "the token is bound to another device")
}

/// The bearer token of a request; `None` where there is no such header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_valid_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn invalid_field<E: Display>(error: &serde_path_to_error::Error<E>) -> ApiError {
    let WrongField { field, reason } = WrongField::of(error);
    ApiError::invalid(field, reason)
}

#[cfg(test)]
mod tests;
