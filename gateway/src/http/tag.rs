//! `ETag`s: weak, from what is served; what a caller has is not sent again.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::error::{ApiError, ApiResult};

/// The beginning of a hash, for tags.
pub(super) fn short_hash(bytes: &[u8]) -> String {
    let mut hash = format!("{:x}", Sha256::digest(bytes));
    hash.truncate(24);
    hash
}

/// The version that `If-Match` names: `"7"`, as an `ETag` begins.
pub(super) fn expected_version(headers: &HeaderMap) -> ApiResult<Option<i64>> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let tag = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
    let version = tag.split('-').next().and_then(|version| version.parse().ok());
    version.map(Some).ok_or_else(|| ApiError::invalid("if-match", "an ETag that this call gave"))
}

/// The body with its `ETag`, or 304 where the caller has it.
pub(super) fn tagged(headers: &HeaderMap, tag: &str, body: &impl Serialize) -> Response {
    with_tag(headers, tag, || Json(body).into_response())
}

/// JSON text with an `ETag` of its own, or 304 where the caller has it.
pub(super) fn tagged_text(headers: &HeaderMap, text: String) -> Response {
    let tag = format!("W/\"{}\"", short_hash(text.as_bytes()));
    with_tag(headers, &tag, || json_text(text))
}

/// The row of a version, with the `ETag` that `If-Match` takes, or 304.
pub(super) fn tagged_version(headers: &HeaderMap, version: i64, text: String) -> Response {
    let tag = format!("W/\"{version}-{}\"", short_hash(text.as_bytes()));
    with_tag(headers, &tag, || json_text(text))
}

/// An answer of JSON text.
pub(super) fn json_text(text: String) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}

fn with_tag(headers: &HeaderMap, tag: &str, body: impl FnOnce() -> Response) -> Response {
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let plain = tag.trim_start_matches("W/");
    let is_known = known.is_some_and(|known| {
        known == "*" || known.split(',').any(|one| one.trim().trim_start_matches("W/") == plain)
    });
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { body() };
    if let Ok(value) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(ETAG, value);
    }
    response
}
