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
    /// The store is damaged, or of a newer version. Nothing more is written to
    /// it, and without it no command may be carried out.
    #[error("{text}")]
    Store {
        /// What the store said.
        text: String,
    },
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
    /// No place is free for this device now; connect again after the wait that
    /// was named.
    ComeLater,
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
            Some(_) if self.is_full() => Next::ComeLater,
            Some(code) if CloseReason::is_retryable(code) => Next::Retry,
            Some(code) => Next::Stop(StopReason::Closed { code, reason: self.reason.clone() }),
        }
    }

    /// Whether the user's other devices take all places, which changes when
    /// one of them goes.
    fn is_full(&self) -> bool {
        self.code == Some(CloseReason::TooManyDevices.number())
            && self.reason == CloseReason::TooManyDevices.as_str()
    }

    /// Whether the token in use lived to its end.
    pub(crate) fn is_token_ended(&self) -> bool {
        self.reason == CloseReason::TokenExpired.as_str() && self.next() == Next::Authenticate
    }

    /// Whether the token is to blame. A backend that ends sessions says
    /// nothing about it.
    pub(crate) fn is_token_refused(&self) -> bool {
        self.reason != CloseReason::SessionEnded.as_str() && self.next() == Next::Authenticate
    }

    /// Whether something between device and gateway closed: the gateway's own
    /// codes are those of the WebSocket protocol and from 4000 on.
    pub(crate) fn is_foreign(&self) -> bool {
        self.code.is_some_and(|code| (3000..4000).contains(&code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only what the protocol names is retried without a change.
    #[test]
    fn close_codes_decide_what_follows() {
        let next = |code| Closed { code: Some(code), reason: "word".to_owned() }.next();
        for code in [4408, 4410, 4429, 1000, 1001, 1006, 1008, 1009, 1011, 1012, 1013] {
            assert_eq!(next(code), Next::Retry, "{code}");
        }
        assert_eq!(next(4401), Next::Authenticate);
        assert_eq!(next(4409), Next::StayAway);
        for code in [4400, 4403, 4406, 4999] {
            assert!(matches!(next(code), Next::Stop(_)), "{code}");
        }
        assert_eq!(Closed::default().next(), Next::Retry);
    }

    /// A reason tells apart what has one code.
    #[test]
    fn reasons_say_what_a_code_does_not() {
        let closed = |code, reason: &str| Closed { code: Some(code), reason: reason.to_owned() };
        assert_eq!(closed(4403, "too_many_devices").next(), Next::ComeLater);
        assert!(matches!(closed(4400, "too_many_devices").next(), Next::Stop(_)));
        assert!(closed(4401, "token_expired").is_token_ended());
        assert!(!closed(4401, "unauthenticated").is_token_ended());
        assert!(closed(4401, "unauthenticated").is_token_refused());
        assert!(!closed(4401, "session_ended").is_token_refused());
        assert!(!closed(1011, "token_expired").is_token_ended());
    }
}
