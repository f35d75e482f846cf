//! How Fitbit writes errors, rate headers and tokens.

use http::{HeaderMap, header};
use serde_json::{Value, json};

use crate::provider::Dialect;
use crate::provider::accounts::{Caller, Issued, Rotation, Rules};
use crate::provider::oauth::TokenFault;
use crate::provider::pipe::Said;
use crate::provider::window::{Rule, Window};

pub(crate) const DIALECT: Dialect = Dialect {
    prefix: "fitbit",
    base: "",
    authorize: "/oauth2/authorize",
    token: &["/oauth2/token"],
    revoke: "/oauth2/revoke",
    rules: Rules { life_s: 28_800, keeps_above_s: None, ends_old: false },
    rotation: Rotation::Forgiving,
    scopes: &["activity", "heartrate", "profile", "sleep"],
    joins_scopes: None,
    has_basic: true,
    wants_challenge: true,
    checks_redirect: true,
    windows: &[Rule {
        name: "user_hour",
        length_ms: 60 * 60 * 1000,
        limit: 150,
        is_per_user: true,
        is_for_reads: false,
    }],
    error,
    inactive: r#"{"errors":[{"errorType":"insufficient_permissions","message":"Forbidden"}],"success":false}"#,
    headers,
    refuse_token,
    grant,
};

pub(crate) fn refusal(error_type: &str, message: &str) -> String {
    let error = json!({"errorType": error_type, "fieldName": "n/a", "message": message});
    json!({"errors": [error], "success": false}).to_string()
}

pub(crate) fn may_read(scope: &str, caller: &Caller) -> bool {
    caller.scopes.iter().any(|known| known == scope)
}

pub(crate) fn missing_scope() -> Said {
    let body = refusal("insufficient_scope", "This application does not have permission.");
    Said::with(403, "missing_scope", body)
}

pub(crate) fn invalid(field: &str) -> Said {
    let error = json!({"errorType": "validation", "fieldName": field, "message": "Invalid value."});
    Said::with(400, "bad_query", json!({"errors": [error], "success": false}))
}

fn error(status: u16) -> String {
    match status {
        400 => refusal("request", "Bad request."),
        401 => refusal("expired_token", "Access token expired."),
        404 => refusal("not_found", "The API you are requesting could not be found."),
        410 => refusal("system", "Gone"),
        429 => refusal("system", "Too Many Requests"),
        _ => refusal("system", "Error"),
    }
}

fn headers(windows: &[Window], is_limited: bool, headers: &mut HeaderMap) {
    let [window] = windows else { return };
    let left = window.limit.saturating_sub(window.used);
    headers.insert("fitbit-rate-limit-limit", window.limit.into());
    headers.insert("fitbit-rate-limit-remaining", left.into());
    headers.insert("fitbit-rate-limit-reset", window.resets_in_s().into());
    if is_limited && window.is_over() {
        headers.insert(header::RETRY_AFTER, window.resets_in_s().into());
    }
}

fn refuse_token(wrong: TokenFault) -> Said {
    let (status, error_type, word) = match wrong {
        TokenFault::ClientId | TokenFault::ClientSecret => (401, "invalid_client", "bad_client"),
        TokenFault::GrantType => (400, "unsupported_grant_type", "bad_grant_type"),
        TokenFault::Code | TokenFault::Redirect | TokenFault::Verifier => {
            (400, "invalid_grant", "bad_code")
        }
        TokenFault::Refresh => (400, "invalid_grant", "dead_refresh"),
    };
    Said::with(status, word, refusal(error_type, "Refused."))
}

fn grant(issued: &Issued, _: i64, _: bool) -> Value {
    json!({
        "access_token": issued.access_token,
        "expires_in": issued.expires_in_s,
        "refresh_token": issued.refresh_token,
        "scope": issued.caller.scopes.join(" "),
        "token_type": "Bearer",
        "user_id": &*issued.caller.user,
    })
}
