//! Reading stretches of a stream from the database in wire form.

use std::collections::HashSet;
use std::sync::Arc;

use sea_orm::DbErr;
use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate_entity::journal_entry::Model;
use tidegate_protocol::entry::{CommandBody, kind};
use tidegate_protocol::id::{CommandId, DeviceId, Epoch, Seq};
use tidegate_protocol::limits::{PAGE_BYTES, PAGE_ENTRIES, WINDOW_BYTES};
use tidegate_protocol::time::Timestamp;

use crate::journal::frame::EventsFrame;
use crate::journal::ring::Stretch;
use crate::journal::{OfCommand, Ready, Viewer};
use crate::store::journal::{FirstAttempt, JournalPage, JournalRow};
use crate::store::portion::{Cost, Portion};
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

    /// What the next read of the database should bring. The fewer rows of the
    /// last one were for the viewer, the more; never more than the page takes.
    fn wanted(&self, rows: usize) -> Portion {
        let bytes = self.room.bytes.saturating_sub(self.bytes).max(1);
        Portion { rows: rows.clamp(1, PAGE_ENTRIES), bytes }
    }

    /// The page.
    pub fn page(self, stretch: &Stretch<'_>, upto: Seq, head: Seq) -> Page {
        let frame = (!self.entries.is_empty()).then(|| {
            Arc::new(EventsFrame::build(stretch.stream, stretch.sent, upto, &self.entries))
        });
        Page { upto, head, frame, cost: Cost::default() }
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
    /// What was read from the database for it.
    pub cost: Cost,
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
    let _turn = store.turn().await;
    let mut selection = stretch.room.select();
    let (mut at, mut cost, mut rows) = (stretch.after, Cost::default(), stretch.room.entries);
    loop {
        let name = stretch.stream.name.as_str();
        let portion = selection.wanted(rows);
        let page = store::journal::page(store.readers(), name, at.get(), portion).await?;
        let Some(page) = page else { return Ok(Read::Overtaken) };
        if page.epoch != stretch.stream.epoch.as_str() || page.trimmed > at.get() {
            return Ok(Read::Overtaken);
        }
        let settled = settled(store, &page, viewer).await?;
        cost += Cost::of(page.rows.iter().map(|row| row.entry.body.len()));
        let head = Seq::new(page.head);
        for row in &page.rows {
            let ready = visible(row, &settled, viewer, now);
            if let Some(ready) = ready
                && !selection.take(&ready)
            {
                return Ok(Read::Page(Page { cost, ..selection.page(stretch, at, head) }));
            }
            at = Seq::new(row.entry.seq);
        }
        at = Seq::new(page.upto);
        if at >= head || selection.is_full() {
            return Ok(Read::Page(Page { cost, ..selection.page(stretch, at, head) }));
        }
        rows *= 2;
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
        return Some(Ready::from_row(entry, OfCommand::default()));
    }
    let state = row.command?;
    let is_settled = entry.command_id.as_ref().is_some_and(|id| settled.contains(id));
    if !state.open || state.expires_at <= now.millis() || is_settled {
        return None;
    }
    let expires_at = Timestamp::from_millis(state.expires_at);
    let Some(first) = &row.first else {
        let told = OfCommand { attempt: attempt_of(&entry.body), look_at: None, expires_at };
        return Some(Ready::from_row(entry, told));
    };
    let body = first_body(entry, first, expires_at)?;
    let body = serde_json::to_string(&body).ok()?;
    let told = OfCommand { attempt: 1, look_at: None, expires_at };
    Some(Ready::from_row(&Model { body, ..entry.clone() }, told))
}

/// What the entry of a command's first attempt tells. `None` if a stored value
/// is not what the gateway writes.
fn first_body(entry: &Model, first: &FirstAttempt, expires_at: Timestamp) -> Option<CommandBody> {
    Some(CommandBody {
        command_id: CommandId::parse(entry.command_id.as_deref()?).ok()?,
        attempt: 1,
        data_type: first.data_type.clone(),
        value: RawValue::from_string(entry.body.clone()).ok()?,
        priority: first.priority,
        expires_at,
        device_id: entry.device_id.as_deref().and_then(|id| DeviceId::parse(id).ok()),
    })
}

/// The attempt that a stored command body carries.
fn attempt_of(body: &str) -> i32 {
    #[derive(Deserialize)]
    struct Attempt {
        attempt: i32,
    }
    serde_json::from_str::<Attempt>(body).map_or(1, |body| body.attempt)
}

/// Reads an epoch that the gateway wrote itself.
pub fn epoch(text: &str) -> Result<Epoch, DbErr> {
    Epoch::parse(text).map_err(|error| DbErr::Custom(format!("stored epoch: {error}")))
}
