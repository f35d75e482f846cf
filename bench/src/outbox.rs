//! What a team would write by hand instead of running Tidegate: sockets by
//! user, a table of messages, group commit, and a frame to the user's socket
//! after it. It knows no acks, positions, resumption or idempotency; who was
//! away asks the table.
//!
//! It is what the gateway is compared with, so it is made to be fast: one
//! thread, statements that stay prepared, messages of one commit in one write
//! of a socket. It takes the calls of the gateway that the load makes.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};

use crate::outbox::calls::Shared;
use crate::outbox::sockets::Sockets;
use crate::outbox::table::Table;

mod calls;
mod commit;
mod sockets;
mod table;

/// What it is started with.
#[derive(Debug, Args)]
pub(crate) struct OutboxArgs {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// `sqlite://FILE` or `postgres://…`
    #[arg(long)]
    database: String,
}

/// Calls that wait for their commit.
const CALLS_WAITING: usize = 1_024;

/// Serves until the process ends.
pub(crate) fn serve(args: &OutboxArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(args))
}

async fn run(args: &OutboxArgs) -> anyhow::Result<()> {
    let table = Table::open(&args.database).await.context("cannot open the table")?;
    let sockets = Rc::new(Sockets::default());
    let (queue, calls) = mpsc::channel(CALLS_WAITING);
    let shared = Rc::new(Shared::new(queue, Rc::clone(&sockets)));
    let listener = TcpListener::bind(args.listen).await.context("cannot listen")?;
    tokio::select! {
        failed = commit::run(table, calls, &sockets) => failed,
        failed = accept(&listener, &shared) => failed,
    }
}

async fn accept(listener: &TcpListener, shared: &Rc<Shared>) -> anyhow::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.context("cannot accept")?;
                stream.set_nodelay(true)?;
                connections.spawn_local(calls::serve(stream, Rc::clone(shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
