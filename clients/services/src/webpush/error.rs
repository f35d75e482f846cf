//! What a push service's refusals mean, and what to do about each.
//!
//! Owns the table from answer to [`WebPushError`] and from there to
//! [`Action`]. Push services share status codes but not bodies: those of
//! Mozilla (`errno`), Apple (`reason`) and Google (a sentence) are searched
//! for the one fact that the status does not tell, and not passed on.

use std::time::Duration;

use serde_json::Value;

use crate::limits::QUOTA_FLOOR;
use crate::outcome::Action;
use crate::transport::{TransportError, safe_word};
use crate::webpush::address::{self, EndpointError};
use crate::webpush::seal::SealError;
use crate::webpush::vapid::VapidError;

/// Google's sentence for a subscription made with another VAPID key.
const OTHER_CREDENTIALS: &str = "do not correspond to the credentials used to create";

/// Why a push service did not take a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebPushError {
    /// 404 or 410: expired, unsubscribed, or never there.
    #[error("the subscription is gone")]
    Gone,
    /// The subscription was made with another VAPID key.
    #[error("the subscription belongs to another VAPID key")]
    KeyMismatch,
    /// 401 or 403: the VAPID token is not accepted.
    #[error("the VAPID token is not accepted (HTTP {status}){}", reason_text(.reason.as_deref()))]
    Unauthorized {
        /// The HTTP status.
        status: u16,
        /// The service's word for it, such as Apple's `BadJwtToken`.
        reason: Option<String>,
    },
    /// 400: a header or the encryption is wrong.
    #[error("the message is invalid{}", reason_text(.reason.as_deref()))]
    InvalidMessage {
        /// The service's word for it.
        reason: Option<String>,
    },
    /// 413.
    #[error("the message is too large")]
    TooLarge,
    /// 429.
    #[error("the service limits the rate")]
    RateLimited {
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// 408 or 5xx.
    #[error("the service is not available (HTTP {status})")]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// Any other status, redirects among them.
    #[error("refused with HTTP {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The endpoint may not be contacted.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// No answer; the message may have been taken.
    #[error("no answer: {0}")]
    Transport(#[from] TransportError),
    /// The VAPID token could not be made.
    #[error(transparent)]
    Vapid(#[from] VapidError),
    /// The message could not be encrypted.
    #[error(transparent)]
    Seal(#[from] SealError),
}

fn reason_text(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

impl WebPushError {
    /// Sorts a failure to get an answer.
    pub(crate) fn of_transport(error: &reqwest::Error) -> Self {
        match address::blocked(error) {
            Some(verdict) => Self::Endpoint(verdict),
            None => Self::Transport(TransportError::of(error)),
        }
    }

    /// What to do about it. An [`Action::OperatorAlert`] concerns the
    /// endpoint's origin only: a device may have named any server.
    pub fn action(&self) -> Action {
        let retry = |wait: Option<Duration>, least: Duration| Action::RetryAfter {
            floor: wait.unwrap_or(least),
        };
        match self {
            // Such an endpoint can never be contacted.
            Self::Gone | Self::Endpoint(EndpointError::NotHttps | EndpointError::NotPublic) => {
                Action::TokenDead
            }
            Self::KeyMismatch => Action::TokenForeign,
            Self::Unauthorized { .. } | Self::Refused { .. } | Self::Vapid(_) => {
                Action::OperatorAlert
            }
            Self::InvalidMessage { .. } | Self::TooLarge | Self::Seal(_) => Action::MessageInvalid,
            Self::RateLimited { retry_after } => retry(*retry_after, QUOTA_FLOOR),
            Self::Unavailable { retry_after, .. } => retry(*retry_after, Duration::ZERO),
            // Names come and go; a resolver that fails for an hour must not
            // cost every subscription.
            Self::Endpoint(EndpointError::ResolvesToPrivate | EndpointError::Unresolved)
            | Self::Transport(_) => retry(None, Duration::ZERO),
        }
    }
}

/// Sorts an answer other than 2xx.
pub fn classify(status: u16, retry_after: Option<Duration>, body: &[u8]) -> WebPushError {
    match status {
        404 | 410 => WebPushError::Gone,
        400 | 401 | 403 if is_key_mismatch(body) => WebPushError::KeyMismatch,
        // Apple complains about the token with 400 as well.
        400 => match reason(body) {
            Some(word) if word.contains("Jwt") => {
                WebPushError::Unauthorized { status, reason: Some(word) }
            }
            reason => WebPushError::InvalidMessage { reason },
        },
        401 | 403 => WebPushError::Unauthorized { status, reason: reason(body) },
        413 => WebPushError::TooLarge,
        429 => WebPushError::RateLimited { retry_after },
        408 | 500.. => WebPushError::Unavailable { status, retry_after },
        _ => WebPushError::Refused { status },
    }
}

fn is_key_mismatch(body: &[u8]) -> bool {
    reason(body).as_deref() == Some("VapidPkHashMismatch")
        || String::from_utf8_lossy(body).contains(OTHER_CREDENTIALS)
}

/// Apple's `reason` or Mozilla's `errno`, when it is a word or a number.
fn reason(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    match (body.get("reason"), body.get("errno")) {
        (Some(Value::String(reason)), _) => safe_word(reason),
        (_, Some(Value::Number(errno))) => safe_word(&format!("errno_{errno}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(seconds: u64) -> Action {
        Action::RetryAfter { floor: Duration::from_secs(seconds) }
    }

    #[test]
    fn every_status_has_its_action() {
        let wait = Some(Duration::from_mins(2));
        for (status, retry_after, body, expected) in [
            (400, None, r#"{"code":400,"errno":110}"#, Action::MessageInvalid),
            (400, None, r#"{"reason":"BadWebPushTopic"}"#, Action::MessageInvalid),
            (400, None, r#"{"reason":"BadJwtToken"}"#, Action::OperatorAlert),
            (400, None, r#"{"reason":"VapidPkHashMismatch"}"#, Action::TokenForeign),
            (401, None, r#"{"code":401,"errno":109}"#, Action::OperatorAlert),
            (403, None, r#"{"reason":"VapidPkHashMismatch"}"#, Action::TokenForeign),
            (
                403,
                None,
                "the VAPID credentials in the authorization header do not correspond to the \
                 credentials used to create the subscriptions",
                Action::TokenForeign,
            ),
            (403, None, "", Action::OperatorAlert),
            (404, None, "", Action::TokenDead),
            (410, None, r#"{"code":410,"errno":106}"#, Action::TokenDead),
            (413, None, r#"{"errno":104}"#, Action::MessageInvalid),
            (429, None, "", retry(60)),
            (429, wait, "", retry(120)),
            (500, None, "", retry(0)),
            (502, None, "<html>", retry(0)),
            (503, wait, "", retry(120)),
            (302, None, "", Action::OperatorAlert),
        ] {
            let error = classify(status, retry_after, body.as_bytes());
            assert_eq!(error.action(), expected, "{status} {body}");
        }
    }

    #[test]
    fn endpoints_that_can_never_be_contacted_are_dead_others_wait() {
        for (error, expected) in [
            (EndpointError::NotHttps, Action::TokenDead),
            (EndpointError::NotPublic, Action::TokenDead),
            (EndpointError::ResolvesToPrivate, retry(0)),
            (EndpointError::Unresolved, retry(0)),
        ] {
            assert_eq!(WebPushError::Endpoint(error).action(), expected);
        }
    }

    #[test]
    fn words_of_the_service_are_kept_only_if_they_are_words() {
        let text = |body: &str| classify(401, None, body.as_bytes()).to_string();
        assert!(text(r#"{"errno":109,"message":"secret"}"#).ends_with(": errno_109"));
        assert!(text(r#"{"reason":"Bad token eyJh.x.y!"}"#).ends_with("(HTTP 401)"));
    }
}
