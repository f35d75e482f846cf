//! A stream together with its place under the connection limits, so that the
//! place is kept through the upgrade and given back when the socket ends; and
//! with an end to writes that nobody reads.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::serve::limit::{ClientSlot, Permit};

/// A stream that holds its permit.
#[derive(Debug)]
pub(crate) struct Admitted<S> {
    stream: S,
    /// Longest time that a write may make no progress.
    patience: Duration,
    /// Runs while a write makes none. Takes no memory otherwise.
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
        patience: Duration,
    ) -> Self {
        Self { stream, patience, stalled: None, _client: client, _permit: permit }
    }
}

impl<S: Unpin> Admitted<S> {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut S> {
        Pin::new(&mut self.get_mut().stream)
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
        self.stream().poll_read(cx, buffer)
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

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.bounded(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.bounded(cx, AsyncWrite::poll_shutdown)
    }
}
