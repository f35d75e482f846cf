//! What to do after a push failed. One vocabulary for all push services, so
//! that the caller's state machine does not care which one it spoke to.
//!
//! Owns the rule that holds for every refusal, whatever its kind: an answer
//! that asks to wait is obeyed before it is interpreted.

use std::fmt;
use std::time::Duration;

/// What the caller does about a failed push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The token or subscription is dead: forget it, keep the device.
    TokenDead,
    /// The token or subscription belongs to other credentials: forget it, and
    /// say so loudly, for usually the configuration is wrong.
    TokenForeign,
    /// This token was refused, and the answer does not tell whose fault it is.
    /// It alone is held back, and forgotten if that goes on; only where
    /// several tokens meet the same is the service at fault.
    TokenRefused,
    /// As [`Action::TokenRefused`], of the credentials that the project holds
    /// for the token's platform: other platforms are not concerned.
    PlatformRefused,
    /// The credentials or the project are at fault, whatever the token: call
    /// an operator and stop sending for a while. The token stays.
    OperatorAlert,
    /// Try again by the caller's schedule, but not before `floor`.
    RetryAfter {
        /// Shortest wait; zero when the service named none.
        floor: Duration,
    },
    /// This message will never be taken: drop it. The token stays.
    MessageInvalid,
}

/// A push service's answer that did not take the message, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal<K> {
    /// What it means.
    pub kind: K,
    /// The HTTP status.
    pub status: u16,
    /// How long the service asks to wait, when it asks.
    pub retry_after: Option<Duration>,
    /// The service's own words for it: at most [`REASON_BYTES`](crate::limits::REASON_BYTES), and nothing
    /// that could be a token.
    pub said: Option<String>,
}

/// What a service's kinds of refusal lead to.
pub trait Kind: fmt::Display {
    /// What to do about it where the service does not ask to wait.
    fn action(&self) -> Action;
}

impl<K: Kind> Refusal<K> {
    /// What to do about it. Who is asked to come back later comes back later,
    /// with the same token: no other meaning of the answer counts.
    pub fn action(&self) -> Action {
        match self.retry_after {
            Some(floor) => Action::RetryAfter { floor },
            None => self.kind.action(),
        }
    }
}

impl<K: Kind> fmt::Display for Refusal<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (HTTP {})", self.kind, self.status)?;
        if let Some(said) = &self.said {
            write!(f, ": {said}")?;
        }
        match self.retry_after {
            Some(wait) => write!(f, "; it asks to wait {} s", wait.as_secs()),
            None => Ok(()),
        }
    }
}

impl<K: Kind + fmt::Debug> std::error::Error for Refusal<K> {}
