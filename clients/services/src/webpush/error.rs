//! What a push service's refusals mean, and what to do about each.
//!
//! Owns the table from answer to [`WebPushError`] and from there to
//! [`Action`]. Push services share status codes but not bodies: those of
//! Mozilla (`errno`), Apple (`reason`) and Google (a sentence) are searched
//! for the one fact that the status does not tell, and not passed on. Of a
//! status alone, only 410 says that a subscription is over: 401, 403, 404 and
//! redirects also come from a service, or something in front of it, that has
//! troubles of its own.

use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;
use url::Url;

use crate::limits::QUOTA_FLOOR;
use crate::outcome::{Action, Kind, Refusal};
use crate::reason::Reasons;
use crate::transport::{TransportError, safe_word};
use crate::webpush::address::{self, EndpointError};
use crate::webpush::seal::SealError;
use crate::webpush::vapid::VapidError;

/// Google's sentence for a subscription made with another VAPID key.
const OTHER_CREDENTIALS: &str = "do not correspond to the credentials used to create";

/// Google's sentence for a subscription that is over.
const UNSUBSCRIBED: &str = "unsubscribed or expired";

/// Mozilla's numbers for a subscription that is over: bad token, expired
/// endpoint, went away, no subscription.
const GONE_ERRNOS: [u64; 4] = [102, 103, 105, 106];

/// Why a push service did not take a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebPushError {
    /// The service answered so.
    #[error(transparent)]
    Refused(#[from] Refusal<WebPushRefusal>),
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

/// What a push service's refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebPushRefusal {
    /// Expired, unsubscribed, or never there: 410, or 404 that says so.
    Gone,
    /// The subscription was made with another VAPID key.
    KeyMismatch,
    /// 401 or 403, or Apple's 400 about the token: it is not accepted.
    Unauthorized,
    /// 404 without a word about the subscription.
    NotFound,
    /// 400: a header or the encryption is wrong.
    InvalidMessage,
    /// 413.
    TooLarge,
    /// 429, and 406 of Microsoft's service.
    Throttled,
    /// 408 or 5xx.
    Unavailable,
    /// Any other status, redirects among them.
    Other,
}

impl fmt::Display for WebPushRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "the subscription is gone",
            Self::KeyMismatch => "the subscription belongs to another VAPID key",
            Self::Unauthorized => "the VAPID token is not accepted",
            Self::NotFound => "the endpoint is not known",
            Self::InvalidMessage => "the message is invalid",
            Self::TooLarge => "the message is too large",
            Self::Throttled => "the service limits the rate",
            Self::Unavailable => "the service is not available",
            Self::Other => "refused",
        })
    }
}

impl Kind for WebPushRefusal {
    /// An [`Action::TokenRefused`] is a matter between the subscription and
    /// its service: a device may have named any server.
    fn action(&self) -> Action {
        match self {
            Self::Gone => Action::TokenDead,
            Self::KeyMismatch => Action::TokenForeign,
            Self::Unauthorized | Self::NotFound | Self::Other => Action::TokenRefused,
            Self::InvalidMessage | Self::TooLarge => Action::MessageInvalid,
            Self::Throttled => Action::RetryAfter { floor: QUOTA_FLOOR },
            Self::Unavailable => Action::RetryAfter { floor: Duration::ZERO },
        }
    }
}

impl WebPushError {
    /// Sorts a failure to get an answer.
    pub(crate) fn of_transport(error: &reqwest::Error) -> Self {
        match address::blocked(error) {
            Some(verdict) => Self::Endpoint(verdict),
            None => Self::Transport(TransportError::of(error)),
        }
    }

    /// Whether the service finds this message too large, and would take a
    /// smaller one now.
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::Refused(Refusal { kind: WebPushRefusal::TooLarge, retry_after: None, .. })
        )
    }

    /// What to do about it.
    pub fn action(&self) -> Action {
        match self {
            Self::Refused(refusal) => refusal.action(),
            // Such an endpoint can never be contacted.
            Self::Endpoint(
                EndpointError::NotHttps | EndpointError::NotPublic | EndpointError::Reserved,
            ) => Action::TokenDead,
            Self::Vapid(_) => Action::OperatorAlert,
            Self::Seal(_) => Action::MessageInvalid,
            // Names come and go; a resolver that fails for an hour must not
            // cost every subscription.
            Self::Endpoint(EndpointError::ResolvesToPrivate | EndpointError::Unresolved)
            | Self::Transport(_) => Action::RetryAfter { floor: Duration::ZERO },
        }
    }
}

/// An answer other than 2xx.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: &'a [u8],
}

/// Sorts an answer to a request to `endpoint`, no part of which is shown.
pub fn classify(answer: Answer<'_>, endpoint: &Url) -> Refusal<WebPushRefusal> {
    let Answer { status, retry_after, headers, body } = answer;
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let reason = json["reason"].as_str().and_then(safe_word);
    let secret = &endpoint[url::Position::BeforePath..];
    let mut said = Reasons::new(secret).headers(headers);
    if let Some(reason) = &reason {
        said = said.add(reason);
    }
    if let Some(errno) = json["errno"].as_u64() {
        said = said.add(&format!("errno {errno}"));
    }
    let has_text = |sentence| String::from_utf8_lossy(body).contains(sentence);
    let is_mismatch =
        reason.as_deref() == Some("VapidPkHashMismatch") || has_text(OTHER_CREDENTIALS);
    let says_gone = has_text(UNSUBSCRIBED)
        || json["errno"].as_u64().is_some_and(|errno| GONE_ERRNOS.contains(&errno));
    let kind = match status {
        410 => WebPushRefusal::Gone,
        404 if says_gone => WebPushRefusal::Gone,
        404 => WebPushRefusal::NotFound,
        400 | 401 | 403 if is_mismatch => WebPushRefusal::KeyMismatch,
        401 | 403 => WebPushRefusal::Unauthorized,
        // Apple complains about the token with 400 as well.
        400 if reason.is_some_and(|word| word.contains("Jwt")) => WebPushRefusal::Unauthorized,
        400 => WebPushRefusal::InvalidMessage,
        413 => WebPushRefusal::TooLarge,
        406 | 429 => WebPushRefusal::Throttled,
        408 | 500.. => WebPushRefusal::Unavailable,
        _ => WebPushRefusal::Other,
    };
    Refusal { kind, status, retry_after, said: said.text() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(seconds: u64) -> Action {
        Action::RetryAfter { floor: Duration::from_secs(seconds) }
    }

    fn answer(status: u16, wait: Option<Duration>, body: &str) -> Refusal<WebPushRefusal> {
        let (headers, endpoint) = (HeaderMap::new(), "https://push.example/x".parse().unwrap());
        let body = body.as_bytes();
        classify(Answer { status, retry_after: wait, headers: &headers, body }, &endpoint)
    }

    #[test]
    fn every_status_has_its_action() {
        for (status, body, expected) in [
            (400, r#"{"code":400,"errno":110}"#, Action::MessageInvalid),
            (400, r#"{"reason":"BadWebPushTopic"}"#, Action::MessageInvalid),
            (400, r#"{"reason":"BadJwtToken"}"#, Action::TokenRefused),
            (400, r#"{"reason":"VapidPkHashMismatch"}"#, Action::TokenForeign),
            (401, r#"{"code":401,"errno":109}"#, Action::TokenRefused),
            (403, r#"{"reason":"VapidPkHashMismatch"}"#, Action::TokenForeign),
            (
                403,
                "the VAPID credentials in the authorization header do not correspond to the \
                 credentials used to create the subscriptions",
                Action::TokenForeign,
            ),
            (403, "", Action::TokenRefused),
            (404, "", Action::TokenRefused),
            (404, "<html>", Action::TokenRefused),
            (404, r#"{"code":404,"errno":102}"#, Action::TokenDead),
            (404, "push subscription has unsubscribed or expired.", Action::TokenDead),
            (410, "", Action::TokenDead),
            (410, r#"{"code":410,"errno":106}"#, Action::TokenDead),
            (413, r#"{"errno":104}"#, Action::MessageInvalid),
            (406, "", retry(60)),
            (429, "", retry(60)),
            (408, "", retry(0)),
            (500, "", retry(0)),
            (502, "<html>", retry(0)),
            (302, "", Action::TokenRefused),
            (307, "", Action::TokenRefused),
        ] {
            assert_eq!(answer(status, None, body).action(), expected, "{status} {body}");
        }
    }

    #[test]
    fn any_answer_that_asks_to_wait_is_waited_for() {
        let wait = Some(Duration::from_mins(2));
        for status in (300..600).filter(|status| *status != 304) {
            assert_eq!(answer(status, wait, "").action(), retry(120), "{status}");
        }
    }

    #[test]
    fn endpoints_that_can_never_be_contacted_are_dead_others_wait() {
        for (error, expected) in [
            (EndpointError::NotHttps, Action::TokenDead),
            (EndpointError::NotPublic, Action::TokenDead),
            (EndpointError::Reserved, Action::TokenDead),
            (EndpointError::ResolvesToPrivate, retry(0)),
            (EndpointError::Unresolved, retry(0)),
        ] {
            assert_eq!(WebPushError::Endpoint(error).action(), expected);
        }
    }

    #[test]
    fn words_of_the_service_are_kept_only_if_they_are_words() {
        let text = |body: &str| answer(401, None, body).to_string();
        assert!(text(r#"{"errno":109,"message":"secret"}"#).ends_with("(HTTP 401): errno 109"));
        assert!(text(r#"{"reason":"Bad token eyJh.x.y!"}"#).ends_with("(HTTP 401)"));
    }
}
