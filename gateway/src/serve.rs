//! Accepts connections and lets them go: the accept loop, its limits, TLS, and
//! the drain at the end.
//!
//! Owns every connection up to its upgrade; from there its socket belongs to
//! `transport`, whose tasks are only waited for here. Knows no route.
//!
//! The loop is our own, because `axum::serve` bounds neither connections nor the
//! time for a head, and does not wait for sockets when it drains.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use ipnet::IpNet;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, ForwardedHeader};
use crate::metrics::Metrics;
use crate::retry::{Delays, Schedule};
use crate::serve::io::Patience;
use crate::serve::limit::Connections;
use crate::serve::refuse::Refusals;
use crate::serve::tls::{Tls, TlsFiles};

mod client_addr;
mod connection;
mod io;
mod limit;
mod refuse;
pub mod tls;
mod turn;

/// Largest request head; also the buffer a connection reads into. Heads carry
/// a token of a few KiB at most.
const HEAD_BYTES: usize = 16 * 1024;

/// Most headers of a request.
const HEADERS: usize = 64;

/// Files needed beside connections: databases, logs, the listener.
const FILES_RESERVED: u64 = 128;

/// How long the loop rests when the system has no file or memory left.
const ACCEPT_RETRY: Schedule = Schedule {
    base: Duration::from_millis(10),
    factor: 2.0,
    cap: Duration::from_secs(1),
    jitter: 0.0,
};

/// How connections are kept.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Connections in all, sockets included.
    pub connections_total: usize,
    /// Connections of one address.
    pub connections_per_address: usize,
    /// From accept to the first byte.
    pub first_byte_timeout: Duration,
    /// From there to the end of the head; the TLS handshake gets as long.
    pub header_timeout: Duration,
    /// From an answer to the first byte of the next request.
    pub keep_alive_timeout: Duration,
    /// Longest time that a write may make no progress.
    pub write_timeout: Duration,
    /// After this, what is still open is dropped.
    pub drain_deadline: Duration,
    /// Networks whose word for a client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The header they say it in.
    pub forwarded_header: ForwardedHeader,
    /// Certificate and key; `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Tasks of upgraded sockets, waited for at the end.
    pub sockets: TaskTracker,
    /// Figures.
    pub metrics: Metrics,
}

impl ServeOptions {
    /// As configured.
    pub fn from_config(config: &Config, sockets: TaskTracker, metrics: Metrics) -> Self {
        Self {
            connections_total: config.limits.connections_total,
            connections_per_address: config.limits.connections_per_address,
            first_byte_timeout: Duration::from_millis(config.http.first_byte_timeout_ms),
            header_timeout: Duration::from_millis(config.http.header_timeout_ms),
            keep_alive_timeout: Duration::from_millis(config.http.keep_alive_timeout_ms),
            write_timeout: Duration::from_millis(config.session.write_timeout_ms),
            drain_deadline: drain_deadline(&config.drain),
            trusted_proxies: config.http.trusted_proxies.clone(),
            forwarded_header: config.http.forwarded_header,
            tls: (!config.tls.cert_file.is_empty()).then(|| TlsFiles {
                cert: PathBuf::from(&config.tls.cert_file),
                key: PathBuf::from(&config.tls.key_file),
            }),
            sockets,
            metrics,
        }
    }
}

/// What is left of the drain's time for connections: before them sockets are
/// told, after them the last writes are committed.
fn drain_deadline(drain: &crate::config::Drain) -> Duration {
    let left = Duration::from_millis(drain.deadline_ms.saturating_sub(drain.spread_ms));
    left.saturating_sub(drain.last_writes())
}

/// Serves until `shutdown` is cancelled, then drains: accepts no more, lets
/// requests in flight and tracked sockets end, and returns when they have or
/// when the deadline has passed.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: ServeOptions,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    warn_of_too_few_files(options.connections_total);
    let tls = match &options.tls {
        Some(files) => Some(Tls::load(files.clone()).await?),
        None => None,
    };
    // Without TLS there is nothing to read again: SIGHUP keeps its meaning.
    let hangups = if tls.is_some() { Some(signal(SignalKind::hangup())?) } else { None };
    let server = Arc::new(Server::new(router, tls, options, shutdown.clone()));
    if let Some(hangups) = hangups {
        server.reload_at(hangups);
    }
    let mut retry = Retry::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    retry.succeeded();
                    server.admit(stream, peer);
                }
                // Nothing else may be waited for here: whoever connects waits
                // with us.
                Err(error) => {
                    shutdown.run_until_cancelled(retry.failed(&error)).await;
                }
            },
        }
    }
    drop(listener);
    server.drain().await;
    Ok(())
}

/// What all connections share.
struct Server {
    router: Router,
    http: http1::Builder,
    patience: Patience,
    tls: Option<Tls>,
    options: ServeOptions,
    trusted_proxies: Arc<[IpNet]>,
    limits: Arc<Connections>,
    refusals: Refusals,
    /// Tasks of connections that are not upgraded.
    tasks: TaskTracker,
    /// Finish what you do and end.
    shutdown: CancellationToken,
    /// End now.
    cut: CancellationToken,
}

impl Server {
    fn new(
        router: Router,
        tls: Option<Tls>,
        options: ServeOptions,
        shutdown: CancellationToken,
    ) -> Self {
        let mut http = http1::Builder::new();
        // The stream keeps the time. Hyper's own is for both waits together;
        // without any it would not look for the next request, and the stream's
        // would not begin.
        http.timer(TokioTimer::new())
            .header_read_timeout(options.keep_alive_timeout + options.header_timeout)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS);
        let patience = Patience {
            head: options.header_timeout,
            idle: options.keep_alive_timeout,
            write: options.write_timeout,
        };
        let trusted_proxies: Arc<[IpNet]> = options.trusted_proxies.clone().into();
        let limits = Connections::new(
            options.connections_total,
            options.connections_per_address,
            Arc::clone(&trusted_proxies),
            &options.metrics,
        );
        Self {
            router,
            http,
            patience,
            tls,
            trusted_proxies,
            limits: Arc::new(limits),
            refusals: Refusals::new(),
            tasks: TaskTracker::new(),
            shutdown,
            cut: CancellationToken::new(),
            options,
        }
    }

    /// Gives the connection its task, or turns it away.
    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        match self.limits.admit(peer.ip()) {
            Ok(permit) => {
                let server = Arc::clone(self);
                self.tasks.spawn(async move {
                    let connection = connection::run(&server, stream, peer, permit);
                    server.cut.run_until_cancelled(connection).await;
                });
            }
            Err(refusal) => {
                self.options.metrics.connections_refused.of(refusal).inc();
                // A plain answer on a TLS port would only confuse.
                if self.tls.is_none() {
                    self.refusals.answer(&self.tasks, stream, refusal);
                }
            }
        }
    }

    /// Reads the certificate again at every signal, beside the accept loop.
    fn reload_at(self: &Arc<Self>, hangups: Signal) {
        let server = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Some(tls) = &server.tls {
                server.shutdown.run_until_cancelled(tls.reload_at(hangups)).await;
            }
        });
    }

    async fn drain(&self) {
        let sockets = &self.options.sockets;
        self.tasks.close();
        sockets.close();
        let all = async { tokio::join!(self.tasks.wait(), sockets.wait()) };
        if tokio::time::timeout(self.options.drain_deadline, all).await.is_err() {
            tracing::warn!(
                connections = self.tasks.len(),
                sockets = sockets.len(),
                "the drain deadline has passed; dropping what is left"
            );
            self.cut.cancel();
            self.tasks.wait().await;
        }
    }
}

/// Waits after a failed accept, and logs the first failure of a row.
struct Retry {
    delays: Delays,
    failing: bool,
}

impl Retry {
    fn new() -> Self {
        Self { delays: ACCEPT_RETRY.delays(), failing: false }
    }

    fn succeeded(&mut self) {
        if self.failing {
            *self = Self::new();
            tracing::info!("accepting connections again");
        }
    }

    async fn failed(&mut self, error: &Error) {
        // The client has gone already: nothing is wrong here.
        if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) {
            return;
        }
        if !self.failing {
            self.failing = true;
            tracing::error!(error = %error, "cannot accept connections; trying again");
        }
        // Without a pause the loop would spin: the connection stays in the queue.
        tokio::time::sleep(self.delays.next().unwrap_or(ACCEPT_RETRY.cap)).await;
    }
}

/// The limit is the operator's to raise: serving fewer is better than not
/// serving.
fn warn_of_too_few_files(connections_total: usize) {
    let needed =
        u64::try_from(connections_total).unwrap_or(u64::MAX).saturating_add(FILES_RESERVED);
    if let Some(allowed) = getrlimit(Resource::Nofile).current.filter(|allowed| *allowed < needed) {
        tracing::warn!(
            files.allowed = allowed,
            files.needed = needed,
            "`limits.connections_total` needs more files than this process may open; \
             raise `ulimit -n`"
        );
    }
}

#[cfg(test)]
mod tests;
