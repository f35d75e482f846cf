//! What a refusal means: its status, and words from bodies of five shapes.
//!
//! Strava's faults name resource, field and code; Google's errors status and
//! reason; Oura writes a `detail`; Fitbit lists types; token endpoints answer
//! as RFC 6749 has it. No sentence is passed on, and a word only if it is one.

use std::time::Duration;

use serde_json::Value;

use crate::provider::call::About;
use crate::provider::error::{Cause, CauseKind, ProviderError};
use crate::transport::safe_word;

/// Sorts an answer that is no success.
pub(super) fn classify(
    about: About,
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
) -> ProviderError {
    let unavailable = |kind| ProviderError::Unavailable(Cause { kind, retry_after });
    let body: Option<Value> = serde_json::from_slice(body).ok().filter(Value::is_object);
    let fault = Fault(body.as_ref().unwrap_or(&Value::Null));
    match status {
        410 => ProviderError::Gone,
        429 => ProviderError::RateLimited { retry_after },
        403 if fault.is_inactive() => ProviderError::Inactive,
        400 | 401 if about == About::Token => {
            if fault.is_dead_grant() || (status == 401 && !fault.is_about_client()) {
                ProviderError::DeadRefresh
            } else {
                ProviderError::Refused { status, said: fault.word() }
            }
        }
        401 if about == About::Data => ProviderError::Unauthorized,
        // Who stands between says it too: an item is missing only if the
        // service itself says so.
        404 if body.is_none() => unavailable(CauseKind::Status(status)),
        408 => unavailable(CauseKind::Status(status)),
        400..500 => ProviderError::Refused { status, said: fault.word() },
        _ => unavailable(CauseKind::Status(status)),
    }
}

/// A body that is an object, or null.
struct Fault<'a>(&'a Value);

impl Fault<'_> {
    fn errors(&self) -> &[Value] {
        self.0["errors"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// Resource, field and code of Strava's faults.
    fn triples(&self) -> impl Iterator<Item = [&str; 3]> {
        let named = |error: &&Value| error["resource"].is_string();
        self.errors().iter().filter(named).map(|error| {
            ["resource", "field", "code"].map(|name| error[name].as_str().unwrap_or_default())
        })
    }

    /// Fitbit's words.
    fn types(&self) -> impl Iterator<Item = &str> {
        self.errors().iter().filter_map(|error| error["errorType"].as_str())
    }

    fn is_inactive(&self) -> bool {
        self.triples().any(|[resource, field, code]| {
            resource.eq_ignore_ascii_case("application")
                && field.eq_ignore_ascii_case("status")
                && code.eq_ignore_ascii_case("inactive")
        })
    }

    /// Whether the refresh token or the code is what is wrong.
    fn is_dead_grant(&self) -> bool {
        let named =
            |word: &str| matches!(word, "invalid_grant" | "invalid_token" | "expired_token");
        self.0["error"].as_str().is_some_and(named)
            || self.0["title"].as_str().is_some_and(named)
            || self.types().any(named)
            || self.triples().any(|[resource, field, _]| {
                matches!(resource, "RefreshToken" | "AuthorizationCode")
                    || matches!(field, "refresh_token" | "code")
            })
    }

    /// Whether the application itself is what is wrong: then no user need
    /// connect anew.
    fn is_about_client(&self) -> bool {
        let named = |word: &str| matches!(word, "invalid_client" | "unauthorized_client");
        self.0["error"].as_str().is_some_and(named)
            || self.types().any(named)
            || self.triples().any(|[resource, ..]| resource == "Application")
    }

    /// The reason as a word.
    fn word(&self) -> Option<String> {
        let joined = |texts: [&str; 3]| texts.join(".").replace([' ', ':'], "_");
        if let Some(texts) = self.triples().next() {
            return safe_word(&joined(texts));
        }
        let error = &self.0["error"];
        let details = error["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        let word = self
            .types()
            .next()
            .or_else(|| error.as_str())
            .or_else(|| details.iter().find_map(|detail| detail["reason"].as_str()))
            .or_else(|| error["status"].as_str())
            .or_else(|| self.0["detail"].as_str())
            .or_else(|| self.0["detail"][0]["type"].as_str())
            .or_else(|| self.0["title"].as_str())?;
        safe_word(word)
    }
}
