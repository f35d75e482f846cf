//! Rows that are written late, and when they are locked.

use std::collections::BTreeSet;

use crate::ingest::working::Needs;

/// Whose rows are written late.
#[derive(Debug, Default)]
pub(crate) struct Late {
    pub(crate) users: BTreeSet<String>,
    pub(crate) commands: BTreeSet<String>,
}

impl Needs {
    /// Has these rows locked with the others, in the order in which all nodes
    /// lock rows: taken at the end, one kind after the other, two nodes would
    /// wait for each other.
    pub(super) fn lock_written_late(&mut self) {
        let Some(late) = self.late.take() else { return };
        self.users.extend(late.users);
        self.commands.extend(late.commands);
    }
}
