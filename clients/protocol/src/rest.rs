//! Bodies of the HTTP calls.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::client::double_option;
use crate::code::{ErrorCode, words};
use crate::command::{
    CommandResult, CommandStatus, Platform, Priority, PushRegistration, ResultAnswer,
};
use crate::cursor::Cursors;
use crate::entry::RecordOp;
use crate::id::{CommandId, DeviceId, Seq, StreamName, UserId};
use crate::server::StreamStatuses;
use crate::time::Timestamp;

pub mod health;
pub mod history;
pub mod integrations;
pub mod marketplace;

/// Every error answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorDetail {
    /// Stable word: branch on this.
    pub code: ErrorCode,
    /// A safe sentence for people.
    pub message: String,
    /// The fields at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<FieldError>,
}

/// One field at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// Path from the body's root, dots and indexes: `records[2].id`.
    pub field: String,
    /// What is wrong with it, with the allowed range.
    pub reason: String,
    /// With 409 on a base that moved: the version that stands, 0 where there is
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_version: Option<i64>,
}

/// A page of a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The page.
    pub items: Vec<T>,
    /// Send it as `cursor` for the next page; null at the end.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub next_cursor: Option<String>,
}

/// `POST /api/v1/devices/register`. As in `hello`, absent fields after
/// `platform` stay as they were, and null removes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisterDevice {
    /// Client-made; the gateway makes one where it is absent and the token
    /// names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub device_id: Option<DeviceId>,
    /// Its system.
    pub platform: Platform,
    /// How it is woken.
    #[serde(default, with = "double_option", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<PushRegistration>))]
    pub push: Option<Option<PushRegistration>>,
    /// Alias for `push {provider: fcm, token}`; null for `push: null`.
    #[serde(default, with = "double_option", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub fcm_token: Option<Option<String>>,
    /// A name a person recognises; at most 255 bytes.
    #[serde(default, with = "double_option", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub name: Option<Option<String>>,
    /// The app's version; at most 255 bytes.
    #[serde(default, with = "double_option", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub app_version: Option<Option<String>>,
    /// At most 64, each at most 255 bytes.
    #[serde(default, with = "double_option", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<String>>))]
    pub capabilities: Option<Option<Vec<String>>>,
}

/// Answers a registration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Registered {
    /// Always true.
    pub success: bool,
    /// The device.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub device_id: DeviceId,
}

words! {
    /// Whether a device can be woken.
    PushState {
        /// No token.
        None = "none";
        /// A token that works as far as is known.
        Active = "active";
        /// The provider said the token is dead.
        Invalid = "invalid";
        /// Not refreshed for long.
        Stale = "stale";
    }
}

/// A device in a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceView {
    /// The device.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub device_id: DeviceId,
    /// Its system.
    pub platform: Platform,
    /// Its name, where it has one.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub name: Option<String>,
    /// What it can carry out.
    pub capabilities: Vec<String>,
    /// Whether it has a live session.
    pub online: bool,
    /// When it last said hello, polled, acked or reported.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub last_seen_at: Timestamp,
    /// Whether it can be woken.
    pub push_state: PushState,
    /// Why its last push token ended, in the provider's words; absent while
    /// there is nothing to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_error: Option<String>,
}

/// Answers `GET /api/v1/sync/poll`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PollAnswer {
    /// How each stream stands, as in `welcome`.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, crate::server::StreamStatus>))]
    pub streams: StreamStatuses,
    /// `events` and `snapshot` frames, in order.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub frames: Vec<Box<RawValue>>,
    /// Opaque. Send it back once the frames are durably applied: it acks them.
    pub cursor: String,
    /// Whether more waits: poll again at once.
    pub more: bool,
}

/// `POST /api/v1/sync/ack`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AckRequest {
    /// The device that holds them.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub device_id: DeviceId,
    /// What it holds.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, crate::cursor::Cursor>))]
    pub cursors: Cursors,
}

/// Answers an ack.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AckAnswer {
    /// The positions now acked; lower ones than stored change nothing.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, crate::cursor::Cursor>))]
    pub cursors: Cursors,
}

/// `POST /api/v1/sync/results`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResultsRequest {
    /// The device that reports.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub device_id: DeviceId,
    /// At most 100.
    pub results: Vec<CommandResult>,
}

/// Answers reported results, in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResultsAnswer {
    /// One row for each reported.
    pub results: Vec<ResultAnswer>,
}

/// `POST /api/v1/commands`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateCommand {
    /// Whose device shall act.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub user_id: UserId,
    /// The only device; where absent, any device of the user that has what is
    /// required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub device_id: Option<DeviceId>,
    /// What to write, in the app's words; 1 to 255 bytes.
    pub data_type: String,
    /// Any JSON; delivered as received.
    #[cfg_attr(feature = "openapi", schema(value_type = Value))]
    pub value: Box<RawValue>,
    /// Default `normal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Life in seconds, 1 to 2419200; default 86400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<i64>,
    /// A capability the device must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<String>,
}

/// `POST /api/v1/commands/batch`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateCommands {
    /// At most 500, judged one by one.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<BatchCommand>))]
    pub commands: Vec<Box<RawValue>>,
}

/// One command of a batch. Read it in two steps (the key, then
/// [`CreateCommand`] from the same text): a flattened struct cannot keep
/// `value` as received.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchCommand {
    /// As the header of the single call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The command.
    #[serde(flatten)]
    pub command: CreateCommand,
}

/// A command as accepted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandAccepted {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub command_id: CommandId,
    /// Where it stands: `pending` when new.
    pub status: CommandStatus,
    /// The stream that carries it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub stream: StreamName,
    /// Its position there.
    #[cfg_attr(feature = "openapi", schema(value_type = i64))]
    pub seq: Seq,
    /// When its life ends.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: Timestamp,
}

/// Answers a batch: a row for each command, in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandsAccepted {
    /// The rows.
    pub results: Vec<BatchRow>,
}

/// One row of a batch answer: `command` when `status` is 2xx, else `error`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchRow {
    /// The HTTP status this command would have had alone.
    pub status: u16,
    /// The command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandAccepted>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorDetail>,
}

/// `POST /api/v1/dev/trigger-write`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TriggerWrite {
    /// What to write.
    pub data_type: String,
    /// Any JSON.
    #[cfg_attr(feature = "openapi", schema(value_type = Value))]
    pub value: Box<RawValue>,
    /// One of the caller's devices; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub device_id: Option<DeviceId>,
}

/// `POST /api/v1/streams/{stream}/records`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PublishRecords {
    /// 1 to 500 changes, applied in order: all or none.
    pub records: Vec<RecordChange>,
}

/// Most record changes in one publish call.
pub const RECORDS_PER_PUBLISH: usize = 500;

/// One change to a record of a shared stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecordChange {
    /// The collection; 1 to 255 bytes.
    pub collection: String,
    /// The record's id in its collection; 1 to 255 bytes.
    pub id: String,
    /// What the change does.
    pub op: RecordOp,
    /// With `put`: a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub data: Option<Box<RawValue>>,
    /// With `patch`: an RFC 7396 merge patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub patch: Option<Box<RawValue>>,
    /// The version changed, 0 for "must not exist"; absent: the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_version: Option<i64>,
}

/// Answers a publish.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Published {
    /// The stream.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub stream: StreamName,
    /// The position of the last change.
    #[cfg_attr(feature = "openapi", schema(value_type = i64))]
    pub seq: Seq,
    /// The version after each change, in order.
    pub versions: Vec<i64>,
}
