//! Between a gateway and its PostgreSQL: a network that can hang, swallow
//! connections, and lose the answer to a COMMIT.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Passes bytes on until it is told otherwise; ends when dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    server: String,
    /// Nothing passes while true; what was sent meanwhile passes afterwards.
    hangs: watch::Sender<bool>,
    /// Connections with a lower number pass nothing any more.
    swallowed_below: AtomicU64,
    next: AtomicU64,
    /// So many COMMITs from now on lose their answer, and their connection.
    lose_commits: AtomicUsize,
    lost: AtomicBool,
}

impl Proxy {
    /// In front of `server`, `host:port`.
    pub(crate) async fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            hangs: watch::Sender::new(false),
            swallowed_below: AtomicU64::new(0),
            next: AtomicU64::new(0),
            lose_commits: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, _accepting: accepting }
    }

    /// `host:port` of the proxy.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The connections there are pass nothing any more, and are not closed
    /// either; new ones are fine.
    pub(crate) fn swallow(&self) {
        let next = self.shared.next.load(Ordering::SeqCst);
        self.shared.swallowed_below.store(next, Ordering::SeqCst);
    }

    /// Nothing passes until [`heal`](Self::heal); connections stay.
    pub(crate) fn hang(&self) {
        self.shared.hangs.send_replace(true);
    }

    /// Everything passes again.
    pub(crate) fn heal(&self) {
        self.shared.hangs.send_replace(false);
    }

    /// The next COMMIT reaches the server; its answer, and its connection, are
    /// lost.
    pub(crate) fn lose_next_commit(&self) {
        self.shared.lost.store(false, Ordering::SeqCst);
        self.shared.lose_commits.store(1, Ordering::SeqCst);
    }

    /// Whether such a COMMIT came.
    pub(crate) fn has_lost_it(&self) -> bool {
        self.shared.lost.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let number = shared.next.fetch_add(1, Ordering::SeqCst);
        connections.spawn(connection(client, number, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(client: TcpStream, number: u64, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(&shared.server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // What one direction ends with ends the connection.
    tokio::select! {
        () = pass(from_client, to_server, number, &shared, true) => {}
        () = pass(from_server, to_client, number, &shared, false) => {}
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: u64,
    shared: &Shared,
    is_asking: bool,
) {
    let mut hangs = shared.hangs.subscribe();
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
        let _ = hangs.wait_for(|hangs| !hangs).await;
        if number < shared.swallowed_below.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
        if is_asking && bytes[..read].windows(6).any(|word| word == b"COMMIT") && shared.takes_one()
        {
            shared.lost.store(true, Ordering::SeqCst);
            // The server closes when it has answered; nobody hears it.
            let _ = to.shutdown().await;
            let _ = to.as_ref().readable().await;
            return;
        }
    }
}

impl Shared {
    fn takes_one(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        self.lose_commits.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
    }
}
