//! How Oura writes errors, rate headers and tokens.

use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use crate::provider::Dialect;
use crate::provider::accounts::{Caller, Issued, Rotation, Rules};
use crate::provider::oauth::TokenFault;
use crate::provider::oura::WORKOUT;
use crate::provider::pipe::Said;
use crate::provider::window::{Rule, Window};

const WINDOW_MS: i64 = 5 * 60 * 1000;

pub(crate) const DIALECT: Dialect = Dialect {
    prefix: "oura",
    base: "/v2",
    authorize: "/oauth/authorize",
    token: &["/oauth/token"],
    revoke: "/oauth/revoke",
    rules: Rules { life_s: 86_400, keeps_above_s: None, ends_old: false },
    rotation: Rotation::SingleUse,
    scopes: &["personal", "daily", "workout"],
    joins_scopes: Some(" "),
    has_basic: false,
    wants_challenge: false,
    checks_redirect: true,
    windows: &[Rule {
        name: "app_5m",
        length_ms: WINDOW_MS,
        limit: 5000,
        is_per_user: false,
        is_for_reads: false,
    }],
    error,
    inactive: r#"{"detail":"Forbidden"}"#,
    headers,
    refuse_token,
    grant,
};

pub(crate) fn may_read(kind: &str, caller: &Caller) -> bool {
    let wanted = if kind == WORKOUT { "workout" } else { "daily" };
    caller.scopes.iter().any(|scope| scope == wanted)
}

pub(crate) fn missing_scope() -> Said {
    Said::with(
        403,
        "missing_scope",
        json!({"detail": "Token not authorized to access this scope."}),
    )
}

/// What cannot be read, as Pydantic lists it.
pub(crate) fn unprocessable(name: &str) -> Said {
    let detail = json!([{
        "loc": ["query", name],
        "msg": "invalid date format",
        "type": "value_error.date",
    }]);
    Said::with(422, "bad_query", json!({"detail": detail}))
}

fn error(status: u16) -> String {
    let detail = match status {
        400 => "Query parameter validation error.",
        401 => {
            "Unauthorized access exception. Usually means the access token is expired, \
                malformed or revoked."
        }
        403 => {
            "The requested resource requires additional permissions or the user's Oura \
                subscription has expired."
        }
        404 => "Not Found",
        422 => return unprocessable("start_date").body,
        426 => "Minimum app version not met.",
        429 => "Request Rate Limit Exceeded.",
        _ => "Error",
    };
    json!({"detail": detail}).to_string()
}

fn headers(windows: &[Window], is_limited: bool, headers: &mut HeaderMap) {
    let [window] = windows else { return };
    headers.insert("x-ratelimit-limit", window.limit.into());
    headers.insert("x-ratelimit-window", (WINDOW_MS / 1000).into());
    headers.insert("x-ratelimit-reset", window.resets_in_s().into());
    headers.insert("x-ratelimit-tier", HeaderValue::from_static("default"));
    if is_limited && window.is_over() {
        headers.insert(header::RETRY_AFTER, window.resets_in_s().into());
    }
}

fn refuse_token(wrong: TokenFault) -> Said {
    let (status, error, word) = match wrong {
        TokenFault::ClientId | TokenFault::ClientSecret => (401, "invalid_client", "bad_client"),
        TokenFault::GrantType => (400, "unsupported_grant_type", "bad_grant_type"),
        TokenFault::Code | TokenFault::Redirect | TokenFault::Verifier => {
            (400, "invalid_grant", "bad_code")
        }
        TokenFault::Refresh => (400, "invalid_grant", "dead_refresh"),
    };
    Said::with(status, word, json!({"error": error}))
}

fn grant(issued: &Issued, _: i64, _: bool) -> Value {
    json!({
        "token_type": "bearer",
        "access_token": issued.access_token,
        "expires_in": issued.expires_in_s,
        "refresh_token": issued.refresh_token,
    })
}
