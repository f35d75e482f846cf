//! Whose turn it is on a connection, told to its stream by what is read and
//! written on it: the stream bounds each wait by what is waited for.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Frame, SizeHint};
use tokio_util::sync::CancellationToken;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Wait {
    /// The end of a request's head.
    Head,
    /// The rest of its body.
    Body,
    /// The gateway's answer.
    Answer,
    /// That the client takes what is left of the answer.
    Rest,
    /// The next request.
    Idle,
    /// Nothing here: it became a socket, which keeps its own time.
    Socket,
}

/// Shared by the stream of a connection and its requests.
#[derive(Clone, Debug)]
pub(crate) struct Turn(Arc<State>);

#[derive(Debug)]
struct State {
    wait: AtomicU8,
    /// Whether nobody read the last request's body to its end.
    has_left_body: AtomicBool,
    finished: CancellationToken,
}

impl Turn {
    /// Of a connection whose first byte has come.
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            wait: AtomicU8::new(Wait::Head as u8),
            has_left_body: AtomicBool::new(false),
            finished: CancellationToken::new(),
        }))
    }

    /// What the connection waits for.
    pub(crate) fn wait(&self) -> Wait {
        let all = [Wait::Head, Wait::Body, Wait::Answer, Wait::Rest, Wait::Idle, Wait::Socket];
        all[usize::from(self.0.wait.load(Ordering::Relaxed))]
    }

    /// Cancelled when the client sends nothing more while it is answered.
    pub(crate) fn finished(&self) -> &CancellationToken {
        &self.0.finished
    }

    /// Whether the client may still be sending a body that nobody reads.
    pub(crate) fn has_left_body(&self) -> bool {
        self.0.has_left_body.load(Ordering::Relaxed)
    }

    /// The head of a request was read; with `is_whole` all of it was.
    pub(crate) fn asked(&self, is_whole: bool) {
        self.0.has_left_body.store(false, Ordering::Relaxed);
        self.set(if is_whole { Wait::Answer } else { Wait::Body });
    }

    /// Bytes came; whether they begin a head.
    pub(crate) fn received(&self) -> bool {
        let is_first = self.wait() == Wait::Idle;
        if is_first {
            self.set(Wait::Head);
        }
        is_first
    }

    /// The connection became a socket.
    pub(crate) fn upgraded(&self) {
        self.set(Wait::Socket);
    }

    fn body_ended(&self) {
        if self.wait() == Wait::Body {
            self.set(Wait::Answer);
        }
    }

    fn body_dropped(&self) {
        if self.wait() == Wait::Body {
            self.0.has_left_body.store(true, Ordering::Relaxed);
            self.body_ended();
        }
    }

    /// All that was to be written has been.
    pub(crate) fn flushed(&self) {
        if self.wait() == Wait::Rest {
            self.set(Wait::Idle);
        }
    }

    /// Hyper has the whole answer; the client may have none of it yet.
    fn answered(&self) {
        if self.wait() != Wait::Socket {
            self.set(Wait::Rest);
        }
    }

    /// One task owns the connection: nobody else sets it in between.
    fn set(&self, wait: Wait) {
        self.0.wait.store(wait as u8, Ordering::Relaxed);
    }
}

/// A body that tells its connection when it has ended, or was given up.
#[derive(Debug)]
pub(crate) struct Told<B> {
    body: B,
    turn: Turn,
    ended: fn(&Turn),
    dropped: fn(&Turn),
}

impl<B> Told<B> {
    /// Of a request.
    pub(crate) fn request(body: B, turn: Turn) -> Self {
        Self { body, turn, ended: Turn::body_ended, dropped: Turn::body_dropped }
    }

    /// Of an answer.
    pub(crate) fn answer(body: B, turn: Turn) -> Self {
        Self { body, turn, ended: Turn::answered, dropped: Turn::answered }
    }
}

impl<B: Body + Unpin> Body for Told<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() {
            (self.ended)(&self.turn);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Told<B> {
    fn drop(&mut self) {
        (self.dropped)(&self.turn);
    }
}
