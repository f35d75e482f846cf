//! The socket with its time limits: whole frames out, whole frames in, and the
//! close code when it ends.
//!
//! Never looks into a frame.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

use crate::endpoint::Socket;
use crate::state::Closed;

/// How long to wait for the peer's half of the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What came in.
pub(super) enum Incoming {
    Text(Utf8Bytes),
    Binary(Bytes),
    /// A sign of life without content.
    Alive,
}

/// The socket is of no more use.
pub(super) struct Lost;

pub(super) struct Wire {
    socket: Socket,
    write_timeout: Duration,
    closed: Closed,
}

impl Wire {
    pub(super) fn new(socket: Socket, write_timeout: Duration) -> Self {
        Self { socket, write_timeout, closed: Closed::default() }
    }

    /// The next frame. Safe to drop while it waits: a frame is handed out
    /// whole or stays.
    pub(super) async fn read(&mut self) -> Result<Incoming, Lost> {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => Ok(Incoming::Text(text)),
            Some(Ok(Message::Binary(bytes))) => Ok(Incoming::Binary(bytes)),
            Some(Ok(Message::Close(frame))) => {
                self.note(frame);
                Err(Lost)
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                Ok(Incoming::Alive)
            }
            Some(Err(error)) => {
                tracing::info!(%error, "the socket failed");
                Err(Lost)
            }
            None => Err(Lost),
        }
    }

    /// Writes a frame. A write cut off by its time limit leaves the socket
    /// unusable, so the limit ends the session.
    pub(super) async fn write(&mut self, frame: String) -> Result<(), Lost> {
        match timeout(self.write_timeout, self.socket.send(Message::text(frame))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::info!(%error, "a frame could not be written");
                // The peer's close frame may wait unread: it says why.
                let _ = timeout(CLOSE_TIMEOUT, self.read_to_end()).await;
                Err(Lost)
            }
            Err(_) => {
                tracing::info!("a write made no progress");
                Err(Lost)
            }
        }
    }

    /// Says goodbye and gives the socket up; how it was closed.
    pub(super) async fn close(mut self) -> Closed {
        let goodbye = async {
            if self.socket.close(None).await.is_ok() {
                self.read_to_end().await;
            }
        };
        let _ = timeout(CLOSE_TIMEOUT, goodbye).await;
        self.closed
    }

    async fn read_to_end(&mut self) {
        while let Some(Ok(message)) = self.socket.next().await {
            if let Message::Close(frame) = message {
                self.note(frame);
            }
        }
    }

    /// The first code is the gateway's own; a later one only echoes ours.
    fn note(&mut self, frame: Option<CloseFrame>) {
        let Some(frame) = frame else { return };
        if self.closed.code.is_none() {
            let reason = frame.reason.as_str().to_owned();
            self.closed = Closed { code: Some(frame.code.into()), reason };
            tracing::info!(closed = %self.closed, "the session was closed");
        }
    }
}
