//! How a session ends.

use tidegate_protocol::code::CloseReason;

use crate::transport::ws::socket::Lost;

/// How a session ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// With a close frame of ours.
    Close(CloseReason),
    /// The client closed, or the connection is gone.
    Gone,
    /// A write made no progress, or failed.
    Lost,
}

impl From<Lost> for End {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

impl From<CloseReason> for End {
    fn from(reason: CloseReason) -> Self {
        Self::Close(reason)
    }
}
