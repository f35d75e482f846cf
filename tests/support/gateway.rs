//! A gateway of its own for each test.

use std::any::Any;
use std::collections::BTreeMap;
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use serde_json::Value;
use tempfile::TempDir;
use tidegate::app::{self, Running};
use tidegate::config::Config;
use tidegate::config::load::load;
use tidegate_clock::{Clock, Hands};
use tidegate_protocol::time::Timestamp;
use uuid::Uuid;

use crate::support::database::{self, PostgresDatabase};
use crate::support::http::Caller;
use crate::support::proxy::Proxy;
use crate::support::socket::Device;
use crate::support::token::{SECRET, Token};
use crate::support::transcript::Transcript;
use crate::support::wait::bounded;

/// Settings of a gateway before it starts.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    variables: BTreeMap<String, String>,
    has_proxy: bool,
    /// A PostgreSQL to make its database on, instead of SQLite.
    server: Option<String>,
    /// What the SQLite database holds before the gateway opens it.
    dump: Option<&'static str>,
    clock: Clock,
    hands: Hands,
}

impl Setup {
    /// What tests need: a free port, a known secret, the shared streams `news`
    /// and `prices`, and no waits that only spread load.
    pub(crate) fn new() -> Self {
        let server = database::named_server();
        let (clock, hands) = Clock::movable();
        Self { variables: BTreeMap::new(), has_proxy: false, server, dump: None, clock, hands }
            .set("listen", "127.0.0.1:0")
            .set("auth.hs256_secret", SECRET)
            .set("streams.shared", r#"["news", "prices"]"#)
            .set("database.synchronous", "normal")
            .set("session.behind_ms", "20")
            .set("drain.spread_ms", "0")
    }

    /// Sets a key, dotted as in the settings file.
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        let name = format!("TIDEGATE_{}", key.replace('.', "__").to_uppercase());
        self.variables.insert(name, value.to_owned());
        self
    }

    /// Reaches PostgreSQL through a [`Proxy`].
    pub(crate) fn through_a_proxy(self) -> Self {
        Self { has_proxy: true, ..self }
    }

    /// On PostgreSQL, whatever the other tests run on. `None`, and says so, where
    /// it is not installed.
    pub(crate) async fn on_postgres(self) -> Option<Self> {
        Some(Self { server: Some(database::needed_server().await?), ..self })
    }

    /// Begins on a SQLite database with this in it.
    pub(crate) fn on(self, dump: &'static str) -> Self {
        Self { dump: Some(dump), ..self }
    }

    /// As [`Gateway::stop_clock`], from before the start on.
    pub(crate) fn stop_clock(&self) -> i64 {
        self.hands.stand().millis()
    }

    /// The wall clock stands at this time, unless it is moved.
    pub(crate) fn clock_at(self, time: &str) -> Self {
        let time = chrono::DateTime::parse_from_rfc3339(time).unwrap();
        self.hands.stand_at(Timestamp::from_millis(time.timestamp_millis()));
        self
    }

    /// The gateway's clock, for what else the test starts.
    pub(crate) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Starts the gateway.
    pub(crate) async fn start(self) -> Gateway {
        let (has_proxy, dump) = (self.has_proxy, self.dump);
        let (clock, hands) = (self.clock.clone(), self.hands.clone());
        let data_dir = tempfile::tempdir().unwrap();
        let mut database = None;
        if let Some(server) = &self.server {
            database = Some(PostgresDatabase::create_on(server.clone()).await);
        }
        let mut setup = self.set("data_dir", data_dir.path().to_str().unwrap());
        let mut proxy = None;
        if let Some(database) = &database {
            let mut url = database.url();
            if has_proxy {
                let before = Proxy::before(&database.server()).await;
                url = url.replace(&database.server(), &before.address());
                proxy = Some(before);
            }
            setup = setup.set("database.url", &url);
        }
        if let Some(dump) = dump {
            database::fill(&data_dir.path().join("tidegate.db"), dump).await;
        }
        let config = load(None, setup.variables).unwrap();
        let running = run(&config, &clock).await;
        Gateway {
            running: Some(running),
            config,
            clock,
            hands,
            // No connection is kept: a jump of time would end it under way.
            http: reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap(),
            transcript: Transcript::default(),
            proxy,
            database,
            _data_dir: data_dir,
        }
    }
}

/// A gateway that runs in this process, with a clock the test moves.
pub(crate) struct Gateway {
    running: Option<Running>,
    config: Config,
    clock: Clock,
    hands: Hands,
    http: reqwest::Client,
    transcript: Transcript,
    // Dropped last: the gateway uses them.
    proxy: Option<Proxy>,
    database: Option<PostgresDatabase>,
    _data_dir: TempDir,
}

impl Gateway {
    /// Starts one with the settings of [`Setup::new`].
    pub(crate) async fn start() -> Self {
        Setup::new().start().await
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().expect("the gateway was stopped")
    }

    /// The database, on PostgreSQL.
    pub(crate) const fn database(&self) -> Option<&PostgresDatabase> {
        self.database.as_ref()
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// What lies between it and its database.
    pub(crate) fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("started without a proxy")
    }

    /// `127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        self.running().address().to_string()
    }

    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// Where the clients of this test write down what was said.
    pub(crate) const fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// Everything said since the last call.
    pub(crate) fn said(&self) -> String {
        self.transcript.take()
    }

    /// An app install of this user. It is shown in the transcript by its name.
    pub(crate) fn device(&self, name: &str, user: &str) -> Device {
        self.device_with_id(name, user, &Uuid::new_v4().to_string())
    }

    pub(crate) fn device_with_id(&self, name: &str, user: &str, id: &str) -> Device {
        self.transcript.name_id(id, name);
        Device::new(name, user, id, self.address(), self.transcript.clone())
    }

    /// A backend that calls with a `service` token.
    pub(crate) fn backend(&self) -> Caller {
        self.caller("backend", &Token::service("backend").sign())
    }

    /// The device's HTTP calls.
    pub(crate) fn calls_of(&self, device: &Device) -> Caller {
        self.caller(&device.name, &Token::device(&device.user).sign())
    }

    /// A caller with this token.
    pub(crate) fn caller(&self, name: &str, token: &str) -> Caller {
        let base = format!("http://{}", self.address());
        Caller::new(name, base, self.http.clone(), self.transcript.clone()).with_token(token)
    }

    /// Moves the wall clock of the gateway and of all that share it. What waits
    /// for it looks again at its next turn.
    pub(crate) fn move_clock(&self, by: Duration) {
        self.hands.advance(by);
    }

    /// Sets the same clock back.
    pub(crate) fn set_clock_back(&self, by: Duration) {
        self.hands.set_back(by);
    }

    /// The wall clock stands from here on, unless it is moved: what is told of it
    /// can be said exactly. Milliseconds.
    pub(crate) fn stop_clock(&self) -> i64 {
        self.hands.stand().millis()
    }

    /// What the audit log says of a subject, oldest first: who, what, detail.
    pub(crate) async fn audited(&self, subject: &str) -> Vec<(String, String, Value)> {
        let store = &self.running.as_ref().unwrap().state().store;
        let mut rows = tidegate::store::audit::about(store.readers(), subject).await.unwrap();
        rows.sort_by(|one, other| one.id.cmp(&other.id));
        let detail = |text: Option<String>| {
            text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
        };
        rows.into_iter().map(|row| (row.actor, row.action, detail(row.detail))).collect()
    }

    /// The gateway's wall clock, milliseconds.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now().millis()
    }

    /// Lets monotonic time jump: timers of the gateway and of the test that
    /// fall due in between fire at once.
    pub(crate) async fn pass_time(&self, by: Duration) {
        tokio::time::pause();
        tokio::time::advance(by).await;
        tokio::time::resume();
    }

    /// Keeps writes to this stream from being committed until dropped; on
    /// SQLite all writes.
    pub(crate) async fn hold_commits(&self, stream: &str) -> Held {
        let Some(database) = &self.database else {
            return Held(Box::new(self.running().state().store.begin_write().await.unwrap()));
        };
        let holding = database.console().await.begin().await.unwrap();
        let lock = format!("SELECT 1 FROM stream_head WHERE stream = '{stream}' FOR UPDATE");
        holding.execute_unprepared(&lock).await.unwrap();
        Held(Box::new(holding))
    }

    /// Drains and stops.
    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().expect("the gateway was stopped");
        bounded("stop", Box::pin(running.stop())).await;
    }

    /// Changes settings, for the next start.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
    }

    /// Starts again on the same data; the address changes.
    pub(crate) async fn restart(&mut self) {
        if self.running.is_some() {
            self.stop().await;
        }
        self.running = Some(run(&self.config, &self.clock).await);
    }
}

/// A lock in the database that ends with this.
pub(crate) struct Held(#[expect(dead_code, reason = "it is only dropped")] Box<dyn Any + Send>);

/// Boxed: the future of a whole gateway is large.
async fn run(config: &Config, clock: &Clock) -> Running {
    let starting = Box::pin(app::start(config.clone(), clock.clone()));
    bounded("start", starting).await.unwrap()
}
