//! Group commit: what came while the last transaction was committed is the
//! next one; then sockets and callers hear of it.

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};

use crate::outbox::sockets::Sockets;
use crate::outbox::table::{Message, Table};

/// Most messages of a transaction, unless one call brings more.
const MESSAGES_MAX: usize = 512;

/// A call that waits for its commit.
pub(super) struct Call {
    pub(super) messages: Vec<Message>,
    pub(super) done: oneshot::Sender<()>,
}

/// Commits until something fails: a process that cannot store ends.
pub(super) async fn run(
    mut table: Table,
    mut calls: mpsc::Receiver<Call>,
    sockets: &Sockets,
) -> anyhow::Result<()> {
    while let Some(first) = calls.recv().await {
        let (mut messages, mut waiting) = (first.messages, vec![first.done]);
        while messages.len() < MESSAGES_MAX
            && let Ok(next) = calls.try_recv()
        {
            messages.extend(next.messages);
            waiting.push(next.done);
        }
        let ids = table.insert(&messages).await.context("cannot store")?;
        for done in waiting {
            // A caller that hung up does not matter.
            let _ = done.send(());
        }
        for (message, id) in messages.iter().zip(ids) {
            sockets.send(message, id);
        }
    }
    Ok(())
}
