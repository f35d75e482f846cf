//! What to do after a push failed. One vocabulary for all push services, so
//! that the caller's state machine does not care which one it spoke to.
//!
//! Never holds the details: those are in the error that names the action.

use std::time::Duration;

/// What the caller does about a failed push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The token or subscription is dead: forget it, keep the device.
    TokenDead,
    /// The token or subscription belongs to other credentials: forget it, and
    /// say so loudly, for usually the configuration is wrong.
    TokenForeign,
    /// The credentials or the project are at fault: call an operator and stop
    /// sending for a while. The token stays.
    OperatorAlert,
    /// Try again by the caller's schedule, but not before `floor`.
    RetryAfter {
        /// Shortest wait; zero when the service named none.
        floor: Duration,
    },
    /// This message will never be taken: drop it. The token stays.
    MessageInvalid,
}
