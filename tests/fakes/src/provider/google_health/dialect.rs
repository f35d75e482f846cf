//! How Google writes errors and tokens.

use serde_json::{Value, json};

use crate::provider::Dialect;
use crate::provider::accounts::{Caller, Issued, Rotation, Rules};
use crate::provider::google_health::{SLEEP, WEIGHT};
use crate::provider::oauth::TokenFault;
use crate::provider::pipe::Said;
use crate::provider::window::Rule;

const FITNESS: &str = "https://www.googleapis.com/auth/googlehealth.activity_and_fitness.readonly";
const METRICS: &str =
    "https://www.googleapis.com/auth/googlehealth.health_metrics_and_measurements.readonly";
const NIGHTS: &str = "https://www.googleapis.com/auth/googlehealth.sleep.readonly";

/// While an application's consent screen is in testing: 7 days.
const REFRESH_LIFE_S: i64 = 604_799;

pub(crate) const DIALECT: Dialect = Dialect {
    prefix: "ya29",
    base: "/v4",
    authorize: "/o/oauth2/v2/auth",
    token: &["/token"],
    revoke: "/revoke",
    rules: Rules { life_s: 3599, keeps_above_s: None, ends_old: false },
    rotation: Rotation::Stays,
    scopes: &[FITNESS, METRICS, NIGHTS],
    joins_scopes: Some(" "),
    has_basic: false,
    wants_challenge: false,
    checks_redirect: true,
    windows: &[Rule {
        name: "user_minute",
        length_ms: 60_000,
        limit: 300,
        is_per_user: true,
        is_for_reads: false,
    }],
    error,
    inactive: r#"{"error":{"code":403,"message":"The caller does not have permission","status":"PERMISSION_DENIED"}}"#,
    headers: |_, _, _| {},
    refuse_token,
    grant,
};

/// An error without details.
pub(crate) fn status(code: u16, name: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message, "status": name}})
}

pub(crate) fn may_read(kind: &str, caller: &Caller) -> bool {
    let wanted = match kind {
        SLEEP => NIGHTS,
        WEIGHT => METRICS,
        _ => FITNESS,
    };
    caller.scopes.iter().any(|scope| scope == wanted)
}

pub(crate) fn missing_scope() -> Said {
    let mut body =
        status(403, "PERMISSION_DENIED", "Request had insufficient authentication scopes.");
    body["error"]["details"] = json!([info("ACCESS_TOKEN_SCOPE_INSUFFICIENT")]);
    Said::with(403, "missing_scope", body)
}

pub(crate) fn bad_request(message: &str) -> Said {
    Said::with(400, "bad_request", status(400, "INVALID_ARGUMENT", message))
}

pub(crate) fn bad_filter(member: &str) -> Said {
    let reason = "INVALID_DATA_POINT_FILTER_DATA_TYPE_MEMBER";
    let message = format!("Invalid data point filter: {reason}.");
    let mut body = status(400, "INVALID_ARGUMENT", &message);
    let mut info = info("INVALID_DATA_POINT_FILTER");
    info["metadata"] = json!({"detailedReasons": reason});
    let description =
        format!("Member '{member}' is not supported for filtering. (at line 1, column 1)");
    body["error"]["details"] = json!([info, {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": "filter", "description": description}],
    }]);
    Said::with(400, "bad_filter", body)
}

fn info(reason: &str) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "health.googleapis.com",
    })
}

fn error(code: u16) -> String {
    let body = match code {
        400 => status(400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
        401 => status(
            401,
            "UNAUTHENTICATED",
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login \
             cookie or other valid authentication credential.",
        ),
        403 => status(403, "PERMISSION_DENIED", "The caller does not have permission"),
        404 => {
            let mut body = status(404, "NOT_FOUND", "The requested resource was not found.");
            body["error"]["details"] = json!([info("RESOURCE_NOT_FOUND")]);
            body
        }
        429 => status(429, "RESOURCE_EXHAUSTED", "Quota exceeded."),
        500 => status(500, "INTERNAL", "Internal error encountered."),
        503 => status(503, "UNAVAILABLE", "The service is currently unavailable."),
        _ => status(code, "UNKNOWN", "Error."),
    };
    body.to_string()
}

fn refuse_token(wrong: TokenFault) -> Said {
    let (code, error, word) = match wrong {
        TokenFault::ClientId | TokenFault::ClientSecret => (401, "invalid_client", "bad_client"),
        TokenFault::GrantType => (400, "unsupported_grant_type", "bad_grant_type"),
        TokenFault::Redirect => (400, "redirect_uri_mismatch", "bad_redirect"),
        TokenFault::Code | TokenFault::Verifier => (400, "invalid_grant", "bad_code"),
        TokenFault::Refresh => (400, "invalid_grant", "dead_refresh"),
    };
    Said::with(code, word, json!({"error": error, "error_description": "Bad Request"}))
}

fn grant(issued: &Issued, _: i64, is_first: bool) -> Value {
    let mut body = json!({
        "access_token": issued.access_token,
        "expires_in": issued.expires_in_s,
        "scope": issued.caller.scopes.join(" "),
        "token_type": "Bearer",
    });
    if is_first || issued.refresh_token.is_some() {
        body["refresh_token"] = json!(issued.refresh_token);
        body["refresh_token_expires_in"] = REFRESH_LIFE_S.into();
    }
    body
}
