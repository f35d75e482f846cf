//! Strong entity tags: a hash of what would be sent.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::IF_NONE_MATCH;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

/// The tag of a body.
pub(crate) fn of(body: &Value) -> HeaderValue {
    let hash = digest(&SHA256, body.to_string().as_bytes());
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&hash.as_ref()[..15]));
    HeaderValue::try_from(tag).expect("base64url in quotes is a header")
}

/// Whether the caller has what this tag is of.
pub(crate) fn is_met(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        // A comparison for a 304 is weak: `W/` does not matter.
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == "*" || tag.as_bytes() == etag.as_bytes())
}
