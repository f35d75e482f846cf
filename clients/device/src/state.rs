//! What an app can show about the connection.

use std::fmt;

use tidegate_protocol::code::CloseReason;

/// Where the device stands. Observable through `Device::state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not running, or between attempts.
    Offline,
    /// Dialling, or waiting for `welcome`.
    Connecting,
    /// A socket is open and welcomed.
    Live,
    /// No socket can be had; long polling works.
    Polling,
    /// The gateway refused the token, or the provider has none.
    NeedsAuth,
    /// Ended for good: trying again without a change would end the same way.
    Stopped {
        /// Why.
        reason: StopReason,
    },
}

/// Why a device stopped by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// The gateway closed the socket with a code that is not retried.
    #[error("the gateway closed the session: {code} {reason}")]
    Closed {
        /// The close code.
        code: u16,
        /// The stable word that came with it.
        reason: String,
    },
    /// The gateway refused an HTTP call in a way that trying again cannot mend.
    #[error("the gateway refused the call: {status} {code}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The stable word of the error.
        code: String,
    },
    /// The store holds another user's stream. One user's commands are never
    /// carried out for another: give each user a store of their own.
    #[error("the store belongs to another user")]
    StoreOfAnotherUser,
}

/// A close frame, or the lack of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// The code; `None` when the connection just ended.
    pub code: Option<u16>,
    /// The reason's text.
    pub reason: String,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{code} {}", self.reason),
            None => f.write_str("without a close frame"),
        }
    }
}

/// What to do after a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Connect again after the usual delay.
    Retry,
    /// Ask the provider for another token first.
    Authenticate,
    /// Another session of this device took over; stay away for a while.
    StayAway,
    /// Nothing.
    Stop(StopReason),
}

impl Closed {
    /// Reads protocol §3.3 rule 8.
    pub fn next(&self) -> Next {
        match self.code {
            None => Next::Retry,
            Some(code) if code == CloseReason::Unauthenticated.number() => Next::Authenticate,
            Some(code) if code == CloseReason::Replaced.number() => Next::StayAway,
            Some(code) if CloseReason::is_retryable(code) => Next::Retry,
            Some(code) => Next::Stop(StopReason::Closed { code, reason: self.reason.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only what the protocol names is retried without a change.
    #[test]
    fn close_codes_decide_what_follows() {
        let next = |code| Closed { code: Some(code), reason: "word".to_owned() }.next();
        for code in [4408, 4410, 4429, 1000, 1001, 1006, 1009, 1011, 1012] {
            assert_eq!(next(code), Next::Retry, "{code}");
        }
        assert_eq!(next(4401), Next::Authenticate);
        assert_eq!(next(4409), Next::StayAway);
        for code in [4400, 4403, 4406, 4999] {
            assert!(matches!(next(code), Next::Stop(_)), "{code}");
        }
        assert_eq!(Closed::default().next(), Next::Retry);
    }
}
