//! The label of a journal entry.

use tidegate_protocol::entry::kind;

use crate::metrics::label::EntryKind;

impl EntryKind {
    /// The label of an entry's `kind`.
    pub fn of(entry_kind: &str) -> Self {
        match entry_kind {
            kind::COMMAND => Self::Command,
            kind::COMMAND_CLOSED => Self::CommandClosed,
            kind::RECORD => Self::Record,
            kind::SKILL => Self::Skill,
            kind::CATEGORY => Self::Category,
            kind::RATING => Self::Rating,
            kind::CONFLICT => Self::Conflict,
            kind::DAILY_ENTRY => Self::DailyEntry,
            kind::SLEEP => Self::Sleep,
            kind::ACTIVITY => Self::Activity,
            kind::INTEGRATION => Self::Integration,
            _ => Self::Other,
        }
    }
}
