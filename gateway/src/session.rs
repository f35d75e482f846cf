//! A device's session as a state machine: what it follows, what it was sent,
//! what it acked, and when it must be pinged, warned or ended.
//!
//! No I/O and no clock of its own: time and pages come in, decisions go out.
//! The socket, the poll and the tests are drivers of the same machine.

use std::sync::Arc;

use tidegate_protocol::code::CloseReason;
use tidegate_protocol::cursor::{Cursor, Cursors};
use tidegate_protocol::id::{Seq, StreamName};
use tidegate_protocol::time::Timestamp;

use crate::hub::Watch;
use crate::journal::frame::{EventsFrame, StreamId};
use crate::journal::read::Room;
use crate::journal::snapshot::SnapshotAt;

pub mod bucket;
pub mod stream;
pub mod verdict;
pub mod window;

use bucket::Bucket;
use stream::{Head, Phase, StreamState};
use window::Window;

/// Times and bounds of sessions; milliseconds.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// How long a full window may stay without an ack.
    pub ack_timeout_ms: u64,
    /// How long before its end a token is warned of at most: one that lives
    /// for less than twice as long is warned of at half of its life.
    pub auth_warning_ms: u64,
    /// Frames a client may send per second.
    pub frames_per_second: u32,
    /// Frames a client may send at once.
    pub frames_burst: u32,
}

/// A point in time on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Milliseconds on a clock that never jumps.
    pub mono_ms: u64,
    /// Wall time.
    pub wall: Timestamp,
}

/// What the machine wants read next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPlan {
    /// Which stream, by its place in the session.
    pub index: usize,
    /// What of it.
    pub what: ReadWhat,
}

/// What to read of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadWhat {
    /// Entries after the position read.
    Events(Room),
    /// The next page of current state.
    Snapshot(SnapshotAt),
}

/// What time asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Catch up, then ping.
    Heartbeat,
    /// Warn that the token ends.
    AuthExpiring,
    /// End the session.
    Close(CloseReason),
}

/// The machine.
#[derive(Debug)]
pub struct Session<W = Watch> {
    options: Arc<SessionOptions>,
    streams: Vec<StreamState<W>>,
    heartbeat_ms: u64,
    heard_ms: u64,
    ping_due_ms: u64,
    token: TokenLife,
    bucket: Bucket,
}

impl<W: Head> Session<W> {
    /// A session without streams yet. `heartbeat_ms` 0 means that nothing is
    /// due by time: a poll.
    pub fn new(
        options: Arc<SessionOptions>,
        heartbeat_ms: u64,
        token_ends: Timestamp,
        now: Moment,
    ) -> Self {
        let bucket = Bucket::full(options.frames_burst, now.mono_ms);
        let token = TokenLife::accepted(token_ends, now.wall, &options);
        Self {
            options,
            streams: Vec::new(),
            heartbeat_ms,
            heard_ms: now.mono_ms,
            ping_due_ms: now.mono_ms + heartbeat_ms,
            token,
            bucket,
        }
    }

    /// The streams followed, the user's own first.
    pub fn streams(&self) -> &[StreamState<W>] {
        &self.streams
    }

    /// The place of a stream.
    pub fn position(&self, name: &StreamName) -> Option<usize> {
        self.streams.iter().position(|stream| stream.id.name == *name)
    }

    /// Follows a stream, at the end or in place of an earlier follow of it.
    pub fn follow(&mut self, stream: StreamState<W>) {
        if let Some(index) = self.position(&stream.id.name) {
            self.streams[index] = stream;
            return;
        }
        // Most sessions follow one or two, and never more later.
        self.streams.reserve_exact(1);
        self.streams.push(stream);
    }

    /// Begins with current state of the stream at this place; `head` was read
    /// before its first page.
    pub fn begin_anew(&mut self, index: usize, id: StreamId, head: Seq, window: Window) {
        self.streams[index].begin_anew(id, head, window);
    }

    /// Stops following the stream at this place.
    pub fn leave(&mut self, index: usize) {
        self.streams.remove(index);
    }

    /// Something came from the client; false when it came too often.
    pub fn heard(&mut self, now: Moment) -> bool {
        self.heard_ms = now.mono_ms;
        self.bucket.take(now.mono_ms, self.options.frames_per_second, self.options.frames_burst)
    }

    /// The gateway is not reading what the client says: its silence does not
    /// count.
    pub const fn excuse(&mut self, now: Moment) {
        self.heard_ms = now.mono_ms;
    }

    /// What to read next. The user's stream goes before shared ones; a stream
    /// with a full window waits for acks.
    pub fn next_read(&mut self, now: Moment) -> Option<ReadPlan> {
        for (index, stream) in self.streams.iter_mut().enumerate() {
            if let Phase::Snapshot { at, .. } = &stream.phase {
                return Some(ReadPlan { index, what: ReadWhat::Snapshot(SnapshotAt::clone(at)) });
            }
            if stream.watch.head() <= stream.read {
                continue;
            }
            if let Some(room) = stream.window.room() {
                return Some(ReadPlan { index, what: ReadWhat::Events(room) });
            }
            stream.full_since_ms.get_or_insert(now.mono_ms);
        }
        None
    }

    /// The stretch at this place was read up to `upto`; what of it concerns
    /// the device is in `frame`, which will be sent.
    pub fn read(&mut self, index: usize, upto: Seq, frame: Option<&EventsFrame>) {
        let stream = &mut self.streams[index];
        debug_assert!(upto >= stream.read);
        stream.read = upto;
        if let Some(frame) = frame {
            debug_assert_eq!(frame.prev, stream.sent);
            stream.sent = frame.seq;
            stream.window.delivered(&frame.entries);
        }
    }

    /// A page of current state was read and will be sent; `next` says where
    /// the following one begins.
    pub fn read_snapshot(&mut self, index: usize, next: Option<SnapshotAt>) {
        let stream = &mut self.streams[index];
        let Phase::Snapshot { at, seq } = &mut stream.phase else { return };
        if let Some(next) = next {
            **at = next;
        } else {
            (stream.read, stream.sent) = (*seq, *seq);
            stream.phase = Phase::Live;
        }
    }

    /// The client holds everything up to these positions. Returns the ones
    /// that count; lower ones, other epochs and streams not followed do not.
    pub fn ack(&mut self, cursors: Cursors) -> Result<Vec<(StreamName, Cursor)>, CloseReason> {
        let mut counted = Vec::new();
        for (name, cursor) in cursors {
            let Some(index) = self.position(&name) else { continue };
            let stream = &mut self.streams[index];
            if cursor.epoch != stream.id.epoch {
                continue;
            }
            let in_reset = matches!(stream.phase, Phase::Snapshot { .. });
            if in_reset || cursor.seq > stream.sent {
                return Err(CloseReason::AckBeyondSent);
            }
            if stream.ack(cursor.seq) {
                counted.push((name, cursor));
            }
        }
        Ok(counted)
    }

    /// Announces positions that were read silently: nothing in them concerned
    /// the device. Streams with a full window are not announced.
    pub fn announce(&mut self) -> Vec<(StreamId, Seq, Seq)> {
        let mut announced = Vec::new();
        for stream in &mut self.streams {
            let is_live = matches!(stream.phase, Phase::Live);
            if is_live && stream.sent < stream.read && stream.window.room().is_some() {
                announced.push((stream.id.clone(), stream.sent, stream.read));
                stream.sent = stream.read;
            }
        }
        announced
    }

    /// A token of the same user came. One that ends when the one in use does
    /// renews nothing, and is not warned of a second time: most likely it is
    /// the same token.
    pub fn renew_token(&mut self, ends: Timestamp, now: Moment) {
        if ends != self.token.ends {
            self.token = TokenLife::accepted(ends, now.wall, &self.options);
        }
    }

    /// When the token ends.
    pub const fn token_ends(&self) -> Timestamp {
        self.token.ends
    }

    /// What is due by now. The caller acts on it and asks again.
    pub fn due(&mut self, now: Moment) -> Option<Due> {
        if self.token.ends <= now.wall {
            return Some(Due::Close(CloseReason::TokenExpired));
        }
        if now.mono_ms >= self.heard_ms + 2 * self.heartbeat_ms {
            return Some(Due::Close(CloseReason::HeartbeatTimeout));
        }
        let full = self.streams.iter().filter_map(|stream| stream.full_since_ms).min();
        if full.is_some_and(|since_ms| now.mono_ms >= since_ms + self.options.ack_timeout_ms) {
            return Some(Due::Close(CloseReason::AckTimeout));
        }
        if self.token.take_warning(now.wall) {
            return Some(Due::AuthExpiring);
        }
        if now.mono_ms >= self.ping_due_ms {
            self.ping_due_ms = now.mono_ms + self.heartbeat_ms;
            return Some(Due::Heartbeat);
        }
        None
    }

    /// Milliseconds until something may be due.
    pub fn due_in_ms(&self, now: Moment) -> u64 {
        let token_ms = u64::try_from(self.token.due().millis() - now.wall.millis()).unwrap_or(0);
        let full = self.streams.iter().filter_map(|stream| stream.full_since_ms).min();
        let due_ms = full
            .map_or(u64::MAX, |since_ms| since_ms + self.options.ack_timeout_ms)
            .min(self.heard_ms + 2 * self.heartbeat_ms)
            .min(self.ping_due_ms);
        due_ms.saturating_sub(now.mono_ms).min(token_ms)
    }
}

/// When a token is to be warned of, once, and when it ends.
#[derive(Debug)]
struct TokenLife {
    ends: Timestamp,
    /// `None` when it was warned of.
    warn_at: Option<Timestamp>,
}

impl TokenLife {
    /// Half of the life it has left stays for its successor to come: a token
    /// of a minute that is warned of a minute before its end would be warned
    /// of at once, and so would every successor.
    fn accepted(ends: Timestamp, now: Timestamp, options: &SessionOptions) -> Self {
        let longest_ms = i64::try_from(options.auth_warning_ms).unwrap_or(i64::MAX);
        let left_ms = ends.millis().saturating_sub(now.millis()).max(0);
        let before_ms = longest_ms.min(left_ms / 2);
        Self { ends, warn_at: Some(ends.plus_millis(-before_ms)) }
    }

    /// Whether the warning is due, which then is given.
    fn take_warning(&mut self, now: Timestamp) -> bool {
        self.warn_at.take_if(|at| *at <= now).is_some()
    }

    /// When something is to be done next.
    fn due(&self) -> Timestamp {
        self.warn_at.unwrap_or(self.ends)
    }
}

#[cfg(test)]
mod tests;
