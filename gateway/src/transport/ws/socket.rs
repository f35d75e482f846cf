//! The WebSocket itself: messages in and out, compression, bounded waits, and
//! a close that arrives.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tidegate_protocol::code::CloseReason;
use tidegate_protocol::encoding::{DecodeError, Encoding};
use tidegate_protocol::limits::PAGE_BYTES;
use tidegate_protocol::server::ServerMessage;
use tokio::io::AsyncWriteExt as _;

use crate::journal::frame::{CLOSE, Frame, PONG, framed, payload};
use crate::metrics::Metrics;
use crate::metrics::label::FrameOut;
use crate::transport::ws::queue::Queue;
use crate::transport::ws::reader::{Fault, Message, Reader};

/// An accepted WebSocket.
#[derive(Debug)]
pub(crate) struct Socket {
    io: TokioIo<Upgraded>,
    reader: Reader,
    queue: Queue,
    metrics: Metrics,
    /// Agreed in `welcome`.
    pub(crate) encoding: Option<Encoding>,
}

/// What the client sent.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A frame, decompressed.
    Frame(String),
    /// A ping or pong of the WebSocket itself.
    Alive,
    /// A frame that ends the session for this reason.
    Refused(CloseReason),
    /// The client closed, or the connection is gone.
    Gone,
}

/// The connection is gone, or took nothing for too long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost;

/// Frames are collected up to this size before they are written.
const QUEUE_BYTES: usize = PAGE_BYTES;

impl Socket {
    /// Takes over an upgraded connection.
    pub(crate) fn accept(upgraded: Upgraded, metrics: Metrics) -> Self {
        let (reader, queue) = (Reader::default(), Queue::default());
        Self { io: TokioIo::new(upgraded), reader, queue, metrics, encoding: None }
    }

    /// The next frame. Safe to drop while waiting: nothing is taken from the
    /// connection that is not kept.
    pub(crate) async fn next(&mut self) -> Incoming {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next frame. What waits is written beside: a pong, while nothing else
    /// is to be said.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Incoming> {
        if let Poll::Ready(Err(Lost)) = self.poll_flush(context) {
            return Poll::Ready(Incoming::Gone);
        }
        let message = ready!(self.reader.poll_next(Pin::new(&mut self.io), context));
        Poll::Ready(self.take(message))
    }

    fn take(&mut self, message: Result<Message, Fault>) -> Incoming {
        match message {
            Ok(Message::Text(text)) => {
                self.metrics.socket_bytes_received.inc_by(text.len() as u64);
                Incoming::Frame(text)
            }
            Ok(Message::Binary(bytes)) => {
                self.metrics.socket_bytes_received.inc_by(bytes.len() as u64);
                self.decode(&bytes)
            }
            Ok(Message::Ping(said)) => {
                self.queue.push(framed(PONG, &said));
                Incoming::Alive
            }
            Ok(Message::Pong) => Incoming::Alive,
            Ok(Message::Close(code)) => {
                self.queue.push(close_frame(code, ""));
                Incoming::Gone
            }
            Err(Fault::TooLarge) => Incoming::Refused(CloseReason::TooLarge),
            Err(Fault::Utf8) => Incoming::Refused(CloseReason::InvalidUtf8),
            Err(Fault::Protocol) => Incoming::Refused(CloseReason::ProtocolError),
            Err(Fault::Gone) => Incoming::Gone,
        }
    }

    fn decode(&self, bytes: &[u8]) -> Incoming {
        let decoded = self.encoding.map(|encoding| encoding.decode(bytes));
        match decoded {
            Some(Ok(text)) => Incoming::Frame(text),
            Some(Err(DecodeError::TooLarge)) => Incoming::Refused(CloseReason::TooLarge),
            Some(Err(DecodeError::Undecodable)) | None => {
                Incoming::Refused(CloseReason::Undecodable)
            }
        }
    }

    /// Queues a message; it leaves with the next [`Socket::flush`] at the
    /// latest.
    pub(crate) async fn feed_message(
        &mut self,
        message: &ServerMessage,
        reference: Option<&serde_json::value::RawValue>,
    ) -> Result<(), Lost> {
        let frame = Frame::new(&message.write(reference));
        self.feed(FrameOut::from(message), &frame).await
    }

    /// Queues a finished frame.
    pub(crate) async fn feed(&mut self, kind: FrameOut, frame: &Frame) -> Result<(), Lost> {
        self.push(kind, frame);
        if self.is_full() { self.flush().await } else { Ok(()) }
    }

    /// Queues a finished frame, whether there is room or not.
    pub(crate) fn push(&mut self, kind: FrameOut, frame: &Frame) {
        let wire = frame.wire(self.encoding);
        self.metrics.frames_sent.of(kind).inc();
        self.metrics.socket_bytes_sent.inc_by(payload(&wire).len() as u64);
        self.queue.push(wire);
    }

    /// Whether what waits must be written before more is queued.
    pub(crate) const fn is_full(&self) -> bool {
        self.queue.bytes() >= QUEUE_BYTES
    }

    /// Writes what was queued. A slow client that keeps reading is waited for;
    /// the connection itself fails where nothing moves for the write time-out.
    pub(crate) async fn flush(&mut self) -> Result<(), Lost> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let written = ready!(self.queue.poll_write(Pin::new(&mut self.io), context));
        Poll::Ready(written.map_err(|error| lost(&error)))
    }

    /// Answers the client's close, so that it does not look like a cut.
    pub(crate) async fn answer_close(mut self, wait: Duration) {
        let answering = async {
            if self.flush().await.is_ok() {
                let _ = self.io.shutdown().await;
            }
        };
        let _ = tokio::time::timeout(wait, answering).await;
    }

    /// Closes with a reason, then reads and discards until the client closes
    /// too, so that the close frame is not lost in a reset.
    pub(crate) async fn close(mut self, reason: CloseReason, wait: Duration) {
        self.queue.push(close_frame(Some(reason.number()), reason.as_str()));
        let closing = async {
            if self.flush().await.is_err() {
                return;
            }
            loop {
                let next =
                    poll_fn(|context| self.reader.poll_next(Pin::new(&mut self.io), context));
                match next.await {
                    Ok(Message::Close(_)) | Err(Fault::Gone) => return,
                    Ok(_) => {}
                    Err(_) => return self.discard().await,
                }
            }
        };
        let _ = tokio::time::timeout(wait, closing).await;
    }

    /// What comes cannot be read as frames any more, so the client's close
    /// would not be noticed: says that nothing follows, and throws away what
    /// comes until the client says so too. Closing with unread bytes would
    /// reset the connection and destroy the close frame.
    async fn discard(&mut self) {
        if self.io.shutdown().await.is_ok() {
            let _ = tokio::io::copy(&mut self.io, &mut tokio::io::sink()).await;
        }
    }
}

fn lost(error: &dyn std::fmt::Display) -> Lost {
    tracing::debug!(%error, "socket write failed");
    Lost
}

fn close_frame(code: Option<u16>, reason: &str) -> Bytes {
    let mut payload = code.map_or_else(Vec::new, |code| code.to_be_bytes().to_vec());
    payload.extend_from_slice(reason.as_bytes());
    framed(CLOSE, &payload)
}
