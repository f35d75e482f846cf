//! Sockets by user.

use std::cell::RefCell;
use std::collections::HashMap;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, Sender};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message as Frame};

use crate::outbox::table::Message;

/// Frames that a socket may be behind. One that is slower is closed: what it
/// missed is in the table.
const FRAMES_WAITING: usize = 64;

/// Each user's newest socket.
#[derive(Default)]
pub(super) struct Sockets(RefCell<HashMap<String, Sender<Frame>>>);

impl Sockets {
    /// Hands a stored message to its user's socket, where there is one.
    pub(super) fn send(&self, message: &Message, id: i64) {
        let mut sockets = self.0.borrow_mut();
        let Some(socket) = sockets.get(&message.user) else { return };
        let text = format!(r#"{{"type":"message","id":{id},"body":{}}}"#, message.body);
        if socket.try_send(Frame::text(text)).is_err() {
            sockets.remove(&message.user);
        }
    }
}

/// Serves a user's socket until it ends.
pub(super) async fn serve(stream: TcpStream, read: Bytes, user: String, sockets: &Sockets) {
    // The library's own buffers are 128 KiB each.
    let config = WebSocketConfig::default().read_buffer_size(1024).write_buffer_size(4096);
    let socket =
        WebSocketStream::from_partially_read(stream, read.into(), Role::Server, Some(config)).await;
    let (sender, frames) = mpsc::channel(FRAMES_WAITING);
    sockets.0.borrow_mut().insert(user.clone(), sender.clone());
    // How it ended does not matter.
    let _ = pass(socket, frames).await;
    let mut sockets = sockets.0.borrow_mut();
    if sockets.get(&user).is_some_and(|newest| newest.same_channel(&sender)) {
        sockets.remove(&user);
    }
}

/// Writes what comes, all that waits at once.
async fn pass(
    mut socket: WebSocketStream<TcpStream>,
    mut frames: mpsc::Receiver<Frame>,
) -> Result<(), Error> {
    let mut waiting = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = frames.recv_many(&mut waiting, FRAMES_WAITING) => {
                if count == 0 {
                    return socket.close(None).await;
                }
                for frame in waiting.drain(..) {
                    socket.feed(frame).await?;
                }
                socket.flush().await?;
            }
            // Answers pings, and notices the end; devices have nothing to say.
            frame = socket.next() => match frame {
                Some(frame) => drop(frame?),
                None => return Ok(()),
            }
        }
    }
}
