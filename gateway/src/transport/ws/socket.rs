//! The WebSocket itself: messages in and out, compression, bounded waits, and
//! a close that arrives.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tidegate_protocol::code::CloseReason;
use tidegate_protocol::encoding::{DecodeError, Encoding};
use tidegate_protocol::limits::{FRAME_BYTES, PAGE_BYTES};
use tidegate_protocol::server::ServerMessage;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::journal::frame::Frame;
use crate::metrics::Metrics;
use crate::metrics::label::FrameOut;
use crate::transport::ws::queue::Queue;

/// An accepted WebSocket. What comes is read by tungstenite, and what it says
/// itself (pongs, the end) is written by it; messages are written past it, only
/// while it has nothing half-written.
#[derive(Debug)]
pub(crate) struct Socket {
    ws: WebSocketStream<TokioIo<Upgraded>>,
    queue: Queue,
    /// Whether tungstenite may have something to write: a pong.
    owes: bool,
    metrics: Metrics,
    /// Agreed in `welcome`.
    pub(crate) encoding: Option<Encoding>,
}

/// What the client sent.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A frame, decompressed.
    Frame(Utf8Bytes),
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

/// Reads in small steps: an ack or a result fits, a longer frame takes another
/// read, and the buffer stays allocated as long as the session lives.
const READ_BUFFER_BYTES: usize = 256;

/// Frames are collected up to this size before they are written.
const QUEUE_BYTES: usize = PAGE_BYTES;

fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        // Only what tungstenite says itself: a pong, the close frame.
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(FRAME_BYTES))
        .max_frame_size(Some(FRAME_BYTES))
        .accept_unmasked_frames(false)
}

/// Room for the frames that tungstenite writes itself, each at most 127 bytes.
const WRITE_BUFFER_BYTES: usize = 1024;

impl Socket {
    /// Takes over an upgraded connection.
    pub(crate) async fn accept(upgraded: Upgraded, metrics: Metrics) -> Self {
        let (io, config) = (TokioIo::new(upgraded), Some(socket_config()));
        let ws = WebSocketStream::from_raw_socket(io, Role::Server, config).await;
        Self { ws, queue: Queue::default(), owes: false, metrics, encoding: None }
    }

    /// The next frame. Safe to drop while waiting: nothing is taken from the
    /// connection that is not kept in its buffer.
    pub(crate) async fn next(&mut self) -> Incoming {
        match self.ws.next().await {
            Some(Ok(Message::Text(text))) => {
                self.metrics.socket_bytes_received.inc_by(text.len() as u64);
                Incoming::Frame(text)
            }
            Some(Ok(Message::Binary(bytes))) => {
                self.metrics.socket_bytes_received.inc_by(bytes.len() as u64);
                self.decode(&bytes)
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                self.owes = true;
                Incoming::Alive
            }
            Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => {
                Incoming::Refused(CloseReason::TooLarge)
            }
            Some(Err(Error::Utf8(_))) => Incoming::Refused(CloseReason::InvalidUtf8),
            // The connection ended, or something came after the client's close.
            Some(Err(Error::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::ReceivedAfterClosing,
            ))) => Incoming::Gone,
            Some(Err(Error::Protocol(_))) => Incoming::Refused(CloseReason::ProtocolError),
            Some(Ok(Message::Close(_) | Message::Frame(_)) | Err(_)) | None => Incoming::Gone,
        }
    }

    fn decode(&self, bytes: &Bytes) -> Incoming {
        let decoded = self.encoding.map(|encoding| encoding.decode(bytes));
        match decoded {
            Some(Ok(text)) => Incoming::Frame(text.into()),
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
        let frame = Frame::new(message.write(reference));
        self.feed(FrameOut::from(message), &frame).await
    }

    /// Queues a finished frame.
    pub(crate) async fn feed(&mut self, kind: FrameOut, frame: &Frame) -> Result<(), Lost> {
        let bytes = self.queue.push(frame.wire(self.encoding));
        self.metrics.frames_sent.of(kind).inc();
        self.metrics.socket_bytes_sent.inc_by(bytes as u64);
        if self.queue.bytes() < QUEUE_BYTES { Ok(()) } else { self.flush().await }
    }

    /// Writes what was queued. A slow client that keeps reading is waited for;
    /// the connection itself fails where nothing moves for the write time-out.
    pub(crate) async fn flush(&mut self) -> Result<(), Lost> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        if self.owes {
            // A pong that is half-written must be finished first.
            ready!(self.ws.poll_flush_unpin(context)).map_err(|error| lost(&error))?;
            self.owes = false;
        }
        let written = ready!(self.queue.poll_write(Pin::new(self.ws.get_mut()), context));
        Poll::Ready(written.map_err(|error| lost(&error)))
    }

    /// Answers the client's close, so that it does not look like a cut.
    pub(crate) async fn answer_close(mut self, wait: Duration) {
        let answering = async {
            let _ = self.ws.flush().await;
            while let Some(Ok(_)) = self.ws.next().await {}
        };
        let _ = tokio::time::timeout(wait, answering).await;
    }

    /// Closes with a reason, then reads and discards until the client closes
    /// too, so that the close frame is not lost in a reset.
    pub(crate) async fn close(mut self, reason: CloseReason, wait: Duration) {
        let frame = CloseFrame { code: reason.number().into(), reason: reason.as_str().into() };
        let closing = async {
            if poll_fn(|context| self.poll_flush(context)).await.is_err() {
                return;
            }
            if self.ws.send(Message::Close(Some(frame))).await.is_err() {
                return;
            }
            while let Some(Ok(message)) = self.ws.next().await {
                if matches!(message, Message::Close(_)) {
                    return;
                }
            }
            self.discard().await;
        };
        let _ = tokio::time::timeout(wait, closing).await;
    }

    /// What comes cannot be read as frames any more, so the client's close
    /// would not be noticed: says that nothing follows, and throws away what
    /// comes until the client says so too. Closing with unread bytes would
    /// reset the connection and destroy the close frame.
    async fn discard(&mut self) {
        let io = self.ws.get_mut();
        if io.shutdown().await.is_ok() {
            let _ = tokio::io::copy(io, &mut tokio::io::sink()).await;
        }
    }
}

fn lost(error: &dyn std::fmt::Display) -> Lost {
    tracing::debug!(%error, "socket write failed");
    Lost
}
