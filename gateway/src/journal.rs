//! The journal as sessions see it: entries in wire form, pages after a
//! position, and the ring of entries just committed.
//!
//! Owns how stored rows become frames and which entries concern a device.
//! Never decides when to read and never calls the hub.

use std::sync::Arc;

use tidegate_entity::device::Capabilities;
use tidegate_entity::journal_entry;
use tidegate_protocol::entry::kind;
use tidegate_protocol::id::{CommandId, DeviceId, Seq};
use tidegate_protocol::time::Timestamp;
use tokio::time::Instant;

pub mod frame;
pub mod health;
pub mod read;
pub mod ring;
pub mod snapshot;

/// Who looks at a stream: decides which entries concern it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The device.
    pub device_id: DeviceId,
    /// What it can carry out.
    pub capabilities: Capabilities,
}

impl Viewer {
    /// Whether something addressed like this concerns the device.
    pub fn is_concerned(&self, device_id: Option<&str>, requires: Option<&str>) -> bool {
        device_id.is_none_or(|device_id| device_id == self.device_id.as_str())
            && requires.is_none_or(|needed| self.capabilities.iter().any(|has| has == needed))
    }
}

/// An attempt of a command, as it goes to devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The command.
    pub id: CommandId,
    /// Which attempt: from 1.
    pub number: i32,
    /// When it is looked at next, where that is known and not its end: whether
    /// it was acked, and must be tried again.
    pub look_at: Option<Timestamp>,
}

/// A command that an entry carries.
#[derive(Clone, Debug)]
pub struct EntryCommand {
    /// Position of the entry.
    pub seq: Seq,
    /// Which attempt of which command.
    pub attempt: Attempt,
    /// End of its life.
    pub expires_at: Timestamp,
}

/// What is told of the command that an entry carries.
#[derive(Clone, Copy, Debug, Default)]
pub struct OfCommand {
    /// Which attempt it is.
    pub attempt: i32,
    /// As [`Attempt::look_at`].
    pub look_at: Option<Timestamp>,
    /// End of its life.
    pub expires_at: Timestamp,
}

/// An entry ready to be sent: serialised once for all who get it.
#[derive(Debug)]
pub struct Ready {
    /// Its position.
    pub seq: Seq,
    /// The entry on the wire.
    pub json: Box<str>,
    /// The only device it concerns.
    pub device_id: Option<Box<str>>,
    /// The capability it needs.
    pub requires: Option<Box<str>>,
    /// The command it carries; `None` for other kinds.
    pub command: Option<EntryCommand>,
    /// The command it closes.
    pub closes: Option<CommandId>,
    /// When it was committed, for the delivery metric.
    pub committed: Option<Instant>,
}

impl Ready {
    /// From a stored row. What is told of a command matters for entries that
    /// carry one.
    pub fn from_row(row: &journal_entry::Model, told: OfCommand) -> Arc<Self> {
        Arc::new(Self::new(row, told, None))
    }

    /// From a row that was just committed.
    pub fn committed(row: &journal_entry::Model, told: OfCommand, at: Instant) -> Arc<Self> {
        Arc::new(Self::new(row, told, Some(at)))
    }

    fn new(row: &journal_entry::Model, told: OfCommand, committed: Option<Instant>) -> Self {
        let command_id = row.command_id.as_deref().and_then(|id| CommandId::parse(id).ok());
        let (command, closes) = match (row.kind.as_str(), command_id) {
            (kind::COMMAND, Some(id)) => {
                let (number, look_at) = (told.attempt, told.look_at);
                let attempt = Attempt { id, number, look_at };
                let expires_at = told.expires_at;
                (Some(EntryCommand { seq: Seq::new(row.seq), attempt, expires_at }), None)
            }
            (kind::COMMAND_CLOSED, closes) => (None, closes),
            _ => (None, None),
        };
        Self {
            seq: Seq::new(row.seq),
            json: entry_json(row).into_boxed_str(),
            device_id: row.device_id.as_deref().map(Into::into),
            requires: row.requires.as_deref().map(Into::into),
            command,
            closes,
            committed,
        }
    }
}

/// The entry as it is on the wire. Kinds are plain words and times plain
/// digits, so nothing needs escaping but the body, which is JSON already.
pub fn entry_json(row: &journal_entry::Model) -> String {
    let at = Timestamp::from_millis(row.at);
    format!(r#"{{"seq":{},"kind":"{}","at":"{at}","body":{}}}"#, row.seq, row.kind, row.body)
}
