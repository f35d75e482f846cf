//! What streams carry: journal entries, snapshot items and their bodies.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::code::words;
use crate::command::{CommandStatus, Priority};
use crate::id::{CommandId, DeviceId, Seq};
use crate::time::Timestamp;

pub mod health;

/// Kinds of entries and items. Open-ended on the wire: clients ignore kinds
/// they do not know.
pub mod kind {
    /// A write the backend wants the device to perform: [`super::CommandBody`].
    pub const COMMAND: &str = "command";
    /// A command got its final status: [`super::CommandClosedBody`].
    pub const COMMAND_CLOSED: &str = "command_closed";
    /// A versioned record changed: [`super::RecordBody`].
    pub const RECORD: &str = "record";
    /// A marketplace skill changed: [`super::ItemBody`].
    pub const SKILL: &str = "skill";
    /// A marketplace category changed: [`super::ItemBody`].
    pub const CATEGORY: &str = "category";
    /// Upstream said a skill's rating: [`super::RatingBody`].
    pub const RATING: &str = "rating";
    /// A conflict was opened or resolved: [`super::ConflictBody`].
    pub const CONFLICT: &str = "conflict";
    /// A day of a user changed: the row, [`DailyEntry`](crate::rest::health::day::DailyEntry).
    pub const DAILY_ENTRY: &str = "daily_entry";
    /// The night that is shown for a day changed: [`SleepBody`](super::health::SleepBody).
    pub const SLEEP: &str = "sleep";
    /// A workout changed, or is gone: [`ActivityBody`](super::health::ActivityBody).
    pub const ACTIVITY: &str = "activity";
    /// An integration with a cloud provider changed: [`super::IntegrationBody`].
    pub const INTEGRATION: &str = "integration";
}

/// One journal entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its position.
    pub seq: Seq,
    /// What it is; see [`kind`].
    pub kind: String,
    /// When it was committed.
    pub at: Timestamp,
    /// Its body, as its kind says.
    pub body: Box<RawValue>,
}

/// One item of current state in a snapshot; records are whole (`put`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    /// What it is; see [`kind`].
    pub kind: String,
    /// Its body, as its kind says.
    pub body: Box<RawValue>,
}

/// Body of [`kind::COMMAND`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CommandBody {
    /// Executed once per device under this id.
    pub command_id: CommandId,
    /// From 1; raised by a retry.
    pub attempt: i32,
    /// What to write, in the app's words (`steps`, `nutrition`, …).
    pub data_type: String,
    /// The payload, as the backend sent it, key order included.
    pub value: Box<RawValue>,
    /// The device's order of execution.
    pub priority: Priority,
    /// Never execute past this, by `server_time`.
    pub expires_at: Timestamp,
    /// The only device it is for, where the backend named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
}

/// Body of [`kind::COMMAND_CLOSED`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandClosedBody {
    /// The command.
    pub command_id: CommandId,
    /// Its final status.
    pub status: CommandStatus,
}

words! {
    /// What a change does to a record.
    RecordOp {
        /// The full `data`.
        Put = "put";
        /// An RFC 7396 merge patch, valid on exactly `base_version`.
        Patch = "patch";
        /// The record is gone; its versions go on if it returns.
        Delete = "delete";
    }
}

/// Body of [`kind::RECORD`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecordBody {
    /// The collection.
    pub collection: String,
    /// The record's id in its collection.
    pub id: String,
    /// The version after the change, from 1.
    pub version: i64,
    /// What the change does.
    pub op: RecordOp,
    /// With `patch`: the version it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_version: Option<i64>,
    /// With `put`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// With `patch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Box<RawValue>>,
}

/// Body of [`kind::SKILL`] and [`kind::CATEGORY`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemBody {
    /// The skill's id, the category's name.
    pub id: String,
    /// The version after the change, from 1.
    pub version: i64,
    /// What the change does.
    pub op: RecordOp,
    /// With `patch`: the version it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_version: Option<i64>,
    /// With `put`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// With `patch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Box<RawValue>>,
}

/// Body of [`kind::RATING`]: what upstream says a skill's rating is now. It
/// changes neither the skill nor its version. What upstream did not say is
/// absent, and stays what it was; at least one of the two figures is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RatingBody {
    /// The skill.
    pub skill_id: String,
    /// Its average, where upstream said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_rating: Option<f64>,
    /// How many rated it, where upstream said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating_count: Option<i64>,
}

words! {
    /// Whether somebody still has to decide.
    ConflictStatus {
        /// A person has to.
        Open = "open";
        /// Decided.
        Resolved = "resolved";
    }
}

words! {
    /// How grave that is; the first hit counts.
    Severity {
        /// What runs, or which item it is.
        Critical = "CRITICAL";
        /// Versions, packages, who has to do what.
        High = "HIGH";
        /// How it is set up or judged.
        Medium = "MEDIUM";
        /// Anything else.
        Low = "LOW";
    }
}

/// Body of [`kind::CONFLICT`]: enough to show it; both sides are read by
/// `GET /api/v1/conflicts/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictBody {
    /// The conflict.
    pub conflict_id: String,
    /// What it is about: `skill:{id}`.
    pub subject: String,
    /// Whether it still waits for a decision.
    pub status: ConflictStatus,
    /// `VERSION_MISMATCH`, `CONTENT_MISMATCH`, `DEPENDENCY_CONFLICT`, `OTHER`.
    pub conflict_type: String,
    /// `CRITICAL`, `HIGH`, `MEDIUM`, `LOW`.
    pub severity: String,
    /// The fields in which the sides differ.
    pub fields: Vec<String>,
    /// How it was, or is to be, decided.
    pub strategy: String,
    /// Who decided: `strategy`, `delete` or a person's id; absent while open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When a loser was brought back last; absent before. Who decided, and
    /// how, stays what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_at: Option<Timestamp>,
    /// The version of the effective value after what this tells of.
    pub version: i64,
}

words! {
    /// How the synchronisation with a cloud provider stands.
    IntegrationStatus {
        /// Nothing is under way, and the last run ended well.
        Idle = "idle";
        /// A run is under way or queued.
        Syncing = "syncing";
        /// The last run failed.
        Error = "error";
    }
}

words! {
    /// Why the last run with a cloud provider failed.
    IntegrationError {
        /// The provider does not accept the tokens any more: the user has to
        /// connect again.
        ReconnectRequired = "reconnect_required";
        /// The provider's service was switched off.
        ProviderGone = "provider_gone";
        /// No answer of the provider, or none that makes sense.
        ProviderUnavailable = "provider_unavailable";
        /// The provider does not serve this installation: its owner must act.
        AppInactive = "app_inactive";
        /// The provider refused a request.
        ProviderError = "provider_error";
        /// The tokens were sealed with a key that is not configured.
        UnknownKey = "unknown_key";
    }
}

/// Body of [`kind::INTEGRATION`]: one for each provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrationBody {
    /// `strava`, `google_health`, `oura`, `fitbit`.
    pub provider: String,
    /// Whether the user has connected it.
    pub connected: bool,
    /// How it stands.
    pub sync_status: IntegrationStatus,
    /// Why the last run failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_error: Option<IntegrationError>,
    /// When a run last ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_synced_at: Option<Timestamp>,
}
