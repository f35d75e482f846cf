//! What follows a commit: figures, and the new entries for those who follow
//! their streams. Nothing here is done before the commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_entity::command;
use tidegate_protocol::id::Seq;
use tidegate_protocol::time::Timestamp;
use tokio::time::Instant;

use crate::hub::topic::Topic;
use crate::ingest::unit::UnitOfWork;
use crate::ingest::writer::Writer;
use crate::journal::{OfCommand, Ready};
use crate::metrics::label::EntryKind;

impl Writer {
    /// Hands the new entries to those who follow their streams here. Only
    /// after the commit: an entry must never be seen that a crash could undo.
    pub(super) fn announce(&self, unit: &mut UnitOfWork) {
        unit.count(&self.metrics);
        let committed = Instant::now();
        let mut followed: BTreeMap<String, (Arc<Topic>, Vec<Arc<Ready>>)> = BTreeMap::new();
        for entry in unit.take_entries() {
            self.metrics.entries_appended.of(EntryKind::of(entry.kind)).inc();
            self.history.announced(&entry.stream, entry.seq);
            let topic = match followed.get(&entry.stream) {
                Some((topic, _)) => Arc::clone(topic),
                None => match self.hub.topic(&entry.stream) {
                    Some(topic) => topic,
                    None => continue,
                },
            };
            let mut row = entry.into_row(unit.now);
            let command = row.command_id.as_ref().and_then(|id| unit.command(id));
            if let Some(state) = command
                && state.row.seq == row.seq
            {
                // As it reads later: its first attempt is told by its row.
                row.at = state.row.created_at;
            }
            let told = command.map_or_else(OfCommand::default, |state| told(&state.row));
            let ready = Ready::committed(&row, told, committed);
            followed.entry(row.stream).or_insert((topic, Vec::new())).1.push(ready);
        }
        for (topic, entries) in followed.into_values() {
            let head = entries.last().map_or(Seq::ZERO, |entry| entry.seq);
            self.hub.publish(&topic, entries, head);
        }
    }
}

fn told(row: &command::Model) -> OfCommand {
    let is_before_end = row.due_at < row.expires_at;
    OfCommand {
        attempt: row.attempt,
        look_at: is_before_end.then(|| Timestamp::from_millis(row.due_at)),
        expires_at: Timestamp::from_millis(row.expires_at),
    }
}
