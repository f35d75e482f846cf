//! How Strava writes faults, rate headers and tokens.

use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::provider::Dialect;
use crate::provider::accounts::{Issued, Rotation, Rules};
use crate::provider::oauth::TokenFault;
use crate::provider::pipe::Said;
use crate::provider::strava::sample;
use crate::provider::window::{Rule, Window};

const QUARTER_MS: i64 = 15 * 60 * 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub(crate) const DIALECT: Dialect = Dialect {
    prefix: "strava",
    base: "/api/v3",
    authorize: "/oauth/authorize",
    token: &["/oauth/token", "/api/v3/oauth/token"],
    revoke: "/oauth/revoke",
    rules: Rules { life_s: 21_600, keeps_above_s: Some(3600), ends_old: true },
    rotation: Rotation::SingleUse,
    scopes: &["read", "activity:read_all"],
    joins_scopes: Some(","),
    has_basic: false,
    wants_challenge: false,
    checks_redirect: false,
    windows: &[
        window("read_15m", QUARTER_MS, 100, true),
        window("read_day", DAY_MS, 1000, true),
        window("all_15m", QUARTER_MS, 200, false),
        window("all_day", DAY_MS, 2000, false),
    ],
    error,
    inactive: r#"{"message":"Forbidden","errors":[{"resource":"Application","field":"Status","code":"Inactive"}]}"#,
    headers,
    refuse_token,
    grant,
};

const fn window(name: &'static str, length_ms: i64, limit: u64, is_for_reads: bool) -> Rule {
    Rule { name, length_ms, limit, is_per_user: false, is_for_reads }
}

pub(crate) fn fault(message: &str, resource: &str, field: &str, code: &str) -> String {
    json!({
        "message": message,
        "errors": [{"resource": resource, "field": field, "code": code}],
    })
    .to_string()
}

pub(crate) fn missing_scope() -> Said {
    let body = fault("Authorization Error", "AccessToken", "activity:read_permission", "missing");
    Said::with(401, "missing_scope", body)
}

fn error(status: u16) -> String {
    match status {
        400 => fault("Bad Request", "Application", "redirect_uri", "invalid"),
        401 => fault("Authorization Error", "Athlete", "access_token", "invalid"),
        404 => fault("Resource Not Found", "Activity", "id", "invalid"),
        429 => fault("Rate Limit Exceeded", "Application", "rate limit", "exceeded"),
        _ => json!({"message": "error", "errors": []}).to_string(),
    }
}

fn headers(windows: &[Window], _: bool, headers: &mut HeaderMap) {
    let [read_quarter, read_day, quarter, day] = windows else { return };
    for (limit, usage, first, second) in [
        ("x-ratelimit-limit", "x-ratelimit-usage", quarter, day),
        ("x-readratelimit-limit", "x-readratelimit-usage", read_quarter, read_day),
    ] {
        let pair = |first: u64, second: u64| HeaderValue::try_from(format!("{first},{second}"));
        let (Ok(limits), Ok(used)) =
            (pair(first.limit, second.limit), pair(first.used, second.used))
        else {
            return;
        };
        headers.insert(limit, limits);
        headers.insert(usage, used);
    }
}

fn refuse_token(wrong: TokenFault) -> Said {
    let (resource, field, word) = match wrong {
        TokenFault::ClientId => ("Application", "client_id", "bad_client"),
        TokenFault::ClientSecret => ("Application", "client_secret", "bad_client"),
        TokenFault::GrantType => ("Application", "grant_type", "bad_grant_type"),
        TokenFault::Code | TokenFault::Redirect | TokenFault::Verifier => {
            ("AuthorizationCode", "code", "bad_code")
        }
        TokenFault::Refresh => ("RefreshToken", "refresh_token", "dead_refresh"),
    };
    Said::with(400, word, fault("Bad Request", resource, field, "invalid"))
}

fn grant(issued: &Issued, now_s: i64, is_first: bool) -> Value {
    let mut body = json!({
        "token_type": "Bearer",
        "expires_at": now_s + issued.expires_in_s,
        "expires_in": issued.expires_in_s,
        "refresh_token": issued.refresh_token,
        "access_token": issued.access_token,
    });
    if is_first {
        let athlete = sample::athlete(&issued.caller.user, 2);
        body["athlete"] = serde_json::from_str(&athlete).unwrap_or_default();
    }
    body
}
