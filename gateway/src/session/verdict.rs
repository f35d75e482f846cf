//! How a stream begins for a client, from its cursor and the stream's head.

use tidegate_entity::stream_head;
use tidegate_protocol::cursor::Cursor;
use tidegate_protocol::id::Seq;
use tidegate_protocol::server::{ResetReason, StreamStatus, Verdict};

use crate::hub::Watch;
use crate::journal::frame::StreamId;
use crate::session::stream::StreamState;
use crate::session::window::Window;

/// How a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// After this position, without a gap.
    Resumed(Seq),
    /// From current state.
    Reset(ResetReason),
}

/// Judges a cursor. Never a partial recovery: either every entry after it is
/// there, or the client begins anew.
pub fn judge(cursor: Option<&Cursor>, head: &stream_head::Model) -> Beginning {
    let Some(cursor) = cursor else { return Beginning::Reset(ResetReason::New) };
    if cursor.epoch.as_str() != head.epoch {
        return Beginning::Reset(ResetReason::EpochChanged);
    }
    if cursor.seq.get() > head.seq {
        return Beginning::Reset(ResetReason::Ahead);
    }
    if cursor.seq.get() < head.trimmed {
        return Beginning::Reset(ResetReason::Trimmed);
    }
    Beginning::Resumed(cursor.seq)
}

impl Beginning {
    /// The stream as `welcome` tells it.
    pub fn status(self, id: &StreamId, head: Seq) -> StreamStatus {
        let (verdict, reason) = match self {
            Self::Resumed(_) => (Verdict::Resumed, None),
            Self::Reset(reason) => (Verdict::Reset, Some(reason)),
        };
        StreamStatus { epoch: Some(id.epoch.clone()), head: Some(head), verdict, reason }
    }

    /// The stream as the session keeps it.
    pub fn state(self, id: StreamId, head: Seq, watch: Watch) -> StreamState {
        match self {
            Self::Resumed(after) => StreamState::resumed(id, after, Window::from(after), watch),
            Self::Reset(_) => StreamState::reset(id, head, Window::new(), watch),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::id::Epoch;

    use super::*;

    #[test]
    fn a_cursor_resumes_only_where_nothing_is_missing() {
        let head = stream_head::Model {
            stream: "user:u".to_owned(),
            epoch: "aaaaaaaa".to_owned(),
            seq: 10,
            trimmed: 4,
            pending: 0,
        };
        let at =
            |epoch: &str, seq| Cursor { epoch: Epoch::parse(epoch).unwrap(), seq: Seq::new(seq) };
        let cases = [
            (None, Beginning::Reset(ResetReason::New)),
            (Some(at("bbbbbbbb", 5)), Beginning::Reset(ResetReason::EpochChanged)),
            (Some(at("aaaaaaaa", 11)), Beginning::Reset(ResetReason::Ahead)),
            (Some(at("aaaaaaaa", 3)), Beginning::Reset(ResetReason::Trimmed)),
            (Some(at("aaaaaaaa", 4)), Beginning::Resumed(Seq::new(4))),
            (Some(at("aaaaaaaa", 10)), Beginning::Resumed(Seq::new(10))),
        ];
        for (cursor, beginning) in cases {
            assert_eq!(judge(cursor.as_ref(), &head), beginning);
        }
    }
}
