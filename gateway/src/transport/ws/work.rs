//! Frames whose answer takes time: outcomes and streams wait for the writer's
//! commit, tokens perhaps for keys. The session goes on meanwhile: it is pinged,
//! hears acks, and is sent what others cause.
//!
//! One such frame is in hand at a time and others wait behind it, so that
//! answers keep the order of the frames. What was handed to the writer is done
//! even if the session ends before its answer: the device says it again, and
//! hears the same.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{FutureExt as _, future};
use serde_json::value::RawValue;
use tidegate_protocol::client::{ClientFrame, ParseError};
use tidegate_protocol::cursor::Cursors;
use tidegate_protocol::limits::PAGE_BYTES;
use tidegate_protocol::server::{ResultsOk, StreamStatuses};

use crate::auth::{AuthError, Claims};
use crate::error::ApiResult;
use crate::hub::Watch;
use crate::store::head::Heads;

/// The `ref` that an answer echoes.
pub(super) type Reference = Option<Box<RawValue>>;

/// A frame as it was read.
pub(super) type Parsed = Result<ClientFrame, ParseError>;

/// What is awaited came.
pub(super) enum Done {
    /// Outcomes are committed, or refused.
    Reported(ApiResult<ResultsOk>),
    /// Streams exist. They were followed before.
    Ensured(Opening, ApiResult<Heads>),
    /// A token was looked at.
    Verified(Result<Claims, AuthError>),
}

/// Streams that are being opened.
pub(super) struct Opening {
    pub(super) watches: Vec<Watch>,
    pub(super) cursors: Cursors,
    pub(super) refused: StreamStatuses,
}

/// What the session does next about its frames.
pub(super) enum Next {
    /// Answers a frame.
    Answer(Done, Reference),
    /// Acts on a frame that waited.
    Act(Box<Parsed>),
}

/// The frame in hand and those behind it. Takes no memory while there is none.
#[derive(Default)]
pub(super) struct Work(Option<Box<Busy>>);

struct Busy {
    awaited: Option<Awaited>,
    waiting: VecDeque<(Box<Parsed>, usize)>,
    /// Bytes of the frames that wait, as they came.
    bytes: usize,
}

struct Awaited {
    done: Coming,
    reference: Reference,
}

type Coming = future::MaybeDone<Pin<Box<dyn Future<Output = Done> + Send>>>;

/// Frames that wait at most; then the session reads no more until one is done.
const WAITING: usize = 16;

/// No more frames are read while those that wait have so many bytes.
const WAITING_BYTES: usize = PAGE_BYTES;

impl Work {
    /// Whether a frame has to wait for its turn.
    pub(super) const fn is_busy(&self) -> bool {
        self.0.is_some()
    }

    /// Whether another frame may wait.
    pub(super) fn has_room(&self) -> bool {
        self.0.as_ref().is_none_or(|b| b.waiting.len() < WAITING && b.bytes < WAITING_BYTES)
    }

    /// Lets a frame wait behind the one in hand.
    pub(super) fn wait(&mut self, frame: Box<Parsed>, bytes: usize) {
        let busy = self.busy();
        busy.bytes += bytes;
        busy.waiting.push_back((frame, bytes));
    }

    /// Takes a frame in hand. It is begun at once: whatever the session does
    /// next, the writer has the job.
    pub(super) fn begin(
        &mut self,
        work: impl Future<Output = Done> + Send + 'static,
        reference: Reference,
    ) {
        let work: Pin<Box<dyn Future<Output = Done> + Send>> = Box::pin(work);
        self.busy().awaited = Some(Awaited { done: future::maybe_done(work), reference });
        self.has_answer();
    }

    /// Whether what is awaited has come. The writer gives an answer before it
    /// tells of the entries that follow from it: whoever asks after it saw
    /// those keeps that order.
    pub(super) fn has_answer(&mut self) -> bool {
        let awaited = self.0.as_mut().and_then(|busy| busy.awaited.as_mut());
        awaited.is_some_and(|awaited| (&mut awaited.done).now_or_never().is_some())
    }

    /// What is to be done next.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Box<Next>> {
        let Some(busy) = &mut self.0 else { return Poll::Pending };
        let next = if let Some(awaited) = &mut busy.awaited {
            let mut done = Pin::new(&mut awaited.done);
            ready!(done.as_mut().poll(context));
            let Some(done) = done.take_output() else { return Poll::Pending };
            Next::Answer(done, awaited.reference.take())
        } else if let Some((frame, bytes)) = busy.waiting.pop_front() {
            busy.bytes -= bytes;
            Next::Act(frame)
        } else {
            return Poll::Pending;
        };
        busy.awaited = None;
        if busy.waiting.is_empty() {
            self.0 = None;
        }
        Poll::Ready(Box::new(next))
    }

    fn busy(&mut self) -> &mut Busy {
        let none = || Box::new(Busy { awaited: None, waiting: VecDeque::new(), bytes: 0 });
        self.0.get_or_insert_with(none)
    }
}
