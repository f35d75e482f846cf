//! The WebSocket itself: messages in and out, compression, bounded waits, and
//! a close that arrives.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tidegate_protocol::code::CloseReason;
use tidegate_protocol::encoding::{DecodeError, Encoding};
use tidegate_protocol::limits::FRAME_BYTES;
use tidegate_protocol::server::ServerMessage;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::journal::frame::{Frame, Wire};
use crate::metrics::Metrics;
use crate::metrics::label::FrameOut;

/// An accepted WebSocket.
#[derive(Debug)]
pub(crate) struct Socket {
    ws: WebSocketStream<Progress>,
    metrics: Metrics,
    write_timeout: Duration,
    /// Bytes the peer took so far.
    written: Arc<AtomicU64>,
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

/// Reads in small steps: devices send little, and the buffer stays allocated
/// as long as the session lives.
const READ_BUFFER_BYTES: usize = 512;

/// Frames are collected up to this size before they are written. Never 0:
/// that would write each frame by itself.
const WRITE_BUFFER_BYTES: usize = 4 * 1024;

fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        // The largest frame and what waits before it.
        .max_write_buffer_size(2 * FRAME_BYTES)
        .max_message_size(Some(FRAME_BYTES))
        .max_frame_size(Some(FRAME_BYTES))
        .accept_unmasked_frames(false)
}

impl Socket {
    /// Takes over an upgraded connection.
    pub(crate) async fn accept(
        upgraded: Upgraded,
        metrics: Metrics,
        write_timeout: Duration,
    ) -> Self {
        let written = Arc::new(AtomicU64::new(0));
        let io = Progress { io: TokioIo::new(upgraded), written: Arc::clone(&written) };
        let ws = WebSocketStream::from_raw_socket(io, Role::Server, Some(socket_config())).await;
        Self { ws, metrics, write_timeout, written, encoding: None }
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
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Incoming::Alive,
            Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => {
                Incoming::Refused(CloseReason::TooLarge)
            }
            Some(Err(Error::Utf8(_))) => Incoming::Refused(CloseReason::InvalidJson),
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
        let message = match frame.wire(self.encoding) {
            Wire::Text(text) => Message::Text(text),
            Wire::Binary(bytes) => Message::Binary(bytes),
        };
        self.metrics.frames_sent.of(kind).inc();
        self.metrics.socket_bytes_sent.inc_by(message.len() as u64);
        moving(self.ws.feed(message), &self.written, self.write_timeout).await
    }

    /// Writes what was queued. Fails when nothing moves for the write
    /// time-out; a slow client that keeps reading is waited for.
    pub(crate) async fn flush(&mut self) -> Result<(), Lost> {
        moving(self.ws.flush(), &self.written, self.write_timeout).await
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
            if self.ws.send(Message::Close(Some(frame))).await.is_err() {
                return;
            }
            while let Some(Ok(_)) = self.ws.next().await {}
        };
        let _ = tokio::time::timeout(wait, closing).await;
    }
}

/// Waits for a write as long as the peer takes something.
async fn moving(
    write: impl Future<Output = Result<(), Error>>,
    written: &AtomicU64,
    wait: Duration,
) -> Result<(), Lost> {
    tokio::pin!(write);
    loop {
        let before = written.load(Ordering::Relaxed);
        match tokio::time::timeout(wait, &mut write).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => {
                tracing::debug!(%error, "socket write failed");
                return Err(Lost);
            }
            Err(_) if written.load(Ordering::Relaxed) == before => return Err(Lost),
            Err(_) => {}
        }
    }
}

/// Counts what the peer took, to tell a slow reader from a stuck one.
#[derive(Debug)]
struct Progress {
    io: TokioIo<Upgraded>,
    written: Arc<AtomicU64>,
}

impl AsyncRead for Progress {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Progress {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            self.written.fetch_add(*count as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
