//! Where a device stands in each stream it follows, and whether a frame
//! continues from there. Shared by the socket session and by polling.
//!
//! Owns positions in memory; never applies anything: what it lets through is
//! applied by the caller, who reports back when it is durable.

use std::collections::BTreeMap;

use tidegate_protocol::cursor::{Cursor, Cursors};
use tidegate_protocol::entry::{Entry, Item};
use tidegate_protocol::id::{Seq, StreamName};
use tidegate_protocol::server::{Events, Snapshot, StreamStatuses, Verdict};

/// Something to apply durably, in the order given.
#[derive(Debug)]
pub enum Page {
    /// A page of the journal.
    Events(EventsPage),
    /// A page of a snapshot.
    Snapshot(SnapshotPage),
}

/// Entries, and the cursor once they are applied.
#[derive(Debug)]
pub struct EventsPage {
    /// The stream.
    pub stream: StreamName,
    /// Where the stream stands after it.
    pub cursor: Cursor,
    /// The entries.
    pub entries: Vec<Entry>,
}

/// Items of current state.
#[derive(Debug)]
pub struct SnapshotPage {
    /// The stream.
    pub stream: StreamName,
    /// Where the stream stands once the snapshot is complete.
    pub cursor: Cursor,
    /// The items.
    pub items: Vec<Item>,
    /// The first page: what an earlier, cut snapshot left is dropped.
    pub first: bool,
    /// The last page: the snapshot replaces the replica, the cursor is set.
    pub last: bool,
}

/// What was made durable.
#[derive(Clone, Debug)]
pub struct Applied {
    stream: StreamName,
    cursor: Cursor,
    entries: usize,
    complete: bool,
}

impl Page {
    /// What to report once this page is durable.
    pub fn receipt(&self) -> Applied {
        match self {
            Self::Events(page) => Applied {
                stream: page.stream.clone(),
                cursor: page.cursor.clone(),
                entries: page.entries.len(),
                complete: true,
            },
            Self::Snapshot(page) => Applied {
                stream: page.stream.clone(),
                cursor: page.cursor.clone(),
                entries: 0,
                complete: page.last,
            },
        }
    }

    /// Its stream.
    pub fn stream(&self) -> &StreamName {
        match self {
            Self::Events(page) => &page.stream,
            Self::Snapshot(page) => &page.stream,
        }
    }
}

/// Why the device must connect anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A frame does not continue from the device's position. The stream's
    /// cursor is forgotten, so that it begins with a snapshot.
    #[error("`{0}` does not continue from this device's position")]
    Gap(StreamName),
    /// Two heartbeats named positions that never came.
    #[error("the session stays behind the heads it is told")]
    Behind,
    /// A frame that is not readable.
    #[error("a frame could not be read")]
    Unreadable,
    /// A frame where the protocol has no place for it.
    #[error("a frame came out of order")]
    OutOfOrder,
}

/// What to do with events that begin before the device's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// A socket never repeats itself: that is a gap.
    Refused,
    /// An HTTP answer may come twice, when the process ended between applying
    /// it and storing its cursor: skip what is held already.
    Trimmed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// A snapshot is coming; the cursor it will set, once its first page came.
    Snapshot(Option<Cursor>),
    /// Entries follow from here.
    Live(Cursor),
}

/// The streams of one session.
#[derive(Debug)]
pub struct Streams {
    held: Cursors,
    open: BTreeMap<StreamName, Phase>,
    acked: Cursors,
    unacked_entries: usize,
    /// Snapshots that an earlier poll left unfinished and this one continues.
    unfinished: Cursors,
}

impl Streams {
    /// From the durable cursors. A cursor in `hello` acks what it claims.
    pub fn new(held: Cursors) -> Self {
        Self {
            acked: held.clone(),
            held,
            open: BTreeMap::new(),
            unacked_entries: 0,
            unfinished: Cursors::new(),
        }
    }

    /// Continues these unfinished snapshots instead of beginning them anew.
    #[must_use]
    pub fn continuing(mut self, unfinished: Cursors) -> Self {
        self.unfinished = unfinished;
        self
    }

    /// What is durable.
    pub fn held(&self) -> &Cursors {
        &self.held
    }

    /// Takes over how streams begin. Returns those that begin anew and are not
    /// continued from an earlier poll: their stored cursors are to be forgotten.
    pub fn open(&mut self, statuses: &StreamStatuses) -> Result<Vec<StreamName>, Fault> {
        let mut resets = Vec::new();
        for (stream, status) in statuses {
            let phase = match status.verdict {
                Verdict::Resumed => match (self.held.get(stream), self.unfinished.get(stream)) {
                    (_, Some(progress)) => Phase::Snapshot(Some(progress.clone())),
                    (Some(cursor), None) => Phase::Live(cursor.clone()),
                    (None, None) => return Err(Fault::Gap(stream.clone())),
                },
                Verdict::Reset => {
                    // A position of the old numbering must not be acked.
                    self.held.remove(stream);
                    self.acked.remove(stream);
                    let progress = self.unfinished.get(stream).cloned();
                    if progress.is_none() {
                        resets.push(stream.clone());
                    }
                    Phase::Snapshot(progress)
                }
                Verdict::Forbidden | Verdict::Unknown => {
                    tracing::warn!(%stream, verdict = %status.verdict, "stream is not available");
                    self.open.remove(stream);
                    continue;
                }
            };
            self.open.insert(stream.clone(), phase);
        }
        Ok(resets)
    }

    /// Checks a page of the journal; `None` when there is nothing to apply.
    pub fn events(&mut self, events: Events, overlap: Overlap) -> Result<Option<Page>, Fault> {
        let Some(phase) = self.open.get_mut(&events.stream) else { return Ok(None) };
        let Phase::Live(position) = phase else { return Err(Fault::Gap(events.stream)) };
        let continues = match overlap {
            Overlap::Refused => events.prev == position.seq,
            Overlap::Trimmed => events.prev <= position.seq,
        };
        if !continues || events.epoch != position.epoch || !is_ordered(&events) {
            return Err(Fault::Gap(events.stream));
        }
        if events.seq <= position.seq {
            return Ok(None);
        }
        let held = position.seq;
        position.seq = events.seq;
        let mut entries = events.entries;
        entries.retain(|entry| entry.seq > held);
        let cursor = position.clone();
        Ok(Some(Page::Events(EventsPage { stream: events.stream, cursor, entries })))
    }

    /// Checks a page of a snapshot.
    pub fn snapshot(&mut self, snapshot: Snapshot) -> Result<Option<Page>, Fault> {
        let Some(phase) = self.open.get_mut(&snapshot.stream) else { return Ok(None) };
        let cursor = Cursor { epoch: snapshot.epoch, seq: snapshot.seq };
        let first = match phase {
            Phase::Snapshot(Some(progress)) => *progress != cursor,
            Phase::Snapshot(None) => true,
            // It would replace the replica by a part of it.
            Phase::Live(_) => return Err(Fault::Gap(snapshot.stream)),
        };
        *phase = if snapshot.last {
            Phase::Live(cursor.clone())
        } else {
            Phase::Snapshot(Some(cursor.clone()))
        };
        Ok(Some(Page::Snapshot(SnapshotPage {
            stream: snapshot.stream,
            cursor,
            items: snapshot.items,
            first,
            last: snapshot.last,
        })))
    }

    /// A page is durable.
    pub fn applied(&mut self, page: &Applied) {
        self.unacked_entries += page.entries;
        if page.complete {
            self.unfinished.remove(&page.stream);
            self.held.insert(page.stream.clone(), page.cursor.clone());
        } else {
            self.unfinished.insert(page.stream.clone(), page.cursor.clone());
        }
    }

    /// Entries applied since the last ack.
    pub fn unacked_entries(&self) -> usize {
        self.unacked_entries
    }

    /// Whether everything received is durable and acked.
    pub fn is_all_acked(&self) -> bool {
        self.live().all(|(stream, position)| self.acked.get(stream) == Some(position))
    }

    /// Whether a live stream lacks what the gateway says it has.
    pub fn is_behind(&self, heads: &BTreeMap<StreamName, Seq>) -> bool {
        self.live().any(|(stream, position)| heads.get(stream).is_some_and(|h| *h > position.seq))
    }

    /// The durable positions not acked yet; from now on they count as acked.
    pub fn take_ack(&mut self) -> Cursors {
        let mut cursors = Cursors::new();
        for (stream, phase) in &self.open {
            // An ack for a stream still in reset would close the session.
            let (Phase::Live(_), Some(held)) = (phase, self.held.get(stream)) else { continue };
            if self.acked.get(stream) != Some(held) {
                cursors.insert(stream.clone(), held.clone());
            }
        }
        self.acked.extend(cursors.clone());
        self.unacked_entries = 0;
        cursors
    }

    fn live(&self) -> impl Iterator<Item = (&StreamName, &Cursor)> {
        self.open.iter().filter_map(|(stream, phase)| match phase {
            Phase::Live(position) => Some((stream, position)),
            Phase::Snapshot(_) => None,
        })
    }
}

/// Whether the entries rise strictly within (prev, seq].
fn is_ordered(events: &Events) -> bool {
    let mut last = events.prev;
    for entry in &events.entries {
        if entry.seq <= last {
            return false;
        }
        last = entry.seq;
    }
    last <= events.seq
}
