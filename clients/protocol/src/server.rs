//! Frames the gateway sends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::code::{ErrorCode, words};
use crate::command::ResultAnswer;
use crate::encoding::Encoding;
use crate::entry::{Entry, Item};
use crate::id::{DeviceId, Epoch, Seq, StreamName};
use crate::time::Timestamp;

/// What the gateway can say. Frames of unknown type are skipped by clients.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ServerMessage {
    /// Answers `hello`.
    Welcome(Welcome),
    /// Answers `subscribe` and `unsubscribe`.
    Streams(Streams),
    /// A page of current state.
    Snapshot(Snapshot),
    /// A page of the journal.
    Events(Events),
    /// Answers `results`.
    ResultsOk(ResultsOk),
    /// Answers `auth`.
    AuthOk(AuthOk),
    /// The token ends soon.
    AuthExpiring(AuthOk),
    /// Heartbeat.
    Ping(Ping),
    /// The node goes away.
    Drain(Drain),
    /// A refused frame that does not end the session.
    Error(ErrorFrame),
    /// A type this version does not know.
    Unknown,
}

words! {
    /// How a stream begins for this client.
    Verdict {
        /// From the cursor, without a gap.
        Resumed = "resumed";
        /// From a snapshot.
        Reset = "reset";
        /// Not this user's.
        Forbidden = "forbidden";
        /// No such stream.
        Unknown = "unknown";
    }
}

words! {
    /// Why a stream begins from a snapshot.
    ResetReason {
        /// The client sent no cursor.
        New = "new";
        /// The numbering began anew.
        EpochChanged = "epoch_changed";
        /// The journal no longer reaches back to the cursor.
        Trimmed = "trimmed";
        /// The cursor is beyond the head.
        Ahead = "ahead";
    }
}

/// A stream in `welcome`, `streams` and poll answers. `forbidden` and
/// `unknown` carry nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamStatus {
    /// The epoch in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub epoch: Option<Epoch>,
    /// The last position committed when this was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<i64>))]
    pub head: Option<Seq>,
    /// How it begins.
    pub verdict: Verdict,
    /// With `reset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ResetReason>,
}

/// Streams by name.
pub type StreamStatuses = BTreeMap<StreamName, StreamStatus>;

/// Bounds in force for this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameLimits {
    /// Largest frame either way, bytes.
    pub frame_bytes: usize,
    /// Largest entry, bytes.
    pub entry_bytes: usize,
    /// Most entries in a page.
    pub page_entries: usize,
    /// Most delivered entries unacked per stream.
    pub window_entries: usize,
}

/// Answers `hello`; always text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// This socket.
    pub session_id: String,
    /// The device, as it said.
    pub device_id: DeviceId,
    /// The gateway's clock: `expires_at` is judged by it.
    pub server_time: Timestamp,
    /// The interval in force, seconds.
    pub heartbeat_s: u32,
    /// The encoding binary frames use from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Bounds in force.
    pub limits: FrameLimits,
    /// How each stream begins.
    pub streams: StreamStatuses,
}

/// Answers `subscribe` with the streams named, and `unsubscribe` with those
/// still followed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Streams {
    /// As in `welcome`.
    pub streams: StreamStatuses,
}

/// A page of current state, before the stream's first `events`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// The stream.
    pub stream: StreamName,
    /// Its epoch.
    pub epoch: Epoch,
    /// The head before the first page was read; items may be newer.
    pub seq: Seq,
    /// Current state, in `put` form.
    pub items: Vec<Item>,
    /// Whether this page ends the snapshot; only then the cursor is set.
    pub last: bool,
}

/// Everything in (`prev`, `seq`] that concerns this device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Events {
    /// The stream.
    pub stream: StreamName,
    /// Its epoch.
    pub epoch: Epoch,
    /// The last position sent before.
    pub prev: Seq,
    /// The position reached.
    pub seq: Seq,
    /// May skip positions, may be empty.
    pub entries: Vec<Entry>,
}

/// Answers `results`, after commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResultsOk {
    /// One row for each reported, in order.
    pub results: Vec<ResultAnswer>,
}

/// Answers `auth`, and warns before a token ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuthOk {
    /// When the token ends.
    pub expires_at: Timestamp,
}

/// Heartbeat with the heads of all followed streams.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ping {
    /// Positions committed.
    pub heads: BTreeMap<StreamName, Seq>,
}

/// The node goes away.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Drain {
    /// How long to wait before connecting again; spread over all clients.
    pub reconnect_after_ms: u64,
}

/// A refused frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorFrame {
    /// Stable word.
    pub code: ErrorCode,
    /// A safe sentence.
    pub message: String,
    /// How long to wait, where waiting helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ServerMessage {
    /// The word in `type`.
    pub const fn frame_type(&self) -> &'static str {
        match self {
            Self::Welcome(_) => "welcome",
            Self::Streams(_) => "streams",
            Self::Snapshot(_) => "snapshot",
            Self::Events(_) => "events",
            Self::ResultsOk(_) => "results_ok",
            Self::AuthOk(_) => "auth_ok",
            Self::AuthExpiring(_) => "auth_expiring",
            Self::Ping(_) => "ping",
            Self::Drain(_) => "drain",
            Self::Error(_) => "error",
            Self::Unknown => "unknown",
        }
    }

    /// Writes the frame, with the client's `ref` where it had one.
    pub fn write(&self, reference: Option<&RawValue>) -> String {
        #[derive(Serialize)]
        struct Typed<'a> {
            #[serde(rename = "type")]
            frame_type: &'a str,
            #[serde(flatten)]
            body: &'a ServerMessage,
        }
        let mut text = serde_json::to_string(&Typed { frame_type: self.frame_type(), body: self })
            .expect("frame bodies are structs with text keys");
        if let Some(reference) = reference {
            text.truncate(text.len() - 1);
            text.push_str(",\"ref\":");
            text.push_str(reference.get());
            text.push('}');
        }
        text
    }

    /// Reads a frame: the message and the client's own `ref`.
    pub fn parse(text: &str) -> Result<(Self, Option<String>), serde_json::Error> {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(borrow, rename = "type")]
            frame_type: std::borrow::Cow<'a, str>,
            #[serde(default, rename = "ref")]
            reference: Option<serde_json::Value>,
        }
        let head: Head<'_> = serde_json::from_str(text)?;
        let message = match head.frame_type.as_ref() {
            "welcome" => Self::Welcome(serde_json::from_str(text)?),
            "streams" => Self::Streams(serde_json::from_str(text)?),
            "snapshot" => Self::Snapshot(serde_json::from_str(text)?),
            "events" => Self::Events(serde_json::from_str(text)?),
            "results_ok" => Self::ResultsOk(serde_json::from_str(text)?),
            "auth_ok" => Self::AuthOk(serde_json::from_str(text)?),
            "auth_expiring" => Self::AuthExpiring(serde_json::from_str(text)?),
            "ping" => Self::Ping(serde_json::from_str(text)?),
            "drain" => Self::Drain(serde_json::from_str(text)?),
            "error" => Self::Error(serde_json::from_str(text)?),
            _ => Self::Unknown,
        };
        let reference = head.reference.map(|value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        });
        Ok((message, reference))
    }
}
