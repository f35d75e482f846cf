//! The way between a phone and the gateway: one address whatever happens to
//! the gateway, cut or without sockets as a test asks.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What connects to the socket's door begins like this.
const SOCKET_REQUEST: &[u8] = b"GET /api/v1/sync/ws";

/// How the way is.
#[derive(Clone)]
struct Way {
    target: String,
    /// As behind a proxy that knows no WebSocket.
    refuses_sockets: bool,
    /// Cancelled to cut every connection there is.
    cut: CancellationToken,
}

/// The way. It ends when dropped.
pub(super) struct Network {
    address: SocketAddr,
    way: Arc<watch::Sender<Way>>,
    _accepting: JoinSet<()>,
}

impl Network {
    pub(super) async fn to(gateway: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = Way {
            target: gateway.to_owned(),
            refuses_sockets: false,
            cut: CancellationToken::new(),
        };
        let way = Arc::new(watch::Sender::new(way));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&way)));
        Self { address, way, _accepting: accepting }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The gateway is at another address now.
    pub(super) fn lead_to(&self, gateway: &str) {
        self.way.send_modify(|way| gateway.clone_into(&mut way.target));
    }

    /// Cuts every connection; new ones are let through.
    pub(super) fn cut(&self) {
        self.way.send_modify(|way| std::mem::take(&mut way.cut).cancel());
    }

    /// Lets no socket through, or lets them through again.
    pub(super) fn refuse_sockets(&self, refuses: bool) {
        self.way.send_modify(|way| way.refuses_sockets = refuses);
    }
}

async fn accept(listener: TcpListener, way: Arc<watch::Sender<Way>>) {
    let mut carrying = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let way = way.borrow().clone();
        carrying.spawn(async move {
            way.cut.run_until_cancelled(carry(stream, &way)).await;
        });
    }
}

async fn carry(mut phone: TcpStream, way: &Way) -> Option<()> {
    let mut begin = [0; SOCKET_REQUEST.len()];
    let is_socket = loop {
        let length = phone.peek(&mut begin).await.ok()?;
        if length == 0 {
            return None;
        }
        if !SOCKET_REQUEST.starts_with(&begin[..length]) {
            break false;
        }
        if length == begin.len() {
            break true;
        }
        tokio::task::yield_now().await;
    };
    if is_socket && way.refuses_sockets {
        return None;
    }
    let mut gateway = TcpStream::connect(&way.target).await.ok()?;
    let _ = (phone.set_nodelay(true), gateway.set_nodelay(true));
    copy_bidirectional(&mut phone, &mut gateway).await.ok().map(drop)
}
