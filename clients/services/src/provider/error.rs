//! Why a provider gave nothing, in terms of what is to be done about it.

use std::time::Duration;

use crate::transport::{BodyError, TransportError};

/// Why a request gave nothing. Holds no token, no code and no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// 401: the access token is not accepted, or not for this.
    #[error("the access token is not accepted")]
    Unauthorized,
    /// A refresh token or a code is refused for good: the user must connect
    /// anew.
    #[error("the grant is not valid any more")]
    DeadRefresh,
    /// 410: the API is switched off.
    #[error("the service is gone")]
    Gone,
    /// The application is not active: its owner has no subscription.
    #[error("the application is not active")]
    Inactive,
    /// 429.
    #[error("too many requests")]
    RateLimited {
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// Another refusal. What is not even sent, for it could not be answered,
    /// is refused with 400.
    #[error("refused with HTTP {status}, {}", .said.as_deref().unwrap_or("no known reason"))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The answer's word for the reason.
        said: Option<String>,
    },
    /// No answer, or none that makes sense. The same request may do better.
    #[error("not available: {0}")]
    Unavailable(Cause),
}

impl ProviderError {
    /// A stable word for metrics and stored errors.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::DeadRefresh => "dead_refresh",
            Self::Gone => "gone",
            Self::Inactive => "inactive",
            Self::RateLimited { .. } => "rate_limited",
            Self::Refused { .. } => "refused",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// How long the answer asks to wait, if it does.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => *retry_after,
            Self::Unavailable(cause) => cause.retry_after,
            _ => None,
        }
    }

    /// What is not sent, and why.
    pub(crate) fn unsent(why: &str) -> Self {
        Self::Refused { status: 400, said: Some(why.to_owned()) }
    }

    /// A success that cannot be read.
    pub(crate) const fn unreadable() -> Self {
        Self::Unavailable(Cause { kind: CauseKind::Unreadable, retry_after: None })
    }
}

/// Why a provider is not available, and for how long if it said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct Cause {
    /// What went wrong.
    pub kind: CauseKind,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CauseKind {
    /// A fault of the service, or a status that belongs to no answer of it.
    #[error("HTTP {0}")]
    Status(u16),
    /// No answer, or a part of one.
    #[error("no answer: {0}")]
    Transport(TransportError),
    /// An answer with more bytes than allowed.
    #[error("the answer is too large")]
    TooLarge,
    /// An answer of another shape than documented.
    #[error("the answer cannot be read")]
    Unreadable,
}

impl From<TransportError> for ProviderError {
    fn from(error: TransportError) -> Self {
        Self::Unavailable(Cause { kind: CauseKind::Transport(error), retry_after: None })
    }
}

impl From<BodyError> for ProviderError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Transport(error) => error.into(),
            BodyError::TooLarge => {
                Self::Unavailable(Cause { kind: CauseKind::TooLarge, retry_after: None })
            }
        }
    }
}
