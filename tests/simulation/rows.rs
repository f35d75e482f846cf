//! What stands at the positions of a stream.

use tidegate::journal::snapshot::command_body;
use tidegate::store;
use tidegate::store::command::ListFilter;
use tidegate_protocol::entry::kind;

use crate::simulation::world::{ALL, World};

/// An entry, kept beyond its trimming.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) kind: String,
    pub(super) body: String,
    pub(super) command_id: Option<String>,
}

impl World {
    /// What stands after a position of a stream: stored entries, and the user's
    /// commands, each of which is the entry of its first attempt.
    pub(super) async fn rows(&self, stream: &str, after: i64) -> Vec<Row> {
        let readers = self.node.store.readers();
        let page = store::journal::page(readers, stream, after, ALL).await.unwrap().unwrap();
        let stored = page.rows.into_iter().filter(|row| row.first.is_none());
        let mut rows: Vec<Row> = stored
            .map(|row| Row {
                seq: row.entry.seq,
                kind: row.entry.kind,
                body: row.entry.body,
                command_id: row.entry.command_id,
            })
            .collect();
        let Some(user_id) = stream.strip_prefix("user:") else { return rows };
        let filter = ListFilter { user_id: Some(user_id.to_owned()), ..ListFilter::default() };
        let commands = store::command::list(readers, &filter, u64::from(u32::MAX)).await;
        for mut command in commands.unwrap().into_iter().filter(|row| row.seq > after) {
            command.attempt = 1;
            let body = command_body(&command).unwrap();
            rows.push(Row {
                seq: command.seq,
                kind: kind::COMMAND.to_owned(),
                body: serde_json::to_string(&body).unwrap(),
                command_id: Some(command.id),
            });
        }
        rows.sort_unstable_by_key(|row| row.seq);
        rows
    }
}
