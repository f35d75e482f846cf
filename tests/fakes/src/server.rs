//! A server on loopback that ends, connections included, when it is dropped.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::answer;

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    /// Dropping it ends the accepting task, which ends the connections.
    _accepting: JoinSet<()>,
}

/// A server that has its address but does not answer yet: routes may need the
/// address.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Takes `port` on 127.0.0.1; 0 picks a free one.
    pub(crate) async fn to(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The server's origin, such as `http://127.0.0.1:4000`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts answering.
    pub(crate) fn serve(self, router: Router) -> Server {
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(self.listener, router));
        Server { address: self.address, _accepting: accepting }
    }
}

impl Server {
    /// The server's origin.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn accept(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, router.clone()));
                }
                Err(error) => tracing::warn!(%error, "connection not accepted"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, router: Router) {
    let upgraded = Arc::new(Mutex::new(None));
    let taking_over = Arc::clone(&upgraded);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (router, taking_over) = (router.clone(), Arc::clone(&taking_over));
        async move {
            let mut response: Response = match router.oneshot(request.map(Body::new)).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            // An error from the service makes hyper close the connection.
            if answer::is_dropped(&response) {
                return Err(Dropped);
            }
            if let Some(takeover) = response.extensions_mut().remove::<Takeover>() {
                *taking_over.lock().unwrap_or_else(PoisonError::into_inner) = takeover.take();
            }
            Ok(response)
        }
    });
    let io = TokioIo::new(stream);
    // Errors are what tests ask for, or clients that went away.
    let served = http1::Builder::new().serve_connection(io, service).with_upgrades().await;
    let next = upgraded.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let (Ok(()), Some(next)) = (served, next) {
        next.await;
    }
}

type Conversation = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Goes with a response that ends HTTP on its connection: what happens there
/// next, in the connection's own task.
#[derive(Clone)]
pub(crate) struct Takeover(Arc<Mutex<Option<Conversation>>>);

impl Takeover {
    pub(crate) fn new(conversation: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::pin(conversation)))))
    }

    fn take(&self) -> Option<Conversation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[derive(Debug)]
struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is dropped on purpose")
    }
}

impl std::error::Error for Dropped {}
