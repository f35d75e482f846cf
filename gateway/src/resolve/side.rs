//! What the engine is given: the state both sides started from, and what each
//! of them made of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_protocol::time::Timestamp;
use utoipa::ToSchema;

/// The last state both sides agreed on. It is found by version, never by a
/// clock; who cannot find it any more gives none, and the sides are compared
/// with each other alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ConflictBase)]
pub struct Base {
    /// Its version.
    pub version: i64,
    /// Its value; `None`: it was deleted.
    pub data: Option<Value>,
}

/// What one side made of the item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ConflictSide)]
pub struct Side {
    /// The number this state has, or would have, on its side. Remote's is the
    /// number under which it is published: a result that is remote's keeps it.
    /// An item that never existed on this side has version 0 and no data.
    pub version: i64,
    /// The value; `None`: deleted. Never a bare null, which a kept row could
    /// not tell from a delete: items are objects, checked where they come in.
    pub data: Option<Value>,
    /// When it was edited, by the clock of who edited it.
    #[schema(value_type = String, format = DateTime)]
    pub edited_at: Timestamp,
    /// Who edited it: a device, an upstream, a person.
    pub source_id: String,
}

impl Side {
    /// Whether the item never was on this side, which is not an edit.
    pub(super) fn never_existed(&self) -> bool {
        self.version == 0 && self.data.is_none()
    }
}

/// One of the two sides.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The edit that waits to be accepted.
    Local,
    /// The state that is published.
    Remote,
}

impl Origin {
    /// The opposite side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Local => Self::Remote,
            Self::Remote => Self::Local,
        }
    }
}

/// What is to be judged: two states and what they came from.
#[derive(Clone, Copy, Debug)]
pub struct Edits<'a> {
    /// What both started from, where that is known.
    pub base: Option<&'a Base>,
    /// The edit that waits to be accepted.
    pub local: &'a Side,
    /// The state that is published.
    pub remote: &'a Side,
}

impl<'a> Edits<'a> {
    /// One of the sides.
    pub const fn side(&self, origin: Origin) -> &'a Side {
        match origin {
            Origin::Local => self.local,
            Origin::Remote => self.remote,
        }
    }

    /// The first version that nobody has used.
    pub(super) fn next_version(&self) -> i64 {
        let base = self.base.map_or(0, |base| base.version);
        base.max(self.local.version).max(self.remote.version).saturating_add(1)
    }
}
