//! Applying a page of the journal: plan, let the app take it over, commit.
//!
//! Planning only reads. Between plan and commit nobody else writes the
//! replica: one task applies pages. So no transaction stays open while the
//! app's code runs.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;
use tidegate_durable::WriteTransaction;
use tidegate_protocol::cursor::Cursor;
use tidegate_protocol::entry::{CommandBody, CommandClosedBody, Entry, kind};
use tidegate_protocol::id::StreamName;

use crate::handler::Change;
use crate::machine::streams::EventsPage;
use crate::replica::{Delta, Fold, Held, Key};
use crate::store::commands::Closing;
use crate::store::{Store, StoreError, commands, json, set_cursor, statement, text};

/// What a page amounts to.
#[derive(Debug)]
pub(crate) enum Planned {
    /// It can be committed.
    Ready(Plan),
    /// A patch does not fit what is held: the stream must begin anew.
    Mismatch,
}

/// A page, ready to commit.
#[derive(Debug)]
pub(crate) struct Plan {
    stream: StreamName,
    cursor: Cursor,
    changes: Vec<Change>,
    steps: Vec<Step>,
}

/// What the page says about commands, in its order.
#[derive(Debug)]
enum Step {
    Arrived(Box<CommandBody>),
    Closed(Closing),
}

impl Plan {
    /// What changes in the replica, for the app.
    pub(crate) fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether commands came.
    pub(crate) fn has_commands(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Arrived(_)))
    }
}

impl Store {
    /// Reads what is held and decides what the page changes.
    pub(crate) async fn plan(&self, page: EventsPage) -> Result<Planned, StoreError> {
        let EventsPage { stream, cursor, entries } = page;
        let (mut changes, mut steps) = (Vec::new(), Vec::new());
        let mut overlay: HashMap<Key, Option<Held>> = HashMap::new();
        for entry in entries {
            if let Some(step) = command_step(&stream, &entry) {
                steps.push(step);
                continue;
            }
            let Some(delta) = Delta::read(&entry.kind, &entry.body) else { continue };
            if !overlay.contains_key(&delta.key) {
                let held = self.held(&stream, &delta.key).await?;
                overlay.insert(delta.key.clone(), held);
            }
            let held = overlay.get(&delta.key).and_then(Option::as_ref);
            match delta.fold(held) {
                Fold::Skip => {}
                Fold::Mismatch => return Ok(Planned::Mismatch),
                Fold::Set(held) => {
                    changes.push(change(&delta.key, &held));
                    overlay.insert(delta.key, Some(held));
                }
            }
        }
        Ok(Planned::Ready(Plan { stream, cursor, changes, steps }))
    }

    /// Commits a planned page: replica, inbox and cursor together.
    pub(crate) async fn commit(&self, plan: &Plan) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        for change in &plan.changes {
            put(&transaction, &plan.stream, change).await?;
        }
        for step in &plan.steps {
            match step {
                Step::Arrived(body) => {
                    commands::arrive(&transaction, &plan.stream, body.as_ref().into()).await?;
                }
                Step::Closed(closing) => {
                    commands::closed(&transaction, &plan.stream, closing).await?;
                }
            }
        }
        set_cursor(&transaction, &plan.stream, &plan.cursor).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The replica of a stream: everything that is there, in order of kind,
    /// collection and id.
    pub async fn replica(&self, stream: &StreamName) -> Result<Vec<Change>, StoreError> {
        let select = statement(
            "SELECT kind, collection, id, version, data FROM replica \
             WHERE stream = ? AND data IS NOT NULL ORDER BY kind, collection, id",
            [stream.as_str().into()],
        );
        let rows = self.connection.query_all_raw(select).await?;
        rows.iter().map(read_change).collect()
    }

    async fn held(&self, stream: &StreamName, key: &Key) -> Result<Option<Held>, StoreError> {
        let select = statement(
            "SELECT version, data FROM replica \
             WHERE stream = ? AND kind = ? AND collection = ? AND id = ?",
            [
                stream.as_str().into(),
                key.kind.as_str().into(),
                key.collection.as_str().into(),
                key.id.as_str().into(),
            ],
        );
        let Some(row) = self.connection.query_one_raw(select).await? else { return Ok(None) };
        Ok(Some(Held { version: row.try_get("", "version")?, data: json(&row, "data")? }))
    }
}

pub(super) fn read_change(row: &sea_orm::QueryResult) -> Result<Change, StoreError> {
    Ok(Change {
        kind: text(row, "kind")?,
        collection: text(row, "collection")?,
        id: text(row, "id")?,
        version: row.try_get("", "version")?,
        data: json(row, "data")?,
    })
}

pub(super) fn change(key: &Key, held: &Held) -> Change {
    Change {
        kind: key.kind.clone(),
        collection: key.collection.clone(),
        id: key.id.clone(),
        version: held.version,
        data: held.data.clone(),
    }
}

/// Reads the two kinds that are about commands.
fn command_step(stream: &StreamName, entry: &Entry) -> Option<Step> {
    let step = match entry.kind.as_str() {
        kind::COMMAND => serde_json::from_str(entry.body.get()).map(Step::Arrived),
        kind::COMMAND_CLOSED => {
            serde_json::from_str(entry.body.get()).map(|body: CommandClosedBody| {
                Step::Closed(Closing { command_id: body.command_id, at: entry.at })
            })
        }
        _ => return None,
    };
    // Stopping here would stop the stream for ever: pass it over, loudly.
    step.inspect_err(|error| {
        tracing::error!(%stream, seq = %entry.seq, %error, "a command entry cannot be read");
    })
    .ok()
}

async fn put(
    transaction: &WriteTransaction,
    stream: &StreamName,
    change: &Change,
) -> Result<(), StoreError> {
    let upsert = statement(
        "INSERT INTO replica (stream, kind, collection, id, version, data) \
         VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (stream, kind, collection, id) \
         DO UPDATE SET version = excluded.version, data = excluded.data",
        [
            stream.as_str().into(),
            change.kind.as_str().into(),
            change.collection.as_str().into(),
            change.id.as_str().into(),
            change.version.into(),
            change.data.as_ref().map(|data| data.get()).into(),
        ],
    );
    transaction.execute_raw(upsert).await?;
    Ok(())
}
