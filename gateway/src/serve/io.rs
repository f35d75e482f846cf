//! A stream together with its place under the connection limits, so that the
//! place is kept through the upgrade and given back when the socket ends; and
//! with an end to every wait: for a head, for the next request, and for writes
//! that nobody reads.
//!
//! The waits are bounded here and not by hyper, which has one time for a head
//! and for the idle time before it.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::serve::limit::{ClientSlot, Permit};
use crate::serve::turn::{Turn, Wait};

/// How long a client is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From the first byte of a head to its end.
    pub(crate) head: Duration,
    /// From an answer to the next request.
    pub(crate) idle: Duration,
    /// For a write to make progress.
    pub(crate) write: Duration,
}

/// A stream that holds its permit.
#[derive(Debug)]
pub(crate) struct Admitted<S> {
    stream: S,
    patience: Patience,
    turn: Turn,
    /// Runs while a head or a request is waited for, with what it is.
    awaited: Option<(Wait, Pin<Box<Sleep>>)>,
    /// Runs while a write makes no progress. Takes no memory otherwise.
    stalled: Option<Pin<Box<Sleep>>>,
    /// The place of the client behind a proxy, from its upgrade on.
    _client: Option<ClientSlot>,
    _permit: Permit,
}

impl<S> Admitted<S> {
    pub(crate) const fn new(
        stream: S,
        permit: Permit,
        client: Option<ClientSlot>,
        patience: Patience,
        turn: Turn,
    ) -> Self {
        let (awaited, stalled) = (None, None);
        Self { stream, patience, turn, awaited, stalled, _client: client, _permit: permit }
    }
}

impl<S: Unpin> Admitted<S> {
    /// Nothing came: an error once it was waited for long enough.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let wait = self.turn.wait();
        let longest = match wait {
            Wait::Head => self.patience.head,
            Wait::Idle => self.patience.idle,
            // Who reads the body or the socket keeps the time, and writes have
            // a time of their own.
            Wait::Body | Wait::Answer | Wait::Rest | Wait::Socket => {
                self.awaited = None;
                return Poll::Pending;
            }
        };
        if self.awaited.as_ref().is_none_or(|(awaited, _)| *awaited != wait) {
            self.awaited = Some((wait, Box::pin(sleep(longest))));
        }
        let Some((_, timer)) = &mut self.awaited else { return Poll::Pending };
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client does not ask")))
    }

    /// Passes on how a write went; an error once it made no progress for too
    /// long.
    fn bounded<T>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<Result<T>>,
    ) -> Poll<Result<T>> {
        let this = self.get_mut();
        if let Poll::Ready(done) = write(Pin::new(&mut this.stream), cx) {
            this.stalled = None;
            return Poll::Ready(done);
        }
        let patience = this.patience.write;
        let stalled = this.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Admitted<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Pending => this.wait(cx),
            // The client has sent all it had to say: it waits for the answer,
            // or has gone. Hyper would drop the request, or what is left of
            // the answer; it reads again when that is written, and sees the
            // end then.
            Poll::Ready(Ok(()))
                if buffer.filled().len() == before
                    && matches!(this.turn.wait(), Wait::Answer | Wait::Rest) =>
            {
                this.turn.finished().cancel();
                Poll::Pending
            }
            Poll::Ready(read) => {
                if this.turn.received() {
                    this.awaited = None;
                }
                Poll::Ready(read)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Admitted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.bounded(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.bounded(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Hyper calls it when it has nothing more to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.as_mut().bounded(cx, AsyncWrite::poll_flush))?;
        self.turn.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.bounded(cx, AsyncWrite::poll_shutdown)
    }
}
