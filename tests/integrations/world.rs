//! A gateway, four providers, and users who connect to them.

use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};
use tidegate_clock::Clock;
use tidegate_fakes::provider::fitbit::FakeFitbit;
use tidegate_fakes::provider::google_health::FakeGoogleHealth;
use tidegate_fakes::provider::oura::FakeOura;
use tidegate_fakes::provider::strava::{FakeStrava, activity};
use tidegate_fakes::provider::{CLIENT_ID, CLIENT_SECRET, Service};
use tidegate_protocol::time::Timestamp;

use crate::support::{Answer, Caller, Gateway, Setup, Token, eventually};

/// Where the gateway says it is; tests call it where it listens.
pub(super) const PUBLIC: &str = "http://tidegate.test";

/// When tests begin.
pub(super) const START: &str = "2026-11-26T12:01:00Z";

pub(super) const STRAVA: &str = "strava";
pub(super) const GOOGLE: &str = "google_health";
pub(super) const OURA: &str = "oura";
pub(super) const FITBIT: &str = "fitbit";

/// The four, before the gateway starts.
pub(super) struct Stage {
    pub(super) providers: Providers,
    setup: Setup,
}

/// The four.
pub(super) struct Providers {
    pub(super) strava: FakeStrava,
    pub(super) google: FakeGoogleHealth,
    pub(super) oura: FakeOura,
    pub(super) fitbit: FakeFitbit,
}

impl Providers {
    async fn start(clock: &Clock) -> Self {
        Self {
            strava: FakeStrava::start(clock.clone()).await.unwrap(),
            google: FakeGoogleHealth::start(clock.clone()).await.unwrap(),
            oura: FakeOura::start(clock.clone()).await.unwrap(),
            fitbit: {
                let fitbit = FakeFitbit::start(clock.clone()).await.unwrap();
                // As it was until it was shut down.
                fitbit.set_gone(false);
                fitbit
            },
        }
    }

    pub(super) fn of(&self, provider: &str) -> &Service {
        match provider {
            STRAVA => &self.strava,
            GOOGLE => &self.google,
            OURA => &self.oura,
            FITBIT => &self.fitbit,
            _ => panic!("{provider} is no provider"),
        }
    }
}

impl Stage {
    pub(super) async fn new() -> Self {
        Self::of(Setup::new()).await
    }

    pub(super) async fn of(setup: Setup) -> Self {
        let mut setup = setup
            .clock_at(START)
            .set("providers.public_url", PUBLIC)
            .set("providers.return_urls", r#"["https://app.example/done"]"#)
            .set("providers.fitbit.enabled", "true");
        let providers = Providers::start(&setup.clock()).await;
        for provider in [STRAVA, GOOGLE, OURA, FITBIT] {
            let service = providers.of(provider);
            for (key, value) in [
                ("client_id", CLIENT_ID),
                ("client_secret", CLIENT_SECRET),
                ("base_url", &service.base_url()),
                ("authorize_url", &service.authorize_url()),
                ("token_url", &service.token_url()),
                ("revoke_url", &service.revoke_url()),
            ] {
                setup = setup.set(&format!("providers.{provider}.{key}"), value);
            }
        }
        Self { providers, setup }
    }

    pub(super) fn set(self, key: &str, value: &str) -> Self {
        Self { setup: self.setup.set(key, value), ..self }
    }

    pub(super) async fn on_postgres(self) -> Option<Self> {
        Some(Self { setup: self.setup.on_postgres().await?, ..self })
    }

    pub(super) async fn start(self) -> World {
        let Self { providers, setup } = self;
        World { gateway: setup.start().await, providers }
    }
}

pub(super) struct World {
    pub(super) gateway: Gateway,
    pub(super) providers: Providers,
}

impl World {
    pub(super) async fn start() -> Self {
        Stage::new().await.start().await
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.gateway.now_ms()
    }

    /// The user's phone.
    pub(super) fn phone(&self, user: &str) -> Caller {
        self.gateway.caller(user, &Token::device(user).sign()).quiet()
    }

    /// Somebody without a token: a browser, or a provider.
    pub(super) fn nobody(&self) -> Caller {
        self.phone("nobody").without_token()
    }

    /// Sends a user away: the provider's page.
    pub(super) async fn begin(&self, user: &str, provider: &str, return_url: Option<&str>) -> Url {
        let path = format!("/api/v1/integrations/{provider}/connect");
        let answer = self.phone(user).post(&path, &json!({ "return_url": return_url })).await;
        answer.expect(200)["authorize_url"].as_str().unwrap().parse().unwrap()
    }

    /// What the provider's page sends the browser back to: path and query.
    pub(super) async fn consent(&self, provider: &str, account: &str, page: Url) -> String {
        self.providers.of(provider).consent_as(account);
        let answer = browser().get(page).send().await.unwrap();
        let back = answer.headers()["location"].to_str().unwrap().to_owned();
        back.strip_prefix(PUBLIC).unwrap().to_owned()
    }

    /// The whole way of a user to a connection.
    pub(super) async fn authorize(&self, user: &str, provider: &str, account: &str) -> Answer {
        let page = self.begin(user, provider, None).await;
        let back = self.consent(provider, account, page).await;
        self.nobody().get(&back).await
    }

    /// A browser comes back, and is sent on to an app: where.
    pub(super) async fn sent_on(&self, back: &str) -> String {
        let url = format!("http://{}{back}", self.gateway.address());
        let answer = browser().get(url).send().await.unwrap();
        assert_eq!(answer.status(), 303);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    /// The same; it works, and the first run has ended.
    pub(super) async fn connect(&self, user: &str, provider: &str, account: &str) -> Value {
        self.authorize(user, provider, account).await.expect(200);
        self.rests(user, provider).await
    }

    /// How an integration stands.
    pub(super) async fn view(&self, user: &str, provider: &str) -> Value {
        let list = self.phone(user).get("/api/v1/integrations").await.expect(200);
        let items = list["items"].as_array().unwrap();
        assert_eq!(items.len(), 4);
        items.iter().find(|item| item["provider"] == provider).unwrap().clone()
    }

    /// Waits until it stands as the test wants it.
    pub(super) async fn stands(
        &self,
        user: &str,
        provider: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let standing = eventually("the integration's state", async || {
            let view = self.view(user, provider).await;
            last = view.clone();
            is_so(&view).then_some(view)
        });
        tokio::select! {
            view = standing => view,
            () = tokio::time::sleep(Duration::from_secs(9)) => panic!("{last}"),
        }
    }

    /// Waits until nothing is under way.
    pub(super) async fn rests(&self, user: &str, provider: &str) -> Value {
        self.stands(user, provider, |view| view["sync_status"] != "syncing").await
    }

    /// Asks for a run, and waits for its end.
    pub(super) async fn sync(&self, user: &str, provider: &str) -> Value {
        let path = format!("/api/v1/integrations/{provider}/sync");
        self.phone(user).call(reqwest::Method::POST, &path, None).await.expect(202);
        self.rests(user, provider).await
    }

    /// Lets time go by, on all clocks.
    pub(super) async fn pass(&self, time: Duration) {
        self.gateway.move_clock(time);
        self.look().await;
    }

    /// The gateway looks what is due.
    pub(super) async fn look(&self) {
        self.gateway.pass_time(Duration::from_secs(1)).await;
    }

    /// Has the gateway look until it is so. Not often: time that passes is time that
    /// requests under way have taken.
    pub(super) async fn looks_until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        for _ in 0..600 {
            self.look().await;
            for _ in 0..40 {
                if is_so().await {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        panic!("{what}: not within two minutes");
    }

    /// Ids that a source gave what the user has, sorted.
    pub(super) async fn activities(&self, user: &str) -> Vec<String> {
        let list = self.phone(user).get("/api/v1/activities?canonical=false&limit=500").await;
        let list = list.expect(200);
        let id = |item: &Value| item["source_id"].as_str().unwrap_or_default().to_owned();
        let mut ids: Vec<String> = list["items"].as_array().unwrap().iter().map(id).collect();
        ids.sort_unstable();
        ids
    }

    /// Waits until the user has as many activities.
    pub(super) async fn has(&self, user: &str, count: usize) -> Vec<String> {
        eventually("the user's activities", async || {
            let ids = self.activities(user).await;
            (ids.len() == count).then_some(ids)
        })
        .await
    }

    /// A run of an hour that an athlete makes, so many hours ago.
    pub(super) fn run_of(&self, athlete: &str, id: u64, hours_ago: i64) {
        let start = self.now_ms() - hours_ago * 3_600_000;
        self.providers.strava.put_activity(athlete, activity(id, start, 3_600, "Run"));
    }

    /// A figure of `/metrics`.
    pub(super) async fn figure(&self, name: &str) -> u64 {
        let answer = self.nobody().get("/metrics").await;
        let line =
            answer.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is no figure")).parse().unwrap()
    }

    /// Rows of the audit log about an integration.
    pub(super) async fn audit(&self, user: &str, provider: &str) -> Vec<(String, String)> {
        let readers = self.gateway.running().state().store.readers();
        let subject = format!("user:{user}/integration:{provider}");
        let mut rows = tidegate::store::audit::about(readers, &subject).await.unwrap();
        rows.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        rows.into_iter().map(|row| (row.actor, row.action)).collect()
    }
}

/// One that follows no redirect.
fn browser() -> reqwest::Client {
    let browser = reqwest::Client::builder().no_proxy();
    browser.redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// A time as the API writes it.
pub(super) fn time(millis: i64) -> Value {
    serde_json::to_value(Timestamp::from_millis(millis)).unwrap()
}
