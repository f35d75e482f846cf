//! A stream together with its place under the connection limits, so that the
//! place is kept through the upgrade and given back when the socket ends; and
//! with an end to every wait: for a head, for the next request, and for writes
//! that nobody reads.
//!
//! Closing with unread bytes would reset the connection, and with it destroy an
//! answer that the client has not read: what is left of a body that was refused
//! is thrown away first.
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

/// Most bytes of a body that are thrown away for its sender to hear why.
const DISCARD_BYTES: usize = 4 * 1024 * 1024;

/// How long a client is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From the first byte of a head to its end; as long may what is left of a
    /// refused body take.
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
    /// Longest time that a write may make no progress.
    patience: Duration,
    /// Runs while a write makes none. Takes no memory otherwise.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Until it becomes a socket, of which there are many, for long.
    asking: Option<Box<Asking>>,
    /// The place of the client behind a proxy, from its upgrade on.
    _client: Option<ClientSlot>,
    _permit: Permit,
}

impl<S> Admitted<S> {
    pub(crate) fn new(
        stream: S,
        permit: Permit,
        client: Option<ClientSlot>,
        patience: Patience,
        turn: Turn,
    ) -> Self {
        let asking = Asking { turn, patience, awaited: None, discarding: None };
        Self {
            stream,
            patience: patience.write,
            stalled: None,
            asking: Some(Box::new(asking)),
            _client: client,
            _permit: permit,
        }
    }

    fn asking(&mut self) -> Option<&mut Asking> {
        if self.asking.as_ref().is_some_and(|asking| asking.turn.wait() == Wait::Socket) {
            self.asking = None;
        }
        self.asking.as_deref_mut()
    }
}

/// What a connection needs that carries requests.
#[derive(Debug)]
struct Asking {
    turn: Turn,
    patience: Patience,
    /// Runs while a head or a request is waited for, with what it is.
    awaited: Option<(Wait, Pin<Box<Sleep>>)>,
    /// Throws away what the client still sends, at the end.
    discarding: Option<Box<Discarding>>,
}

impl Asking {
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

    /// The client has sent all it had to say: it waits for the answer, or has
    /// gone. Whether hyper must not know yet: it would drop the request, or what
    /// is left of the answer. It reads again when that is written, and sees the
    /// end then.
    fn keeps_end(&self) -> bool {
        let keeps = matches!(self.turn.wait(), Wait::Answer | Wait::Rest);
        if keeps {
            self.turn.finished().cancel();
        }
        keeps
    }
}

/// Reads to the client's end, within bounds.
#[derive(Debug)]
struct Discarding {
    ends: Pin<Box<Sleep>>,
    left: usize,
    scratch: [u8; 8 * 1024],
}

impl Discarding {
    fn new(longest: Duration) -> Box<Self> {
        let ends = Box::pin(sleep(longest));
        Box::new(Self { ends, left: DISCARD_BYTES, scratch: [0; 8 * 1024] })
    }

    /// Ready when the client has ended, or has had its time or share.
    fn poll(&mut self, mut stream: Pin<&mut impl AsyncRead>, cx: &mut Context<'_>) -> Poll<()> {
        while self.left > 0 && self.ends.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut self.scratch);
            let read = ready!(stream.as_mut().poll_read(cx, &mut buffer));
            let count = buffer.filled().len();
            if read.is_err() || count == 0 {
                break;
            }
            self.left = self.left.saturating_sub(count);
        }
        Poll::Ready(())
    }
}

impl<S: Unpin> Admitted<S> {
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
        let patience = this.patience;
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
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        let Some(asking) = this.asking() else { return read };
        match read {
            Poll::Pending => asking.wait(cx),
            Poll::Ready(Ok(())) if buffer.filled().len() == before && asking.keeps_end() => {
                Poll::Pending
            }
            Poll::Ready(read) => {
                if asking.turn.received() {
                    asking.awaited = None;
                }
                Poll::Ready(read)
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Admitted<S> {
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
        if let Some(asking) = self.asking() {
            asking.turn.flushed();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.asking().is_none_or(|asking| asking.discarding.is_none()) {
            ready!(self.as_mut().bounded(cx, AsyncWrite::poll_shutdown))?;
        }
        let this = self.get_mut();
        let Some(asking) = this.asking.as_mut().filter(|asking| asking.turn.has_left_body()) else {
            return Poll::Ready(Ok(()));
        };
        let longest = asking.patience.head;
        let discarding = asking.discarding.get_or_insert_with(|| Discarding::new(longest));
        discarding.poll(Pin::new(&mut this.stream), cx).map(Ok)
    }
}
