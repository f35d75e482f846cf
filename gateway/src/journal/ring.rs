//! The newest entries of a stream with local sessions, ready to send. A hint:
//! whoever does not find what it needs reads the database.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use tidegate_protocol::id::{CommandId, Seq};
use tidegate_protocol::time::Timestamp;

use crate::journal::frame::{EventsFrame, StreamId};
use crate::journal::read::{Page, Room};
use crate::journal::{Ready, Viewer};
use crate::limits;
use crate::store::portion::Cost;

/// Entries without a gap, newest last.
#[derive(Debug)]
pub struct Ring {
    entries: VecDeque<Arc<Ready>>,
    bytes: usize,
    /// Shared streams only: the newest finished frames, for the sessions that
    /// stand where the first of them stood.
    frames: Vec<Arc<EventsFrame>>,
    shared: bool,
}

/// A stretch to read.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a> {
    /// Stream and epoch for the frame.
    pub stream: &'a StreamId,
    /// The position announced to the client: the frame's `prev`.
    pub sent: Seq,
    /// The position read.
    pub after: Seq,
    /// How much may be delivered.
    pub room: Room,
}

/// Finished frames kept: sessions stand at a handful of positions at a time.
const FRAMES: usize = 4;

impl Ring {
    /// An empty ring; allocates nothing.
    pub const fn new(shared: bool) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, frames: Vec::new(), shared }
    }

    /// Appends an entry. One that does not follow the last clears the ring:
    /// a gap must be read from the database.
    pub fn push(&mut self, entry: Arc<Ready>) {
        if self.entries.back().is_some_and(|last| last.seq.next() != entry.seq) {
            self.clear();
        }
        self.frames.clear();
        self.bytes += entry.json.len();
        self.entries.push_back(entry);
        let (entries_max, bytes_max) = if self.shared {
            (limits::RING_ENTRIES_SHARED, limits::RING_BYTES_SHARED)
        } else {
            (limits::RING_ENTRIES_USER, limits::RING_BYTES_USER)
        };
        while self.entries.len() > entries_max || self.bytes > bytes_max {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.json.len();
        }
    }

    /// Appends entries, oldest first.
    pub fn extend(&mut self, entries: impl IntoIterator<Item = Arc<Ready>>) {
        for entry in entries {
            self.push(entry);
        }
    }

    /// Forgets everything and gives its memory back.
    pub fn clear(&mut self) {
        self.entries = VecDeque::new();
        self.frames = Vec::new();
        self.bytes = 0;
    }

    /// Reads the stretch, if the ring holds all of it.
    pub fn read(&mut self, stretch: &Stretch<'_>, viewer: &Viewer, now: Timestamp) -> Option<Page> {
        let first = self.entries.front()?.seq;
        let last = self.entries.back()?.seq;
        if first > stretch.after.next() || last <= stretch.after {
            return None;
        }
        let shareable = self.shared && stretch.sent == stretch.after && stretch.room.is_full();
        if shareable && let Some(frame) = self.frames.iter().find(|f| f.prev == stretch.sent) {
            let (upto, frame) = (frame.seq, Some(Arc::clone(frame)));
            return Some(Page { upto, head: last, frame, cost: Cost::default() });
        }
        let page = self.select(stretch, viewer, now)?;
        if shareable && let Some(frame) = &page.frame {
            if self.frames.len() == FRAMES {
                self.frames.remove(0);
            }
            self.frames.push(Arc::clone(frame));
        }
        Some(page)
    }

    fn select(&self, stretch: &Stretch<'_>, viewer: &Viewer, now: Timestamp) -> Option<Page> {
        let last = self.entries.back()?.seq;
        let skip = usize::try_from(stretch.after.get() + 1 - self.entries.front()?.seq.get());
        let newer = self.entries.range(skip.ok()?..);
        let closed = closed_in(newer.clone());
        let mut selection = stretch.room.select();
        let mut upto = last;
        for entry in newer {
            // An earlier outcome may have taken this device out: only the
            // database knows.
            if entry.command.as_ref().is_some_and(|command| command.attempt.number > 1) {
                return None;
            }
            if is_left_out(entry, &closed, viewer, now) {
                continue;
            }
            if !selection.take(entry) {
                upto = Seq::new(entry.seq.get() - 1);
                break;
            }
        }
        Some(selection.page(stretch, upto, last))
    }
}

fn closed_in<'a>(entries: impl Iterator<Item = &'a Arc<Ready>>) -> HashSet<&'a CommandId> {
    entries.filter_map(|entry| entry.closes.as_ref()).collect()
}

fn is_left_out(
    entry: &Ready,
    closed: &HashSet<&CommandId>,
    viewer: &Viewer,
    now: Timestamp,
) -> bool {
    let is_over = entry
        .command
        .as_ref()
        .is_some_and(|command| command.expires_at <= now || closed.contains(&command.attempt.id));
    is_over || !viewer.is_concerned(entry.device_id.as_deref(), entry.requires.as_deref())
}
