//! One stream of one session: acked ≤ sent ≤ read ≤ head.

use tidegate_protocol::id::Seq;

use crate::hub::Watch;
use crate::journal::frame::StreamId;
use crate::journal::snapshot::SnapshotAt;
use crate::session::window::Window;

/// Knows how far a stream has come.
pub trait Head {
    /// The highest position known to be committed.
    fn head(&self) -> Seq;
}

impl Head for Watch {
    fn head(&self) -> Seq {
        self.topic().head()
    }
}

/// How far a session is in a stream.
#[derive(Debug)]
pub struct StreamState<W = Watch> {
    /// Name and epoch.
    pub id: StreamId,
    /// Follows the stream for as long as the session does.
    pub watch: W,
    /// Whether current state is still being sent.
    pub phase: Phase,
    /// The position read: what lies before it was sent or did not concern the
    /// device.
    pub read: Seq,
    /// The position announced to the client.
    pub sent: Seq,
    /// What was delivered and not acked.
    pub window: Window,
    /// Since when the window kept entries back, milliseconds.
    pub(crate) full_since_ms: Option<u64>,
}

/// Whether current state is still being sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Pages of current state, as of at least `seq`.
    Snapshot {
        /// Where the next page begins. Boxed: most streams are past it.
        at: Box<SnapshotAt>,
        /// The head before the first page was read.
        seq: Seq,
    },
    /// The journal.
    Live,
}

impl<W: Head> StreamState<W> {
    /// Continues after a position.
    pub const fn resumed(id: StreamId, after: Seq, window: Window, watch: W) -> Self {
        let phase = Phase::Live;
        Self { id, watch, phase, read: after, sent: after, window, full_since_ms: None }
    }

    /// Begins with current state; `head` was read before its first page.
    pub fn reset(id: StreamId, head: Seq, window: Window, watch: W) -> Self {
        let phase = Phase::Snapshot { at: Box::new(SnapshotAt::Start), seq: head };
        let (read, sent) = (Seq::ZERO, Seq::ZERO);
        Self { id, watch, phase, read, sent, window, full_since_ms: None }
    }

    /// Begins with current state, followed as before.
    pub fn begin_anew(&mut self, id: StreamId, head: Seq, window: Window) {
        self.id = id;
        self.phase = Phase::Snapshot { at: Box::new(SnapshotAt::Start), seq: head };
        (self.read, self.sent) = (Seq::ZERO, Seq::ZERO);
        (self.window, self.full_since_ms) = (window, None);
    }

    /// The head a ping names: the client must have been sent everything up to
    /// it, or be holding the stream back itself.
    pub fn head_to_name(&self, head: Seq) -> Seq {
        let is_held_back = self.phase != Phase::Live || self.window.room().is_none();
        if is_held_back { head } else { head.min(self.sent) }
    }

    /// Acks up to a position that was sent; whether that was new.
    pub(crate) fn ack(&mut self, upto: Seq) -> bool {
        let is_new = self.window.ack(upto);
        if is_new {
            self.full_since_ms = None;
        }
        is_new
    }
}
