//! A command with its history, as `GET /api/v1/commands/{id}` shows it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::command::{Channel, CommandStatus, Priority, TimelineEvent};
use crate::id::{CommandId, DeviceId, Seq, StreamName, UserId};
use crate::time::Timestamp;

/// A command with its history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandView {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub command_id: CommandId,
    /// Whose.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub user_id: UserId,
    /// The only device, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub device_id: Option<DeviceId>,
    /// What to write.
    pub data_type: String,
    /// The payload, as received.
    #[cfg_attr(feature = "openapi", schema(value_type = Value))]
    pub value: Box<RawValue>,
    /// Its priority.
    pub priority: Priority,
    /// Where it stands.
    pub status: CommandStatus,
    /// The stream that carries it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub stream: StreamName,
    /// Position of its first attempt.
    #[cfg_attr(feature = "openapi", schema(value_type = i64))]
    pub seq: Seq,
    /// When it was accepted.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When its life ends.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: Timestamp,
    /// Attempts made so far, from 1.
    pub attempts: i32,
    /// The outcome that decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<CommandOutcome>,
    /// What happened, oldest first.
    pub timeline: Vec<TimelineRow>,
}

/// The outcome that decided a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandOutcome {
    /// The device that reported it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub device_id: DeviceId,
    /// Of which attempt.
    pub attempt: i32,
    /// What it was.
    pub status: CommandStatus,
    /// The device's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One row of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TimelineRow {
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// What.
    pub event: TimelineEvent,
    /// By which channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Which device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub device_id: Option<DeviceId>,
    /// With `result`: the outcome reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<CommandStatus>,
    /// A result that changed nothing: of an earlier attempt, or after the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<bool>,
    /// More, in words: the attempt, the device's error, the provider's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
