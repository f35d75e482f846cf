//! A node of the simulation: the parts that `app` puts together, without what
//! goes on by itself (listening, upkeep, the loop of the push tier), and what is
//! around it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidegate::auth::{Authenticator, secret};
use tidegate::budget::Budget;
use tidegate::config::Config;
use tidegate::config::load::load;
use tidegate::hub::Hub;
use tidegate::hub::silent::Silent;
use tidegate::ingest::{Ingest, IngestOptions};
use tidegate::marketplace::{self, MarketplaceHandle};
use tidegate::metrics::Metrics;
use tidegate::providers::{self, ProvidersHandle};
use tidegate::push::dispatch::{self, Dispatcher};
use tidegate::push::{self, Push, setup};
use tidegate::sealing::Sealing;
use tidegate::session::SessionOptions;
use tidegate::state::{AppState, Parts};
use tidegate::store::{self, Store, StoreOptions};
use tidegate_clock::{Clock, Hands};
use tidegate_fakes::fcm::FakeFcm;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::simulation::connection::{market, news};
use crate::support::{PostgresDatabase, SECRET};

/// What the histories of one thread share: a clock, a push service, and an
/// empty database to begin with.
pub(super) struct Around {
    pub(super) clock: Clock,
    pub(super) hands: Hands,
    pub(super) fcm: FakeFcm,
    config: Config,
    push: Push,
    auth: Authenticator,
    /// An empty SQLite database with the schema.
    empty: Vec<u8>,
    _files: TempDir,
}

/// Where a history keeps its database.
pub(super) struct Place {
    url: String,
    _database: Option<PostgresDatabase>,
    _folder: TempDir,
}

/// A node that runs.
pub(super) struct Node {
    pub(super) state: AppState,
    pub(super) dispatcher: Dispatcher,
    stop: CancellationToken,
    writing: JoinSet<()>,
}

impl Around {
    pub(super) async fn new() -> Self {
        let (clock, hands) = Clock::movable();
        let fcm = FakeFcm::start_with(clock.clone()).await;
        let files = TempDir::new().unwrap();
        let credentials = files.path().join("account.json");
        std::fs::write(&credentials, fcm.credentials()).unwrap();
        let fcm_url = fcm.url();
        let settings = [
            ("AUTH__HS256_SECRET", SECRET),
            ("PUSH__FCM__CREDENTIALS_FILE", credentials.to_str().unwrap()),
            ("PUSH__FCM__BASE_URL", &fcm_url),
            ("PUSH__RAMP_S", "0"),
            ("PUSH__PROJECT_PER_MINUTE", "6000000"),
            ("DATA_DIR", files.path().to_str().unwrap()),
        ];
        let settings = settings.map(|(name, value)| (format!("TIDEGATE_{name}"), value.to_owned()));
        let config = load(None, BTreeMap::from(settings)).unwrap();
        let keys = secret::resolve(&config).unwrap();
        let auth = Authenticator::new(&keys, clock.clone(), Metrics::new()).await.unwrap();
        let push = setup::open(&config, &clock).unwrap();
        let empty = files.path().join("empty.db");
        let store = Store::open(&store_options(&sqlite_url(&empty))).await.unwrap();
        store::schema::migrate(&store).await.unwrap();
        store.close().await.unwrap();
        let empty = std::fs::read(empty).unwrap();
        Self { clock, hands, fcm, config, push, auth, empty, _files: files }
    }
}

impl Place {
    /// An empty database: a file in memory where there is such a folder, for
    /// nothing here is about disks.
    pub(super) async fn new(around: &Around) -> Self {
        const MEMORY: &str = "/dev/shm";
        let folder =
            if Path::new(MEMORY).is_dir() { TempDir::new_in(MEMORY) } else { TempDir::new() };
        let folder = folder.unwrap();
        let database = PostgresDatabase::create().await;
        let url = if let Some(database) = &database {
            let store = Store::open(&store_options(&database.url())).await.unwrap();
            store::schema::migrate(&store).await.unwrap();
            store.close().await.unwrap();
            database.url()
        } else {
            let file = folder.path().join("simulation.db");
            std::fs::write(&file, &around.empty).unwrap();
            sqlite_url(&file)
        };
        Self { url, _database: database, _folder: folder }
    }
}

/// The name of every node: one after the other.
const NAME: &str = "simulated";

/// Empty, of whatever type is asked for.
fn empty<T: Default>() -> T {
    T::default()
}

fn sqlite_url(file: &Path) -> String {
    format!("sqlite://{}?mode=rwc", file.display())
}

fn store_options(url: &str) -> StoreOptions {
    StoreOptions {
        url: url.to_owned(),
        connections: 1,
        synchronous_full: false,
        acquire_timeout: Duration::from_mins(1),
        statement_timeout: Duration::from_mins(1),
        lock_timeout: Duration::from_secs(1),
        check_limit: Duration::ZERO,
    }
}

fn session_options() -> SessionOptions {
    SessionOptions {
        ack_timeout_ms: 60_000,
        auth_warning_ms: 60_000,
        frames_per_second: 100,
        frames_burst: 200,
    }
}

fn ingest_options(config: &Config) -> IngestOptions {
    IngestOptions {
        queue: 1024,
        batch: 512,
        result_timeout_ms: config.push.result_timeout_ms,
        pending_per_user: 10_000,
        devices_per_user: 50,
        push_bucket_milli: Some(dispatch::bucket(&config.push).full_milli()),
        rules: Arc::default(),
    }
}

/// What the push tier works with.
fn push_handles(parts: &Parts) -> push::Handles {
    push::Handles {
        node: parts.node.clone(),
        settings: parts.config.push.clone(),
        store: parts.store.clone(),
        ingest: parts.ingest.clone(),
        hub: Arc::clone(&parts.hub),
        clock: parts.clock.clone(),
        metrics: parts.metrics.clone(),
    }
}

/// No cloud provider is configured.
fn no_providers(
    around: &Around,
    (store, ingest, metrics): (&Store, &Ingest, &Metrics),
) -> ProvidersHandle {
    ProvidersHandle::new(providers::Parts {
        node: NAME.to_owned(),
        settings: around.config.providers.clone(),
        store: store.clone(),
        ingest: ingest.clone(),
        clock: around.clock.clone(),
        metrics: metrics.clone(),
        sealing: Sealing::new(&[]),
        clients: BTreeMap::new(),
        look: tokio::sync::Notify::new(),
    })
}

impl Node {
    pub(super) async fn open(around: &Around, place: &Place) -> Self {
        let (config, push) = (around.config.clone(), around.push.clone());
        let store = Store::open(&store_options(&place.url)).await.unwrap();
        let (hub, stop) = (Hub::new(tokio::runtime::Handle::current()), CancellationToken::new());
        let metrics = Metrics::new();
        let (ingest, writer) = Ingest::new(
            store.clone(),
            Arc::clone(&hub),
            around.clock.clone(),
            metrics.clone(),
            ingest_options(&config),
            stop.clone(),
        );
        let marketplace = MarketplaceHandle::new(marketplace::Parts {
            node: NAME.to_owned(),
            settings: config.marketplace.clone(),
            store: store.clone(),
            ingest: ingest.clone(),
            clock: around.clock.clone(),
            metrics: metrics.clone(),
            rules: Arc::default(),
            hints: None,
        });
        let providers = no_providers(around, (&store, &ingest, &metrics));
        let parts = Parts {
            session_options: Arc::new(session_options()),
            shared_streams: HashSet::from([news(), market()]),
            silent: Silent::new((&config.limits).into()),
            bodies: Budget::new(config.limits.bodies_total_bytes),
            answers: Budget::new(config.limits.answers_total_bytes),
            node: NAME.to_owned(),
            config,
            store,
            ingest,
            hub,
            clock: around.clock.clone(),
            started: Instant::now(),
            metrics,
            auth: around.auth.clone(),
            push: push.clone(),
            marketplace,
            providers,
            rules: Arc::default(),
            sockets: tokio_util::task::TaskTracker::new(),
            draining: CancellationToken::new(),
            pollers: empty(),
        };
        let mut writing = JoinSet::new();
        writing.spawn(writer.run());
        let mut dispatcher = Dispatcher::new(push_handles(&parts), push).unwrap();
        dispatcher.begin().await.unwrap();
        Self { state: AppState::new(parts), dispatcher, stop, writing }
    }

    /// What was noted for later and not written is lost, as in a crash.
    pub(super) async fn end(&mut self) {
        self.stop.cancel();
        while let Some(done) = self.writing.join_next().await {
            done.unwrap();
        }
        self.state.store.clone().close().await.unwrap();
    }
}

impl std::ops::Deref for Node {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.state
    }
}
