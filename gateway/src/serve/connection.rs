//! One connection, from its first byte to its end or its upgrade.
//!
//! Every wait has a timeout: for the first byte, for the handshake, for each
//! head, for the next request, and for the progress of each write.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service as _;

use crate::config::ForwardedHeader;
use crate::hub::peer::{Origin, Peer, REQUEST_ID, request_id};
use crate::metrics::Metrics;
use crate::metrics::label::ConnectionRefusal;
use crate::serve::io::Admitted;
use crate::serve::limit::{ClientPlace, ClientSlot, Connections, Permit};
use crate::serve::tls::Tls;
use crate::serve::turn::{Told, Turn};
use crate::serve::{Server, client_addr, refuse};

/// What became of the opening of a connection.
type Opened<T> = Result<T, Option<ConnectionRefusal>>;

/// Each stage is boxed by itself, so that a connection takes the memory of the
/// stage it is in, and a plain one none for TLS.
pub(crate) async fn run(server: &Server, stream: TcpStream, peer: SocketAddr, permit: Permit) {
    // While nothing was asked, a drain ends the connection at once.
    let opened = match &server.tls {
        None => server.shutdown.run_until_cancelled(open(server, &stream)).await,
        Some(tls) => {
            let opening = Box::pin(open_tls(server, tls, stream));
            let opened = server.shutdown.run_until_cancelled(opening).await;
            return match opened {
                Some(Ok(stream)) => Box::pin(http(server, stream, permit, peer)).await,
                Some(Err(refusal)) => count(server, refusal),
                None => {}
            };
        }
    };
    match opened {
        Some(Ok(())) => Box::pin(http(server, stream, permit, peer)).await,
        Some(Err(refusal)) => count(server, refusal),
        None => {}
    }
}

fn count(server: &Server, refusal: Option<ConnectionRefusal>) {
    if let Some(refusal) = refusal {
        server.options.metrics.connections_refused.of(refusal).inc();
    }
}

/// Waits for the first byte without taking it.
async fn open(server: &Server, stream: &TcpStream) -> Opened<()> {
    // Frames are small and each is waited for. Where it fails, it is only slower.
    let _ = stream.set_nodelay(true);
    match timeout(server.options.first_byte_timeout, stream.peek(&mut [0])).await {
        Ok(Ok(1..)) => Ok(()),
        Ok(_) => Err(None),
        Err(_) => Err(Some(ConnectionRefusal::Silent)),
    }
}

async fn open_tls(
    server: &Server,
    tls: &Tls,
    stream: TcpStream,
) -> Opened<tokio_rustls::server::TlsStream<TcpStream>> {
    open(server, &stream).await?;
    let handshake = tls.acceptor().accept(stream);
    let Ok(Ok(mut stream)) = timeout(server.options.header_timeout, handshake).await else {
        return Err(Some(ConnectionRefusal::Tls));
    };
    match timeout(server.options.first_byte_timeout, stream.fill_buf()).await {
        Ok(Ok(bytes)) if !bytes.is_empty() => Ok(stream),
        Ok(_) => Err(None),
        Err(_) => Err(Some(ConnectionRefusal::Silent)),
    }
}

async fn http<S>(server: &Server, stream: S, permit: Permit, peer: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let turn = Turn::new();
    let slot = server.limits.is_proxy(peer.ip()).then(ClientSlot::default);
    let clients = slot.as_ref().map(|slot| Clients::of(server, peer, slot));
    let stream = Admitted::new(stream, permit, slot, server.patience, turn.clone());
    let (router, origin) = (server.router.clone(), server.limits.origin(peer.ip()));
    let service = service_fn(move |mut request: Request<Incoming>| {
        turn.asked(request.body().is_end_stream());
        let (turn, mut router) = (turn.clone(), router.clone());
        let client = clients.as_ref().map(|clients| clients.enter(&request));
        let origin = client.as_ref().map_or(origin, |client| client.origin);
        request.extensions_mut().insert(Peer { origin, finished: turn.finished().clone() });
        let request = request.map(|body| Told::request(body, turn.clone()));
        async move {
            // A router is always ready.
            let answer = match client.map(|client| (client.place, client.slot)) {
                None => router.call(request).await,
                Some((Ok(place), slot)) => keep(place, &slot, router.call(request).await),
                Some((Err(refusal), _)) => Ok(refusal),
            };
            if answer.as_ref().is_ok_and(is_upgraded) {
                turn.upgraded();
            }
            answer.map(|answer| answer.map(|body| Told::answer(body, turn)))
        }
    });
    let connection = server.http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = server.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // The client's doing, and frequent.
        tracing::debug!(error = %Cause(&error), "connection ended early");
    }
}

fn is_upgraded<B>(answer: &http::Response<B>) -> bool {
    answer.status() == StatusCode::SWITCHING_PROTOCOLS
}

/// A client behind a proxy, for as long as its request takes.
struct Client {
    origin: Origin,
    place: Result<ClientPlace, Response>,
    slot: Weak<Mutex<Option<ClientPlace>>>,
}

/// Counts the clients that a trusted proxy speaks for by their own addresses.
struct Clients {
    limits: Arc<Connections>,
    proxies: Arc<[IpNet]>,
    header: ForwardedHeader,
    proxy: IpAddr,
    metrics: Metrics,
    /// Owned by the stream, so that the place goes with it.
    slot: Weak<Mutex<Option<ClientPlace>>>,
}

impl Clients {
    fn of(server: &Server, proxy: SocketAddr, slot: &ClientSlot) -> Self {
        Self {
            limits: Arc::clone(&server.limits),
            proxies: Arc::clone(&server.trusted_proxies),
            header: server.options.forwarded_header,
            proxy: proxy.ip(),
            metrics: server.options.metrics.clone(),
            slot: Arc::downgrade(slot),
        }
    }

    /// A place for the client of this request until it is answered.
    fn enter(&self, request: &Request<Incoming>) -> Client {
        let address = client_addr::of(self.proxy, request.headers(), &self.proxies, self.header);
        let origin = address.map_or(Origin::Unreadable, |address| self.limits.origin(address));
        let place = self.limits.admit_client(origin).map_err(|refusal| {
            self.metrics.connections_refused.of(refusal).inc();
            let mut answer = refuse::too_many().into_response();
            answer.headers_mut().insert(REQUEST_ID, request_id(request.headers()));
            answer
        });
        Client { origin, place, slot: self.slot.clone() }
    }
}

/// Passes an answer on. Where the connection becomes a socket, the client keeps
/// its place for as long as that lives.
fn keep<E>(
    place: ClientPlace,
    slot: &Weak<Mutex<Option<ClientPlace>>>,
    answer: Result<Response, E>,
) -> Result<Response, E> {
    if answer.as_ref().is_ok_and(is_upgraded)
        && let Some(slot) = slot.upgrade()
    {
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }
    answer
}

/// An error of hyper with what caused it, on one line.
struct Cause<'a>(&'a hyper::Error);

impl std::fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)?;
        let source = std::error::Error::source(self.0);
        let io = source.and_then(|source| source.downcast_ref::<std::io::Error>());
        match io.map(std::io::Error::kind) {
            Some(kind) if kind != ErrorKind::Other => write!(f, ": {kind}"),
            _ => Ok(()),
        }
    }
}
