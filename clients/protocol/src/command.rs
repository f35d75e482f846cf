//! The words of a command's life, shared by frames and HTTP bodies.

use serde::{Deserialize, Serialize};

use crate::code::words;

words! {
    /// Where a command stands. The last five are final.
    CommandStatus {
        /// Accepted and durable, not yet delivered.
        Pending = "pending";
        /// Delivered to at least one device.
        Sent = "sent";
        /// A device carried it out.
        Applied = "applied";
        /// The last eligible device refused it.
        Rejected = "rejected";
        /// The last eligible device could not carry it out.
        Failed = "failed";
        /// Its life ended first.
        Expired = "expired";
        /// The backend took it back.
        Cancelled = "cancelled";
    }
}

impl CommandStatus {
    /// Whether nothing can follow.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Sent)
    }
}

words! {
    /// What a device made of a command.
    Outcome {
        /// Carried out.
        Applied = "applied";
        /// Refused for good.
        Rejected = "rejected";
        /// Could not be carried out.
        Failed = "failed";
    }
}

impl Outcome {
    /// The status a command has when this outcome decides it.
    pub const fn status(self) -> CommandStatus {
        match self {
            Self::Applied => CommandStatus::Applied,
            Self::Rejected => CommandStatus::Rejected,
            Self::Failed => CommandStatus::Failed,
        }
    }
}

words! {
    /// Push priority and the device's own order of execution; never the
    /// order of the stream.
    Priority {
        /// Before everything else.
        High = "high";
        /// The default.
        Normal = "normal";
        /// When nothing else waits.
        Low = "low";
    }
}

words! {
    /// What happened to a command, in its timeline.
    TimelineEvent {
        /// Accepted: durable in the journal.
        Accepted = "accepted";
        /// Written to a device.
        Sent = "sent";
        /// The device's cursor passed it.
        Acked = "acked";
        /// A push provider took the wake-up.
        PushOk = "push_ok";
        /// A push provider refused the wake-up.
        PushFailed = "push_failed";
        /// A device reported an outcome.
        Result = "result";
        /// Its life ended.
        Expired = "expired";
        /// The backend took it back.
        Cancelled = "cancelled";
    }
}

words! {
    /// What carried it.
    Channel {
        /// A live socket.
        Socket = "socket";
        /// A poll.
        Poll = "poll";
        /// Firebase Cloud Messaging.
        Fcm = "fcm";
        /// Web Push.
        Webpush = "webpush";
        /// An HTTP call.
        Http = "http";
    }
}

words! {
    /// The system an app install runs on.
    Platform {
        /// iOS and iPadOS.
        Ios = "ios";
        /// Android.
        Android = "android";
        /// A browser.
        Web = "web";
        /// Anything else.
        Other = "other";
    }
}

words! {
    /// A push service.
    PushProvider {
        /// Firebase Cloud Messaging.
        Fcm = "fcm";
        /// Web Push; the token is the subscription's JSON.
        Webpush = "webpush";
    }
}

/// Where a device can be woken.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PushRegistration {
    /// The service that issued the token.
    pub provider: PushProvider,
    /// The token: 1 to 4096 bytes. A secret: never logged.
    pub token: String,
}

impl std::fmt::Debug for PushRegistration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushRegistration").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// One outcome a device reports. At most 100 travel together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandResult {
    /// The command it answers.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub command_id: crate::id::CommandId,
    /// The attempt it answers, from 1; absent means the current one. A
    /// retryable failure should name it: sent again without, after the attempt
    /// moved on, it counts for the new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i32>,
    /// What came of it.
    pub status: Outcome,
    /// Why not, in the device's words; at most 2000 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// With `failed`: whether another attempt may succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
}

/// The gateway's answer to one reported outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResultAnswer {
    /// The command.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub command_id: crate::id::CommandId,
    /// The command's standing final status, or while it has none the one just
    /// reported.
    pub status: CommandStatus,
    /// True if and only if `status` agrees with what was reported.
    pub accepted: bool,
    /// `not_found` when the command was not addressed to this device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<crate::code::ErrorCode>,
}
