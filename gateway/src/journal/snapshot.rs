//! Reading pages of a stream's current state from the database in wire form.

use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tidegate_entity::{command, conflict, shared_record};
use tidegate_protocol::command::Priority;
use tidegate_protocol::entry::{
    CommandBody, ConflictBody, ConflictStatus, Item, ItemBody, RecordBody, RecordOp, kind,
};
use tidegate_protocol::id::{CommandId, DeviceId};
use tidegate_protocol::limits::{PAGE_BYTES, PAGE_ENTRIES};
use tidegate_protocol::time::Timestamp;

use crate::config::check::MARKETPLACE;
use crate::journal::Viewer;
use crate::journal::frame::StreamId;
use crate::resolve::conflict::Conflict;
use crate::store::market::Held;
use crate::store::market::shown::shown_text;
use crate::store::portion::{Cost, Portion, Portioned};
use crate::store::{self, Store};

/// How far a snapshot has come: after which item the next page begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotAt {
    /// At the beginning.
    Start,
    /// A user's commands, after this position.
    Commands(i64),
    /// A user's open conflicts, after this one.
    Conflicts(String),
    /// A shared stream's records, after this collection and id.
    Records(String, String),
    /// The marketplace's items, after this kind and id.
    Market(String, String),
}

/// A page of current state.
#[derive(Debug)]
pub struct SnapshotPage {
    /// The items.
    pub items: Vec<Item>,
    /// Commands among them.
    pub commands: Vec<(CommandId, i32)>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<SnapshotAt>,
    /// What was read from the database for it.
    pub cost: Cost,
}

/// Reads a page of current state of a stream.
pub async fn snapshot(
    store: &Store,
    stream: &StreamId,
    at: &SnapshotAt,
    limit: usize,
    viewer: &Viewer,
    now: Timestamp,
) -> Result<SnapshotPage, DbErr> {
    let _turn = store.turn().await;
    let limit = limit.min(PAGE_ENTRIES);
    if let Some(user_id) = stream.name.owner() {
        let after = match at {
            SnapshotAt::Conflicts(after) => {
                return conflicts(store, user_id, after, SnapshotRoom::of(limit)).await;
            }
            SnapshotAt::Commands(after) => *after,
            SnapshotAt::Start | SnapshotAt::Records(..) | SnapshotAt::Market(..) => 0,
        };
        let mut page = commands(store, user_id, after, limit, viewer, now).await?;
        if page.next.is_none() {
            // What is left of the page takes what comes next.
            let taken = page.items.iter().map(|item| item.body.get().len()).sum();
            let room = SnapshotRoom { items: limit - page.items.len(), taken };
            let rest = conflicts(store, user_id, "", room).await?;
            page.items.extend(rest.items);
            page.next = rest.next;
            page.cost += rest.cost;
        }
        return Ok(page);
    }
    let after = match at {
        SnapshotAt::Records(first, id) | SnapshotAt::Market(first, id) => {
            (first.as_str(), id.as_str())
        }
        SnapshotAt::Start | SnapshotAt::Commands(_) | SnapshotAt::Conflicts(_) => ("", ""),
    };
    if stream.name.as_str() == MARKETPLACE {
        return market(store, after, limit).await;
    }
    records(store, stream, after, limit).await
}

async fn commands(
    store: &Store,
    user_id: &str,
    after: i64,
    limit: usize,
    viewer: &Viewer,
    now: Timestamp,
) -> Result<SnapshotPage, DbErr> {
    let portion = SnapshotRoom::of(limit).portion();
    let read = store::command::open_after(store.readers(), user_id, after, portion).await?;
    let Portioned { rows, is_last, cost } = read;
    let retried: Vec<String> =
        rows.iter().filter(|row| row.attempt > 1).map(|row| row.id.clone()).collect();
    let settled =
        store::outcome::settled_by(store.readers(), viewer.device_id.as_str(), &retried).await?;
    let mut page = SnapshotPage { items: Vec::new(), commands: Vec::new(), next: None, cost };
    let (mut at, mut bytes) = (after, 0);
    for row in &rows {
        if page.items.len() >= limit || bytes >= PAGE_BYTES {
            page.next = Some(SnapshotAt::Commands(at));
            return Ok(page);
        }
        at = row.last_seq;
        let concerned = viewer.is_concerned(row.device_id.as_deref(), row.requires.as_deref());
        if !concerned || row.expires_at <= now.millis() || settled.contains(&row.id) {
            continue;
        }
        if let Some((command_id, item)) = command_item(row) {
            bytes += item.body.get().len();
            page.items.push(item);
            page.commands.push((command_id, row.attempt));
        }
    }
    page.next = (!is_last).then_some(SnapshotAt::Commands(at));
    Ok(page)
}

async fn conflicts(
    store: &Store,
    user_id: &str,
    after: &str,
    room: SnapshotRoom,
) -> Result<SnapshotPage, DbErr> {
    let db = store.readers();
    let read = store::conflict::open_of_user(db, user_id, after, room.portion()).await?;
    let item = |row: conflict::Model| {
        let at = SnapshotAt::Conflicts(row.id.clone());
        let body = conflict_body(&row).and_then(|body| to_raw_value(&body).ok());
        (at, body.map(|body| Item { kind: kind::CONFLICT.to_owned(), body }))
    };
    Ok(gather(&SnapshotAt::Conflicts(after.to_owned()), read, item, room))
}

/// What devices are told of a conflict. `None` if a stored verdict is not what
/// the gateway writes.
pub fn conflict_body(row: &conflict::Model) -> Option<ConflictBody> {
    let verdict: Conflict = serde_json::from_str(&row.verdict).ok()?;
    Some(ConflictBody {
        conflict_id: row.id.clone(),
        subject: row.subject.clone(),
        status: ConflictStatus::from_word(&row.status)?,
        conflict_type: verdict.conflict_type.as_str().to_owned(),
        severity: row.severity.clone(),
        fields: verdict.fields.into_iter().map(|disputed| disputed.field).collect(),
        strategy: verdict.strategy.as_str().to_owned(),
        decided_by: verdict.decided_by.word(),
        restored_at: row.restored_at.map(Timestamp::from_millis),
        version: verdict.result.version,
    })
}

async fn market(store: &Store, after: (&str, &str), limit: usize) -> Result<SnapshotPage, DbErr> {
    let room = SnapshotRoom::of(limit);
    let read = store::market::page(store.readers(), after, room.portion()).await?;
    let item = |row: Held| {
        let at = SnapshotAt::Market(row.kind.clone(), row.id.clone());
        (at, market_item(row))
    };
    let start = SnapshotAt::Market(after.0.to_owned(), after.1.to_owned());
    Ok(gather(&start, read, item, room))
}

fn market_item(row: Held) -> Option<Item> {
    let data = RawValue::from_string(shown_text(row.data, row.rated.as_deref())?).ok()?;
    let body = ItemBody {
        id: row.id,
        version: row.version,
        op: RecordOp::Put,
        base_version: None,
        data: Some(data),
        patch: None,
    };
    Some(Item { kind: row.kind, body: to_raw_value(&body).ok()? })
}

/// What a page may still take.
#[derive(Clone, Copy)]
struct SnapshotRoom {
    items: usize,
    /// Bytes that it holds already.
    taken: usize,
}

impl SnapshotRoom {
    /// A page of its own.
    const fn of(items: usize) -> Self {
        Self { items, taken: 0 }
    }

    /// What to read for it. Also where there is no room: whether anything
    /// follows must be known.
    fn portion(self) -> Portion {
        Portion { rows: self.items.max(1), bytes: PAGE_BYTES.saturating_sub(self.taken).max(1) }
    }
}

/// Fills a page from what one read brought. `item` tells of a row where the page
/// after it begins, and its item if it makes one. A page without room goes on
/// from `start`.
fn gather<T>(
    start: &SnapshotAt,
    read: Portioned<T>,
    item: impl Fn(T) -> (SnapshotAt, Option<Item>),
    room: SnapshotRoom,
) -> SnapshotPage {
    let Portioned { rows, is_last, cost } = read;
    let mut page = SnapshotPage { items: Vec::new(), commands: Vec::new(), next: None, cost };
    let mut bytes = room.taken;
    let mut last = None;
    for (at, item) in rows.into_iter().map(item) {
        if page.items.len() >= room.items || bytes >= PAGE_BYTES {
            page.next = Some(last.unwrap_or_else(|| start.clone()));
            return page;
        }
        last = Some(at);
        if let Some(item) = item {
            bytes += item.body.get().len();
            page.items.push(item);
        }
    }
    page.next = if is_last { None } else { last };
    page
}

fn command_item(row: &command::Model) -> Option<(CommandId, Item)> {
    let body = command_body(row)?;
    let body_json = to_raw_value(&body).ok()?;
    Some((body.command_id, Item { kind: kind::COMMAND.to_owned(), body: body_json }))
}

/// The body of a command's entry for its current attempt. `None` if a stored
/// value is not what the gateway writes.
pub fn command_body(row: &command::Model) -> Option<CommandBody> {
    Some(CommandBody {
        command_id: CommandId::parse(&row.id).ok()?,
        attempt: row.attempt,
        data_type: row.data_type.clone(),
        value: RawValue::from_string(row.value.clone()).ok()?,
        priority: Priority::from_word(&row.priority)?,
        expires_at: Timestamp::from_millis(row.expires_at),
        device_id: row.device_id.as_deref().and_then(|id| DeviceId::parse(id).ok()),
    })
}

async fn records(
    store: &Store,
    stream: &StreamId,
    after: (&str, &str),
    limit: usize,
) -> Result<SnapshotPage, DbErr> {
    let name = stream.name.as_str();
    let room = SnapshotRoom::of(limit);
    let read = store::record::page(store.readers(), name, after, room.portion()).await?;
    let item = |row: shared_record::Model| {
        let at = SnapshotAt::Records(row.collection.clone(), row.id.clone());
        (at, record_item(row))
    };
    let start = SnapshotAt::Records(after.0.to_owned(), after.1.to_owned());
    Ok(gather(&start, read, item, room))
}

fn record_item(row: shared_record::Model) -> Option<Item> {
    let data = RawValue::from_string(row.data?).ok()?;
    let body = RecordBody {
        collection: row.collection,
        id: row.id,
        version: row.version,
        op: RecordOp::Put,
        base_version: None,
        data: Some(data),
        patch: None,
    };
    let body = to_raw_value(&body).ok()?;
    Some(Item { kind: kind::RECORD.to_owned(), body })
}
