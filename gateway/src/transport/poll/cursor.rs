//! What a polling device holds, and the opaque cursor that says so.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tidegate_protocol::cursor::{Cursor, Cursors};
use tidegate_protocol::id::{Epoch, Seq, StreamName};

use crate::error::{ApiError, ApiResult};
use crate::journal::snapshot::SnapshotAt;
use crate::session::stream::{Phase, StreamState};

/// What a polling device holds.
#[derive(Clone, Debug)]
pub enum Position {
    /// The cursor of the last answer.
    Opaque(PollCursor),
    /// Cursors as in `hello`.
    Cursors(Cursors),
}

/// The opaque cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollCursor {
    #[serde(rename = "s")]
    streams: BTreeMap<StreamName, PollPosition>,
}

/// How far a poll has come in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PollPosition {
    #[serde(rename = "e")]
    epoch: Epoch,
    /// Announced: the device holds everything up to here.
    #[serde(rename = "q")]
    sent: Seq,
    /// Read: nothing between the two concerned the device.
    #[serde(rename = "r")]
    read: Seq,
    /// In the middle of current state: where the next page begins.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    snapshot: Option<SnapshotAt>,
}

impl PollCursor {
    /// Where a session that answered a poll stands.
    pub(super) fn of<'a>(streams: impl IntoIterator<Item = &'a StreamState>) -> Self {
        let position = |stream: &StreamState| {
            let (snapshot, sent) = match &stream.phase {
                Phase::Snapshot { at, seq } => (Some(SnapshotAt::clone(at)), *seq),
                Phase::Live => (None, stream.sent),
            };
            let read = stream.read.max(sent);
            PollPosition { epoch: stream.id.epoch.clone(), sent, read, snapshot }
        };
        let streams = streams.into_iter();
        Self { streams: streams.map(|one| (one.id.name.clone(), position(one))).collect() }
    }

    /// Reads a cursor that the gateway wrote.
    pub fn decode(text: &str) -> ApiResult<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.filter(|text| tidegate_protocol::json::check(text).is_ok());
        text.and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(|| {
            ApiError::invalid("cursor", "not a cursor of this gateway; poll without it")
        })
    }

    /// The cursor as text that needs no escaping in a URL.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

impl Position {
    /// The positions as cursors.
    pub(super) fn cursors(&self) -> Cursors {
        match self {
            Self::Cursors(cursors) => cursors.clone(),
            Self::Opaque(cursor) => {
                let of = |(name, position): (&StreamName, &PollPosition)| {
                    let seq = position.read.max(position.sent);
                    let cursor = Cursor { epoch: position.epoch.clone(), seq };
                    (name.clone(), cursor)
                };
                cursor.streams.iter().map(of).collect()
            }
        }
    }

    /// The place in the middle of current state, in this epoch.
    pub(super) fn progress(&self, name: &StreamName, epoch: &Epoch) -> Option<(SnapshotAt, Seq)> {
        let Self::Opaque(cursor) = self else { return None };
        let position = cursor.streams.get(name).filter(|position| position.epoch == *epoch)?;
        Some((position.snapshot.clone()?, position.sent))
    }

    /// The position announced, at most `read`.
    pub(super) fn sent(&self, name: &StreamName, read: Seq) -> Seq {
        match self {
            Self::Cursors(_) => read,
            Self::Opaque(cursor) => {
                cursor.streams.get(name).map_or(read, |position| position.sent.min(read))
            }
        }
    }
}
