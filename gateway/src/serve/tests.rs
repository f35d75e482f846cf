//! Clients that are slow, silent, too many, or in flight while the node goes
//! away, over loopback.

use std::net::SocketAddr;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::*;
use crate::metrics::label::ConnectionRefusal;

mod clients;
mod tls;
mod waits;

/// Longest time anything may take here; never waited for where all is well.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    options: ServeOptions,
}

fn options() -> ServeOptions {
    ServeOptions {
        connections_total: 100,
        connections_per_address: 100,
        first_byte_timeout: Duration::from_millis(200),
        header_timeout: Duration::from_millis(200),
        keep_alive_timeout: PATIENCE,
        write_timeout: PATIENCE,
        drain_deadline: PATIENCE,
        trusted_proxies: Vec::new(),
        forwarded_header: ForwardedHeader::Auto,
        tls: None,
        sockets: TaskTracker::new(),
        metrics: Metrics::new(),
    }
}

/// Patient with clients, so that nothing is closed while a test looks away.
fn patient() -> ServeOptions {
    ServeOptions { first_byte_timeout: PATIENCE, header_timeout: PATIENCE, ..options() }
}

async fn start(options: ServeOptions, router: Router) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    let serving = serve(listener, router, options.clone(), shutdown.clone());
    tasks.spawn(async move { serving.await.unwrap() });
    tasks.close();
    Running { address, shutdown, tasks, options }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    fn refused(&self, why: ConnectionRefusal) -> u64 {
        self.options.metrics.connections_refused.of(why).get()
    }

    async fn ended(&self) {
        timeout(PATIENCE, self.tasks.wait()).await.expect("the server ends");
    }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// Everything until the server closes.
async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    // A reset is an end as well.
    let _ = timeout(PATIENCE, stream.read_to_string(&mut text)).await.expect("the server closes");
    text
}

async fn read_some(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = vec![0; 4096];
    let count = timeout(PATIENCE, stream.read(&mut bytes)).await.unwrap().unwrap();
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = start(patient(), hello()).await;
    let mut stream = server.connect().await;
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(HEAD_BYTES));
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_some(&mut stream).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn connections_beyond_the_total_are_told_and_a_freed_place_is_used() {
    let server = start(ServeOptions { connections_total: 1, ..patient() }, hello()).await;
    let mut first = server.connect().await;
    first.write_all(GET).await.unwrap();
    assert!(read_some(&mut first).await.starts_with("HTTP/1.1 200"));

    let mut second = server.connect().await;
    second.write_all(GET).await.unwrap();
    let answer = read_all(&mut second).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("retry-after: 1") && answer.contains("\"unavailable\""), "{answer}");
    assert!(answer.contains("\r\nx-request-id: "), "{answer}");
    assert_eq!(server.refused(ConnectionRefusal::Total), 1);

    drop(first);
    while server.options.metrics.connections.get() > 0 {
        tokio::task::yield_now().await;
    }
    let mut third = server.connect().await;
    third.write_all(GET).await.unwrap();
    assert!(read_some(&mut third).await.starts_with("HTTP/1.1 200"));
}

/// Makes every connection a socket, which lives until it is told to close.
fn upgrading(close: Arc<Notify>) -> Router {
    let tracker = TaskTracker::new();
    let upgrade = async move |mut request: axum::extract::Request| {
        let upgrade = hyper::upgrade::on(&mut request);
        tracker.spawn(async move {
            let socket = upgrade.await.unwrap();
            close.notified().await;
            drop(socket);
        });
        let headers = [("connection", "upgrade"), ("upgrade", "x")];
        (http::StatusCode::SWITCHING_PROTOCOLS, headers)
    };
    Router::new().route("/", get(upgrade))
}

#[tokio::test]
async fn a_place_is_kept_through_the_upgrade() {
    let upgraded = Arc::new(Notify::new());
    let server = start(patient(), upgrading(Arc::clone(&upgraded))).await;
    let mut stream = server.connect().await;
    let head = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    stream.write_all(head).await.unwrap();
    assert!(read_some(&mut stream).await.starts_with("HTTP/1.1 101"));
    assert_eq!(server.options.metrics.connections.get(), 1);
    upgraded.notify_one();
    assert_eq!(read_all(&mut stream).await, "");
    assert_eq!(server.options.metrics.connections.get(), 0);
}

#[tokio::test]
async fn a_drain_lets_requests_in_flight_end_and_waits_for_sockets() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, wait) = (Arc::clone(&entered), Arc::clone(&leave));
    let slow = async move || {
        enter.notify_one();
        wait.notified().await;
        "done"
    };
    let server = start(patient(), Router::new().route("/", get(slow))).await;
    let socket = CancellationToken::new();
    server.options.sockets.spawn(socket.clone().cancelled_owned());
    let mut silent = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(GET).await.unwrap();
    entered.notified().await;

    server.shutdown.cancel();
    assert_eq!(read_all(&mut silent).await, "");
    assert!(TcpStream::connect(server.address).await.is_err(), "no more are accepted");
    leave.notify_one();
    let answer = read_all(&mut busy).await;
    assert!(answer.ends_with("done") && answer.contains("connection: close"), "{answer}");
    assert!(!server.tasks.is_empty(), "the socket is waited for");
    socket.cancel();
    server.ended().await;
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline() {
    let entered = Arc::new(Notify::new());
    let enter = Arc::clone(&entered);
    let stuck = async move || {
        enter.notify_one();
        std::future::pending::<()>().await;
    };
    let deadline = Duration::from_millis(100);
    let options = ServeOptions { drain_deadline: deadline, ..patient() };
    let server = start(options, Router::new().route("/", get(stuck))).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    entered.notified().await;
    server.shutdown.cancel();
    assert_eq!(read_all(&mut stream).await, "");
    server.ended().await;
}

#[tokio::test]
async fn a_failed_accept_rests_and_a_client_that_left_does_not_count() {
    let mut retry = Retry::new();
    retry.failed(&ErrorKind::ConnectionAborted.into()).await;
    assert!(!retry.failing);
    retry.failed(&Error::from_raw_os_error(24)).await;
    assert!(retry.failing);
    retry.succeeded();
    assert!(!retry.failing);
}
