//! What the marketplace's refusals mean, and when to ask again.
//!
//! Owns the table from answer to [`ErrorKind`] and [`Retry`]. Nothing the
//! service wrote is passed on, and no address: errors are safe to show.
//!
//! Statuses and waits are those of the `Atom SaaS` marketplace requirements
//! v1.0.0.

use std::time::Duration;

use serde::Deserialize;

use crate::limits::{QUOTA_FLOOR, RETRY_AFTER_MAX};
use crate::transport::{BodyError, TransportError};

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// No answer, or not all of it. Whether the request was carried out is
    /// unknown.
    #[error("no answer: {0}")]
    Transport(#[from] TransportError),
    /// 401: the token is not accepted.
    #[error("the token is not accepted")]
    Unauthorized,
    /// 403: the token may not do this.
    #[error("the token does not allow this")]
    Forbidden,
    /// 404.
    #[error("not found")]
    NotFound,
    /// 409: for a rating, there is one by this user already.
    #[error("it exists already")]
    Conflict,
    /// 400, 413 or 422, or a request that was not even sent because it breaks
    /// the marketplace's rules; then there is no status.
    #[error("the request is not acceptable")]
    BadRequest,
    /// 429.
    #[error("too many requests")]
    RateLimited,
    /// 5xx or 408, or a health report that says so.
    #[error("the service is not available")]
    Unavailable,
    /// Success by its status, failure by its body (`"success": false`).
    #[error("the service reports a failure")]
    Failed,
    /// A status that is not in the table; a wrong address, most likely.
    #[error("an unexpected answer")]
    Unexpected,
    /// The body is not what the status promises: a page of a proxy, half a
    /// text, no list.
    #[error("the answer cannot be read")]
    Unreadable,
    /// The body has more bytes than a true answer.
    #[error("the answer is too large")]
    TooLarge,
    /// The server answers, but does not open a WebSocket.
    #[error("the server does not open a WebSocket")]
    Handshake,
    /// No address of a socket is configured.
    #[error("no address is configured")]
    NotConfigured,
}

impl ErrorKind {
    /// A stable word for metrics and stored errors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transport(TransportError::TimedOut) => "timed_out",
            Self::Transport(TransportError::Connect) => "connect",
            Self::Transport(TransportError::Broken) => "broken",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::BadRequest => "bad_request",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
            Self::Unexpected => "unexpected",
            Self::Unreadable => "unreadable",
            Self::TooLarge => "too_large",
            Self::Handshake => "handshake",
            Self::NotConfigured => "not_configured",
        }
    }

    const fn of_status(status: u16) -> Self {
        match status {
            400 | 413 | 422 => Self::BadRequest,
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            408 | 500..=599 => Self::Unavailable,
            409 => Self::Conflict,
            429 => Self::RateLimited,
            _ => Self::Unexpected,
        }
    }

    const fn retry(self) -> Retry {
        match self {
            Self::Transport(_) | Self::Unavailable | Self::Failed | Self::Unreadable => {
                Retry::Backoff
            }
            Self::RateLimited => Retry::After(QUOTA_FLOOR),
            Self::Unauthorized
            | Self::Forbidden
            | Self::NotFound
            | Self::Conflict
            | Self::BadRequest
            | Self::Unexpected
            | Self::TooLarge
            | Self::Handshake
            | Self::NotConfigured => Retry::Never,
        }
    }
}

/// When the same request may do better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// By the caller's schedule.
    Backoff,
    /// By the caller's schedule, but not before this; at most
    /// [`RETRY_AFTER_MAX`].
    After(Duration),
    /// Not before a person, or time, has changed something: the next planned
    /// run may ask again, a retry within this one need not.
    Never,
}

/// Why a request to the marketplace gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}{}", status_text(*.status))]
pub struct AtomError {
    /// The HTTP status, when there was one.
    pub status: Option<u16>,
    /// What went wrong.
    pub kind: ErrorKind,
    /// When to ask again.
    pub retry: Retry,
}

impl AtomError {
    /// A stable word for metrics and stored errors.
    pub const fn as_str(&self) -> &'static str {
        self.kind.as_str()
    }

    /// A failure without an HTTP status.
    pub(crate) const fn local(kind: ErrorKind) -> Self {
        Self { status: None, kind, retry: kind.retry() }
    }

    /// An answer whose status is not the fault.
    pub(crate) const fn answered(status: u16, kind: ErrorKind) -> Self {
        Self { status: Some(status), kind, retry: kind.retry() }
    }

    /// A body that was not read to its end.
    pub(crate) const fn of_body(status: u16, error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::answered(status, ErrorKind::TooLarge),
            BodyError::Transport(error) => Self::answered(status, ErrorKind::Transport(error)),
        }
    }
}

impl From<TransportError> for AtomError {
    fn from(error: TransportError) -> Self {
        Self::local(ErrorKind::Transport(error))
    }
}

/// Why there is no socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no socket: {kind}{}", status_text(*.status))]
pub struct SocketError {
    /// The HTTP status of the refusal, when there was one.
    pub status: Option<u16>,
    /// What went wrong.
    pub kind: ErrorKind,
    /// When to try again.
    pub retry: Retry,
}

impl SocketError {
    /// A stable word for metrics and stored errors.
    pub const fn as_str(&self) -> &'static str {
        self.kind.as_str()
    }
}

impl From<AtomError> for SocketError {
    fn from(error: AtomError) -> Self {
        let AtomError { status, kind, retry } = error;
        Self { status, kind, retry }
    }
}

fn status_text(status: Option<u16>) -> String {
    status.map_or_else(String::new, |status| format!(" (HTTP {status})"))
}

/// Sorts a refusal. Only 429 says something in its body: `retry_after`, in
/// seconds, which counts when the header is missing.
pub(crate) fn classify(status: u16, retry_after: Option<Duration>, body: &[u8]) -> AtomError {
    let kind = ErrorKind::of_status(status);
    let asked = match kind {
        ErrorKind::RateLimited => retry_after.or_else(|| asked_in_body(body)),
        ErrorKind::Unavailable => retry_after,
        _ => None,
    };
    AtomError { status: Some(status), kind, retry: asked.map_or(kind.retry(), Retry::After) }
}

fn asked_in_body(body: &[u8]) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Answer {
        retry_after: f64,
    }

    let answer: Answer = serde_json::from_slice(body).ok()?;
    let wait = Duration::try_from_secs_f64(answer.retry_after).ok()?;
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn after(seconds: u64) -> Retry {
        Retry::After(Duration::from_secs(seconds))
    }

    #[test]
    fn every_status_has_its_kind_and_its_wait() {
        let wait = Some(Duration::from_secs(7));
        for (status, retry_after, word, retry) in [
            (400, None, "bad_request", Retry::Never),
            (401, wait, "unauthorized", Retry::Never),
            (403, None, "forbidden", Retry::Never),
            (404, None, "not_found", Retry::Never),
            (408, None, "unavailable", Retry::Backoff),
            (409, None, "conflict", Retry::Never),
            (413, None, "bad_request", Retry::Never),
            (422, None, "bad_request", Retry::Never),
            (429, None, "rate_limited", after(60)),
            (429, wait, "rate_limited", after(7)),
            (500, None, "unavailable", Retry::Backoff),
            (502, None, "unavailable", Retry::Backoff),
            (503, None, "unavailable", Retry::Backoff),
            (503, wait, "unavailable", after(7)),
            (302, None, "unexpected", Retry::Never),
            (418, wait, "unexpected", Retry::Never),
        ] {
            let error = classify(status, retry_after, b"<html>");
            assert_eq!((error.as_str(), error.retry), (word, retry), "{status}");
            assert_eq!(error.status, Some(status));
        }
    }

    #[test]
    fn the_wait_may_stand_in_the_body() {
        let retry = |header: Option<u64>, body: &str| {
            classify(429, header.map(Duration::from_secs), body.as_bytes()).retry
        };
        assert_eq!(retry(None, r#"{"error":"Rate limit exceeded","retry_after":30}"#), after(30));
        assert_eq!(retry(Some(5), r#"{"retry_after":30}"#), after(5), "the header comes first");
        assert_eq!(
            retry(None, r#"{"retry_after":1.5}"#),
            Retry::After(Duration::from_millis(1500))
        );
        assert_eq!(retry(None, r#"{"retry_after":1e300}"#), after(60), "no duration at all");
        assert_eq!(retry(None, r#"{"retry_after":99999999}"#), after(3600), "bounded");
        for body in ["", "{}", "[]", r#"{"retry_after":-1}"#, r#"{"retry_after":"x"}"#, "<html>"] {
            assert_eq!(retry(None, body), after(60), "{body}");
        }
        assert_eq!(classify(503, None, br#"{"retry_after":9}"#).retry, Retry::Backoff);
    }

    #[test]
    fn errors_say_what_an_operator_needs() {
        assert_eq!(
            classify(503, None, b"secret").to_string(),
            "the service is not available (HTTP 503)"
        );
        let silent = AtomError::from(TransportError::TimedOut);
        assert_eq!(silent.to_string(), "no answer: timed out");
        assert_eq!(
            SocketError::from(classify(401, None, b"")).to_string(),
            "no socket: the token is not accepted (HTTP 401)"
        );
    }
}
