//! The gateway as a whole: opens what it needs, starts its tasks, and takes
//! everything down in order.

use std::collections::HashSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::Router;
use dashmap::DashMap;
use futures_util::FutureExt as _;
use tidegate_clock::Clock;
use tidegate_protocol::id::StreamName;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::needed::needed;
use crate::app::signals::Signals;
use crate::auth::{Authenticator, secret};
use crate::budget::Budget;
use crate::config::Config;
use crate::config::check::MARKETPLACE;
use crate::hub::Hub;
use crate::hub::silent::Silent;
use crate::ingest::writer::Writer;
use crate::ingest::{Ingest, IngestOptions};
use crate::marketplace::{self, MarketplaceHandle};
use crate::metrics::Metrics;
use crate::providers::{self, ProvidersHandle};
use crate::push::{self, Push, dispatch, setup};
use crate::resolve::rules::Rules;
use crate::session::SessionOptions;
use crate::state::{AppState, Parts};
use crate::{http, serve, upkeep};

pub mod backup;
mod cloud;
pub mod database;
pub mod epochs;
mod farewell;
mod needed;
mod node;
pub mod quick_start;
pub mod restore;
pub mod rotate;
mod rules;
mod signals;

/// A gateway that accepts connections.
pub struct Running {
    address: SocketAddr,
    state: AppState,
    /// Ends the recurring work.
    upkeep_stop: CancellationToken,
    upkeep: TaskTracker,
    /// A task ended that the gateway needs.
    lost: CancellationToken,
    /// Ends the accept loop.
    serve_stop: CancellationToken,
    serving: JoinHandle<()>,
    writer_stop: CancellationToken,
    writing: JoinHandle<()>,
}

/// Serves until SIGTERM or Ctrl-C, then drains.
pub async fn run(config: Config) -> anyhow::Result<()> {
    // First: who is asked to end as soon as it listens ends in order too.
    let mut signals = Signals::listen()?;
    let running = tokio::select! {
        started = start(config, Clock::system()) => started?,
        () = signals.asked() => return Ok(()),
    };
    if let Some(text) = quick_start::text(&running) {
        // Whoever closed standard output does not want to read it.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
    let ended = tokio::select! {
        () = signals.asked() => Ok(()),
        // The log says which. What still works drains, and the process ends
        // with an error, so that it is noticed.
        () = running.lost.cancelled() => Err(anyhow!("a task ended that the gateway needs")),
    };
    running.stop().await;
    ended
}

/// Starts a gateway: opens and migrates the database, listens, serves.
pub async fn start(config: Config, clock: Clock) -> anyhow::Result<Running> {
    let metrics = Metrics::new();
    let auth = authenticator(&config, &clock, &metrics).await?;
    let push = setup::open(&config, &clock)?;
    let rules = Arc::new(rules::read(&config)?);
    let [upkeep_stop, serve_stop, writer_stop, lost] =
        std::array::from_fn(|_| CancellationToken::new());
    let service = marketplace::Service::open(&config.marketplace, &clock)?;
    let clients = providers::clients(&config.providers, &clock)?;
    let sealing = rotate::keys(&config)?;
    let node = node::name(&config.data_dir)?;
    let store = database::open(&config, &node).await?;
    let hub = Hub::new(tokio::runtime::Handle::current());
    let (ingest, writer) = Ingest::new(
        store.clone(),
        Arc::clone(&hub),
        clock.clone(),
        metrics.clone(),
        ingest_options(&config, &push, &rules),
        writer_stop.clone(),
    );
    let (listener, address) = listen(config.listen).await?;
    let sockets = TaskTracker::new();
    let options = serve::ServeOptions::from_config(&config, sockets.clone(), metrics.clone());
    let own = upkeep::Parts { node, config, store, ingest, hub, clock, metrics, auth };
    let own = upkeep::Handles::new(own);
    let hints = service.as_ref().map(marketplace::Service::hints);
    let providers = cloud::handle(&own, clients, sealing);
    let state = AppState::new(parts(&own, push.clone(), rules, (hints, providers), sockets)?);
    let services = Services {
        push,
        marketplace: state.marketplace.clone(),
        service,
        providers: state.providers.clone(),
    };
    let upkeep = start_work(&own, services, &upkeep_stop, &lost);
    let serving = start_serving(listener, http::router(state.clone()), options, &serve_stop, &lost);
    let writing = start_writer(writer, &writer_stop, &lost)?;
    tracing::info!(%address, "listening");
    Ok(Running {
        address,
        state,
        upkeep_stop,
        upkeep,
        lost,
        serve_stop,
        serving,
        writer_stop,
        writing,
    })
}

/// What routes and sockets work with.
fn parts(
    own: &upkeep::Handles,
    push: Push,
    rules: Arc<Rules>,
    (hints, providers): (Option<Arc<marketplace::Hints>>, ProvidersHandle),
    sockets: TaskTracker,
) -> anyhow::Result<Parts> {
    let config = own.config.clone();
    let marketplace = MarketplaceHandle::new(marketplace::Parts {
        node: own.node.clone(),
        settings: config.marketplace.clone(),
        store: own.store.clone(),
        ingest: own.ingest.clone(),
        clock: own.clock.clone(),
        metrics: own.metrics.clone(),
        rules: Arc::clone(&rules),
        hints,
    });
    Ok(Parts {
        session_options: Arc::new(session_options(&config)),
        shared_streams: shared_streams(&config)?,
        silent: Silent::new((&config.limits).into()),
        bodies: Budget::new(config.limits.bodies_total_bytes),
        answers: Budget::new(config.limits.answers_total_bytes),
        node: own.node.clone(),
        config,
        store: own.store.clone(),
        ingest: own.ingest.clone(),
        hub: Arc::clone(&own.hub),
        clock: own.clock.clone(),
        started: Instant::now(),
        metrics: own.metrics.clone(),
        auth: own.auth.clone(),
        push,
        marketplace,
        providers,
        rules,
        sockets,
        draining: CancellationToken::new(),
        pollers: DashMap::new(),
    })
}

async fn authenticator(
    config: &Config,
    clock: &Clock,
    metrics: &Metrics,
) -> anyhow::Result<Authenticator> {
    let keys = secret::resolve(config)?;
    let auth = Authenticator::new(&keys, clock.clone(), metrics.clone()).await;
    auth.context("reading the keys that tokens are checked with")
}

fn start_serving(
    listener: TcpListener,
    router: Router,
    options: serve::ServeOptions,
    stop: &CancellationToken,
    lost: &CancellationToken,
) -> JoinHandle<()> {
    let serving = serve::serve(listener, router, options, stop.clone());
    spawn(needed("serving", stop.clone(), lost.clone(), async {
        if let Err(error) = serving.await {
            tracing::error!(error = format!("{error:#}"), "serving ended");
        }
    }))
}

async fn listen(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("listening on {address}"))?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// What works with services outside.
struct Services {
    push: Push,
    marketplace: MarketplaceHandle,
    service: Option<marketplace::Service>,
    providers: ProvidersHandle,
}

/// Starts everything that goes on by itself until `stop`.
fn start_work(
    own: &upkeep::Handles,
    services: Services,
    stop: &CancellationToken,
    lost: &CancellationToken,
) -> TaskTracker {
    let Services { push, marketplace, service, providers } = services;
    let mut work = upkeep::tasks(own, stop);
    if providers.is_on() {
        work.push(("providers", providers::run(providers, stop.clone()).boxed()));
    }
    if push.is_configured() {
        work.push(("push", dispatch(push_handles(own), push, stop.clone()).boxed()));
    }
    if let Some(service) = service {
        work.push(("marketplace", marketplace::run(marketplace, service, stop.clone()).boxed()));
    }
    let tasks = TaskTracker::new();
    for (what, task) in work {
        tasks.spawn(needed(what, stop.clone(), lost.clone(), task));
    }
    tasks
}

fn push_handles(own: &upkeep::Handles) -> push::Handles {
    push::Handles {
        node: own.node.clone(),
        settings: own.config.push.clone(),
        store: own.store.clone(),
        ingest: own.ingest.clone(),
        hub: Arc::clone(&own.hub),
        clock: own.clock.clone(),
        metrics: own.metrics.clone(),
    }
}

/// Runs the push tier; without it devices still have sockets and polls.
async fn dispatch(handles: push::Handles, push: Push, stop: CancellationToken) {
    if let Err(error) = dispatch::run(handles, push, stop).await {
        tracing::error!(error = format!("{error:#}"), "the push tier ended");
    }
}

/// Starts the writer. With SQLite it has a thread of its own: each statement
/// is answered by another thread, and among thousands of ready sessions the
/// writer would wait for its turn after every one of them. Connections to
/// PostgreSQL belong to the runtime that opened them.
fn start_writer(
    writer: Writer,
    stop: &CancellationToken,
    lost: &CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let is_embedded = writer.store.is_embedded();
    let writing = needed("writer", stop.clone(), lost.clone(), writer.run());
    if !is_embedded {
        return Ok(spawn(writing));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.context("starting the writer's thread")?;
    Ok(tokio::task::spawn_blocking(move || runtime.block_on(writing)))
}

#[expect(clippy::disallowed_methods, reason = "the two tasks that live as long as the gateway")]
fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}

impl Running {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it works with, for tests that look inside.
    pub const fn state(&self) -> &AppState {
        &self.state
    }

    /// Drains: not ready any more, sockets told to come back elsewhere, spread
    /// over a window, writes committed. Done within the deadline in any case,
    /// and the last writes have their part of it, whatever the sockets take.
    pub async fn stop(mut self) {
        let drain = &self.state.config.drain;
        let deadline = Instant::now() + Duration::from_millis(drain.deadline_ms);
        let sockets_until = deadline - drain.last_writes();
        tracing::info!("draining");
        if timeout_at(sockets_until, self.say_goodbye()).await.is_err() {
            tracing::warn!("sockets took longer than the drain's deadline; some were cut");
        }
        if timeout_at(deadline, self.finish()).await.is_err() {
            tracing::error!("the last writes took longer than the drain's deadline");
        }
        tracing::info!("stopped");
    }

    async fn say_goodbye(&mut self) {
        self.state.draining.cancel();
        farewell::drain_sessions(&self.state).await;
        self.serve_stop.cancel();
        if let Err(error) = (&mut self.serving).await {
            tracing::error!(%error, "serving panicked");
        }
    }

    /// Commits what waits and closes the database.
    async fn finish(self) {
        let state = self.state;
        self.upkeep_stop.cancel();
        self.upkeep.close();
        self.upkeep.wait().await;
        if let Err(error) = state.ingest.flush_behind().await {
            tracing::warn!(%error, "the last timeline rows were not written");
        }
        self.writer_stop.cancel();
        if let Err(error) = self.writing.await {
            tracing::error!(%error, "the writer panicked");
        }
        if let Err(error) = upkeep::writing::leave(&state.store, &state.node).await {
            tracing::debug!(%error, "that the database was left in order was not noted");
        }
        if let Err(error) = state.store.clone().close().await {
            tracing::warn!(%error, "the database did not close cleanly");
        }
    }
}

fn ingest_options(config: &Config, push: &Push, rules: &Arc<Rules>) -> IngestOptions {
    IngestOptions {
        queue: config.limits.write_queue,
        batch: config.limits.commit_batch,
        result_timeout_ms: config.push.result_timeout_ms,
        pending_per_user: config.limits.pending_per_user,
        devices_per_user: config.limits.devices_per_user,
        push_bucket_milli: push
            .is_configured()
            .then(|| dispatch::bucket(&config.push).full_milli()),
        rules: Arc::clone(rules),
    }
}

fn session_options(config: &Config) -> SessionOptions {
    SessionOptions {
        ack_timeout_ms: config.session.ack_timeout_ms,
        auth_warning_ms: config.session.auth_warning_ms,
        frames_per_second: config.limits.frames_per_second,
        frames_burst: config.limits.frames_burst,
    }
}

fn shared_streams(config: &Config) -> anyhow::Result<HashSet<StreamName>> {
    let mut streams: HashSet<StreamName> = config.streams.shared.iter().cloned().collect();
    streams.insert(StreamName::parse(MARKETPLACE)?);
    Ok(streams)
}
