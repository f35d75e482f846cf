//! Reading stretches of a stream, and pages of current state, from the
//! database in wire form.

use std::collections::HashSet;
use std::sync::Arc;

use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use tidegate_entity::{command, shared_record};
use tidegate_protocol::command::Priority;
use tidegate_protocol::entry::{CommandBody, Item, RecordBody, RecordOp, kind};
use tidegate_protocol::id::{CommandId, DeviceId, Epoch, Seq};
use tidegate_protocol::limits::{PAGE_BYTES, PAGE_ENTRIES, WINDOW_BYTES};
use tidegate_protocol::time::Timestamp;

use crate::journal::frame::{EventsFrame, StreamId};
use crate::journal::ring::Stretch;
use crate::journal::{Ready, Viewer};
use crate::limits::ROWS_PER_READ;
use crate::store::journal::{JournalPage, JournalRow};
use crate::store::{self, Store};

/// How much a page may deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Entries.
    pub entries: usize,
    /// Bytes; a page holds at least one entry all the same.
    pub bytes: usize,
}

impl Room {
    /// A whole page.
    pub const PAGE: Self = Self { entries: PAGE_ENTRIES, bytes: PAGE_BYTES };

    /// What a page may hold when the window has this much left.
    pub fn of_window(entries: usize, bytes: usize) -> Self {
        debug_assert!(bytes <= WINDOW_BYTES);
        Self { entries: entries.min(PAGE_ENTRIES), bytes: bytes.min(PAGE_BYTES) }
    }

    /// Whether it is a whole page, so that the frame may be shared.
    pub fn is_full(self) -> bool {
        self == Self::PAGE
    }

    /// Starts a selection of entries.
    pub const fn select(self) -> Selection {
        Selection { room: self, bytes: 0, entries: Vec::new() }
    }
}

/// Entries chosen for a page.
#[derive(Debug)]
pub struct Selection {
    room: Room,
    bytes: usize,
    entries: Vec<Arc<Ready>>,
}

impl Selection {
    /// Takes an entry; false when the page ended before it. The entry that
    /// reaches the target in bytes is still taken.
    pub fn take(&mut self, entry: &Arc<Ready>) -> bool {
        if self.is_full() {
            return false;
        }
        self.bytes += entry.json.len();
        self.entries.push(Arc::clone(entry));
        true
    }

    /// Whether the page has ended.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= self.room.entries
            || (self.bytes >= self.room.bytes && !self.entries.is_empty())
    }

    /// The page.
    pub fn page(self, stretch: &Stretch<'_>, upto: Seq, head: Seq) -> Page {
        let frame = (!self.entries.is_empty()).then(|| {
            Arc::new(EventsFrame::build(stretch.stream, stretch.sent, upto, &self.entries))
        });
        Page { upto, head, frame }
    }
}

/// A stretch that was read.
#[derive(Clone, Debug)]
pub struct Page {
    /// The position read up to.
    pub upto: Seq,
    /// The head at the read.
    pub head: Seq,
    /// What concerns the viewer; `None` when nothing does.
    pub frame: Option<Arc<EventsFrame>>,
}

/// What reading a stretch can come to.
#[derive(Clone, Debug)]
pub enum Read {
    /// A page.
    Page(Page),
    /// The journal no longer reaches back to the position, or its epoch is
    /// another one: the client must begin anew.
    Overtaken,
}

/// Reads the stretch from the database.
pub async fn stretch(
    store: &Store,
    stretch: &Stretch<'_>,
    viewer: &Viewer,
    now: Timestamp,
) -> Result<Read, DbErr> {
    let mut selection = stretch.room.select();
    let mut at = stretch.after;
    loop {
        let name = stretch.stream.name.as_str();
        let page = store::journal::page(store.readers(), name, at.get(), ROWS_PER_READ).await?;
        let Some(page) = page else { return Ok(Read::Overtaken) };
        if page.epoch != stretch.stream.epoch.as_str() || page.trimmed > at.get() {
            return Ok(Read::Overtaken);
        }
        let settled = settled(store, &page, viewer).await?;
        let exhausted = page.rows.len() < usize::try_from(ROWS_PER_READ).unwrap_or(usize::MAX);
        for row in &page.rows {
            let ready = visible(row, &settled, viewer, now);
            if let Some(ready) = ready
                && !selection.take(&ready)
            {
                return Ok(Read::Page(selection.page(stretch, at, Seq::new(page.head))));
            }
            at = Seq::new(row.entry.seq);
        }
        if exhausted || selection.is_full() {
            return Ok(Read::Page(selection.page(stretch, at, Seq::new(page.head))));
        }
    }
}

/// Commands of a later attempt on this page that the device has settled.
async fn settled(
    store: &Store,
    page: &JournalPage,
    viewer: &Viewer,
) -> Result<HashSet<String>, DbErr> {
    let retried: Vec<String> = page
        .rows
        .iter()
        .filter(|row| row.command.is_some_and(|command| command.open && command.attempt > 1))
        .filter_map(|row| row.entry.command_id.clone())
        .collect();
    if retried.is_empty() {
        return Ok(HashSet::new());
    }
    let device_id = viewer.device_id.as_str();
    let settled = store::outcome::settled_by(store.readers(), device_id, &retried).await?;
    Ok(settled.into_iter().collect())
}

/// The row in wire form, if it concerns the viewer. A command that is over is
/// left out: its `command_closed` follows.
fn visible(
    row: &JournalRow,
    settled: &HashSet<String>,
    viewer: &Viewer,
    now: Timestamp,
) -> Option<Arc<Ready>> {
    let entry = &row.entry;
    if !viewer.is_concerned(entry.device_id.as_deref(), entry.requires.as_deref()) {
        return None;
    }
    if entry.kind != kind::COMMAND {
        return Some(Ready::from_row(entry, 0, Timestamp::default()));
    }
    let state = row.command?;
    let is_settled = entry.command_id.as_ref().is_some_and(|id| settled.contains(id));
    if !state.open || state.expires_at <= now.millis() || is_settled {
        return None;
    }
    let attempt = attempt_of(&entry.body);
    Some(Ready::from_row(entry, attempt, Timestamp::from_millis(state.expires_at)))
}

/// The attempt that a stored command body carries.
fn attempt_of(body: &str) -> i32 {
    #[derive(Deserialize)]
    struct Attempt {
        attempt: i32,
    }
    serde_json::from_str::<Attempt>(body).map_or(1, |body| body.attempt)
}

/// How far a snapshot has come: after which item the next page begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotAt {
    /// At the beginning.
    Start,
    /// A user's commands, after this position.
    Commands(i64),
    /// A shared stream's records, after this collection and id.
    Records(String, String),
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
    let limit = limit.min(PAGE_ENTRIES);
    if let Some(user_id) = stream.name.owner() {
        let after = if let SnapshotAt::Commands(after) = at { *after } else { 0 };
        return commands(store, user_id, after, limit, viewer, now).await;
    }
    let after = match at {
        SnapshotAt::Records(collection, id) => (collection.as_str(), id.as_str()),
        SnapshotAt::Start | SnapshotAt::Commands(_) => ("", ""),
    };
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
    let rows = store::command::open_after(store.readers(), user_id, after, ROWS_PER_READ).await?;
    let retried: Vec<String> =
        rows.iter().filter(|row| row.attempt > 1).map(|row| row.id.clone()).collect();
    let settled =
        store::outcome::settled_by(store.readers(), viewer.device_id.as_str(), &retried).await?;
    let exhausted = rows.len() < usize::try_from(ROWS_PER_READ).unwrap_or(usize::MAX);
    let mut page = SnapshotPage { items: Vec::new(), commands: Vec::new(), next: None };
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
    page.next = (!exhausted).then_some(SnapshotAt::Commands(at));
    Ok(page)
}

fn command_item(row: &command::Model) -> Option<(CommandId, Item)> {
    let body = command_body(row)?;
    let body_json = serde_json::value::to_raw_value(&body).ok()?;
    Some((body.command_id, Item { kind: kind::COMMAND.to_owned(), body: body_json }))
}

/// The body of a command's entry for its current attempt. `None` if a stored
/// value is not what the gateway writes.
pub fn command_body(row: &command::Model) -> Option<CommandBody> {
    Some(CommandBody {
        command_id: CommandId::parse(&row.id).ok()?,
        attempt: row.attempt,
        data_type: row.data_type.clone(),
        value: serde_json::value::RawValue::from_string(row.value.clone()).ok()?,
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
    let rows = store::record::page(store.readers(), name, after, ROWS_PER_READ).await?;
    let exhausted = rows.len() < usize::try_from(ROWS_PER_READ).unwrap_or(usize::MAX);
    let mut page = SnapshotPage { items: Vec::new(), commands: Vec::new(), next: None };
    let mut bytes = 0;
    let mut at = None;
    for row in rows {
        if page.items.len() >= limit || bytes >= PAGE_BYTES {
            page.next = at;
            return Ok(page);
        }
        at = Some(SnapshotAt::Records(row.collection.clone(), row.id.clone()));
        if let Some(item) = record_item(row) {
            bytes += item.body.get().len();
            page.items.push(item);
        }
    }
    page.next = if exhausted { None } else { at };
    Ok(page)
}

fn record_item(row: shared_record::Model) -> Option<Item> {
    let data = serde_json::value::RawValue::from_string(row.data?).ok()?;
    let body = RecordBody {
        collection: row.collection,
        id: row.id,
        version: row.version,
        op: RecordOp::Put,
        base_version: None,
        data: Some(data),
        patch: None,
    };
    let body = serde_json::value::to_raw_value(&body).ok()?;
    Some(Item { kind: kind::RECORD.to_owned(), body })
}

/// Reads an epoch that the gateway wrote itself.
pub fn epoch(text: &str) -> Result<Epoch, DbErr> {
    Epoch::parse(text).map_err(|error| DbErr::Custom(format!("stored epoch: {error}")))
}
