//! The marketplace's socket: messages in, a heartbeat out.
//!
//! Owns the connection, its heartbeat and its end. It never reconnects, never
//! limits the rate (see [`SlidingWindow`](crate::atom::rate::SlidingWindow))
//! and keeps no order, for the socket promises none and replays nothing.
//!
//! Heartbeat by the `Atom SaaS` marketplace requirements v1.0.0: the client
//! sends `{"type":"ping"}` every 30 s and waits 10 s for the pong. Here the
//! wait is real: without a pong the connection ends, **whatever else comes**,
//! since a server may go on to push from one process while the one that reads
//! is stuck. A `pong` message counts, and so does a pong of the WebSocket
//! protocol. No ping of the WebSocket protocol is sent: the server's library
//! would answer it although nobody works behind it.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error as WsError, Message as Frame};

use crate::atom::dial::Wire;
use crate::atom::message::{InvalidMessage, Message};
use crate::limits::{
    ATOM_CLOSE_TIMEOUT, ATOM_HEARTBEAT, ATOM_MESSAGE_BYTES, ATOM_PONG_BEHIND, ATOM_PONG_TIMEOUT,
    REQUEST_TIMEOUT,
};

const PING: &str = r#"{"type":"ping"}"#;
const PONG: &str = r#"{"type":"pong"}"#;

/// How the socket behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// How often it pings.
    pub heartbeat: Duration,
    /// How long it waits for the pong.
    pub pong_timeout: Duration,
    /// How long opening it may take, from the name to the handshake.
    pub connect_timeout: Duration,
    /// Largest message taken in, in bytes.
    pub message_bytes: usize,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            heartbeat: ATOM_HEARTBEAT,
            pong_timeout: ATOM_PONG_TIMEOUT,
            connect_timeout: REQUEST_TIMEOUT,
            message_bytes: ATOM_MESSAGE_BYTES,
        }
    }
}

/// What the socket brings.
#[derive(Debug)]
pub enum SocketEvent {
    /// A valid message, pings and pongs included, so that the caller can count
    /// them; they are dealt with already.
    Message(Message),
    /// A message to drop. The connection stays.
    Invalid(InvalidMessage),
    /// The end; every later call says the same.
    Closed(CloseReason),
}

/// Why the socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The server said goodbye.
    #[error("closed by the server{}", code_text(*.code))]
    Server {
        /// Its close code, when it gave one.
        code: Option<u16>,
    },
    /// No pong came in time.
    #[error("no pong in time")]
    PongTimeout,
    /// A message of several times the allowed size.
    #[error("a message is too large")]
    TooLarge,
    /// Frames against the WebSocket protocol, such as text that is not UTF-8.
    #[error("the server breaks the WebSocket protocol")]
    Protocol,
    /// The connection ended without a goodbye.
    #[error("the connection broke")]
    Broken,
}

impl CloseReason {
    /// A stable word for metrics and stored reasons.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server { .. } => "closed_by_server",
            Self::PongTimeout => "pong_timeout",
            Self::TooLarge => "message_too_large",
            Self::Protocol => "protocol_error",
            Self::Broken => "connection_broken",
        }
    }

    fn of(error: &WsError) -> Self {
        match error {
            WsError::Capacity(_) => Self::TooLarge,
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake)
            | WsError::Io(_)
            | WsError::Tls(_)
            | WsError::ConnectionClosed
            | WsError::AlreadyClosed => Self::Broken,
            _ => Self::Protocol,
        }
    }
}

fn code_text(code: Option<u16>) -> String {
    code.map_or_else(String::new, |code| format!(" ({code})"))
}

/// Where the heartbeat stands. The timer runs to the next change.
enum Beat {
    /// The next ping is due when the timer ends.
    Resting,
    /// A pong is due when the timer ends.
    Waiting {
        pinged_at: Instant,
        /// How many messages may still come before a pong that is late only
        /// because they were read late.
        behind: usize,
    },
}

/// An open socket. Whoever holds it must keep calling [`AtomSocket::next`]:
/// only then pings and pongs are sent.
pub struct AtomSocket {
    wire: Wire,
    options: SocketOptions,
    beat: Beat,
    timer: Pin<Box<Sleep>>,
    /// Flags and not a queue: a server that pings faster than it reads gets
    /// one pong, and memory stays bounded.
    owes_ping: bool,
    owes_pong: bool,
    unflushed: bool,
    ended: Option<CloseReason>,
}

impl fmt::Debug for AtomSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The library's state holds messages.
        f.debug_struct("AtomSocket").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl AtomSocket {
    pub(crate) fn new(wire: Wire, options: SocketOptions) -> Self {
        Self {
            wire,
            options,
            beat: Beat::Resting,
            timer: Box::pin(sleep_until(Instant::now() + options.heartbeat)),
            owes_ping: false,
            owes_pong: false,
            unflushed: false,
            ended: None,
        }
    }

    /// The next event. Safe to drop while it waits: messages and the heartbeat
    /// stay with the socket.
    ///
    /// A caller that was away for longer than the time-out loses nothing: what
    /// had arrived is read before the missing pong is judged, up to
    /// [`ATOM_PONG_BEHIND`] messages.
    pub async fn next(&mut self) -> SocketEvent {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Says goodbye, and waits a moment for the answer.
    pub async fn close(mut self) {
        if self.ended.is_some() {
            return;
        }
        let goodbye = async {
            if self.wire.close(None).await.is_ok() {
                // What still comes before the server's goodbye is not wanted;
                // a poll replaces it.
                while let Some(Ok(_)) = self.wire.next().await {}
            }
        };
        // The connection is dropped either way.
        let _ = timeout(ATOM_CLOSE_TIMEOUT, goodbye).await;
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        if let Some(reason) = self.ended {
            return Poll::Ready(SocketEvent::Closed(reason));
        }
        loop {
            // The heartbeat before reading: a flood must not silence it.
            let mut is_late = self.timer.as_mut().poll(cx).is_ready();
            if is_late && self.ping_if_due() {
                is_late = self.timer.as_mut().poll(cx).is_ready();
            }
            if is_late && matches!(self.beat, Beat::Waiting { behind: 0, .. }) {
                return self.end(CloseReason::PongTimeout);
            }
            let written = self.poll_write(cx);
            match self.wire.poll_next_unpin(cx) {
                Poll::Ready(frame) => {
                    if let Some(event) = self.take(frame, is_late, cx) {
                        return Poll::Ready(event);
                    }
                }
                // Tokio pretends that nothing is there when a task has had its
                // share; then it has woken the task already.
                Poll::Pending if !has_budget_remaining() => return Poll::Pending,
                Poll::Pending if is_late => return self.end(CloseReason::PongTimeout),
                // Judged after reading, where the server's reason may wait.
                Poll::Pending if matches!(written, Poll::Ready(Err(_))) => {
                    return self.end(CloseReason::Broken);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The timer has ended: true when that meant a ping, which is then owed,
    /// and the timer set anew.
    fn ping_if_due(&mut self) -> bool {
        if !matches!(self.beat, Beat::Resting) {
            return false;
        }
        let now = Instant::now();
        self.owes_ping = true;
        self.beat = Beat::Waiting { pinged_at: now, behind: ATOM_PONG_BEHIND };
        self.timer.as_mut().reset(now + self.options.pong_timeout);
        true
    }

    /// A pong came. One that nobody waits for changes nothing.
    fn pong(&mut self) {
        if let Beat::Waiting { pinged_at, .. } = self.beat {
            self.beat = Beat::Resting;
            self.timer.as_mut().reset(pinged_at + self.options.heartbeat);
        }
    }

    /// Writes what is owed. Whole frames only, so it may stop anywhere.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        loop {
            if self.unflushed {
                ready!(self.wire.poll_flush_unpin(cx))?;
                self.unflushed = false;
            }
            if !self.owes_ping && !self.owes_pong {
                return Poll::Ready(Ok(()));
            }
            ready!(self.wire.poll_ready_unpin(cx))?;
            let text = if self.owes_pong { PONG } else { PING };
            self.wire.start_send_unpin(Frame::text(text))?;
            self.unflushed = true;
            if self.owes_pong {
                self.owes_pong = false;
            } else {
                self.owes_ping = false;
            }
        }
    }

    /// Makes an event of a frame, where it is one.
    fn take(
        &mut self,
        frame: Option<Result<Frame, WsError>>,
        is_late: bool,
        cx: &mut Context<'_>,
    ) -> Option<SocketEvent> {
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Some(self.closed(CloseReason::of(&error))),
            None => return Some(self.closed(CloseReason::Broken)),
        };
        if let (true, Beat::Waiting { behind, .. }) = (is_late, &mut self.beat) {
            *behind -= 1;
        }
        match frame {
            Frame::Text(text) if text.len() > self.options.message_bytes => {
                Some(SocketEvent::Invalid(InvalidMessage::TooLarge))
            }
            Frame::Text(text) => match Message::parse(&text) {
                Ok(message) => {
                    match message {
                        Message::Ping => {
                            self.owes_pong = true;
                            // Now, for the caller may be busy with something
                            // else next; a failure shows when it comes back.
                            let _ = self.poll_write(cx);
                        }
                        Message::Pong => self.pong(),
                        _ => {}
                    }
                    Some(SocketEvent::Message(message))
                }
                Err(invalid) => Some(SocketEvent::Invalid(invalid)),
            },
            Frame::Binary(_) => Some(SocketEvent::Invalid(InvalidMessage::Binary)),
            Frame::Pong(_) => {
                self.pong();
                None
            }
            // The library answers it.
            Frame::Ping(_) | Frame::Frame(_) => None,
            Frame::Close(frame) => {
                // The library's answer to it, as far as the network takes it.
                let _ = self.wire.poll_flush_unpin(cx);
                let code = frame.map(|frame| u16::from(frame.code));
                Some(self.closed(CloseReason::Server { code }))
            }
        }
    }

    fn closed(&mut self, reason: CloseReason) -> SocketEvent {
        self.ended = Some(reason);
        SocketEvent::Closed(reason)
    }

    fn end(&mut self, reason: CloseReason) -> Poll<SocketEvent> {
        Poll::Ready(self.closed(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_word() {
        let io = || WsError::Io(std::io::ErrorKind::ConnectionReset.into());
        for (reason, word) in [
            (CloseReason::Server { code: Some(1001) }, "closed_by_server"),
            (CloseReason::PongTimeout, "pong_timeout"),
            (CloseReason::TooLarge, "message_too_large"),
            (CloseReason::of(&WsError::Utf8(String::new())), "protocol_error"),
            (CloseReason::of(&io()), "connection_broken"),
        ] {
            assert_eq!(reason.as_str(), word);
        }
        let reason = CloseReason::Server { code: Some(1001) };
        assert_eq!(reason.to_string(), "closed by the server (1001)");
    }

    #[test]
    fn the_defaults_are_those_of_the_requirements() {
        let options = SocketOptions::default();
        assert_eq!(options.heartbeat.as_secs(), 30);
        assert_eq!(options.pong_timeout.as_secs(), 10);
        assert_eq!(options.message_bytes, 1_048_576);
    }
}
