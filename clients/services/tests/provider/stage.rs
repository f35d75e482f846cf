//! Fakes of all four providers and clients of them, at one standing clock.

use std::ops::Deref;
use std::time::Duration;

use tidegate_clock::{Clock, Hands};
use tidegate_fakes::provider::fitbit::FakeFitbit;
use tidegate_fakes::provider::google_health::FakeGoogleHealth;
use tidegate_fakes::provider::oura::FakeOura;
use tidegate_fakes::provider::strava::FakeStrava;
use tidegate_fakes::provider::{CLIENT_ID, CLIENT_SECRET, Service};
use tidegate_protocol::time::Timestamp;
use tidegate_services::provider::{
    Kind, Page, Provider, ProviderClient, ProviderOptions, Span, defaults,
};

use crate::stage::START_MS;

/// Long enough for a busy machine.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) const DAY_MS: i64 = 86_400_000;

pub(super) const USER: &str = "1513";

/// A fake and its client.
pub(super) struct Stage<F> {
    pub(super) fake: F,
    pub(super) client: ProviderClient,
    pub(super) hands: Hands,
}

pub(super) async fn strava() -> Stage<FakeStrava> {
    let (clock, hands) = clock();
    let fake = FakeStrava::start(clock.clone()).await.unwrap();
    let client = client(Provider::Strava, &fake, clock, TIMEOUT);
    Stage { fake, client, hands }
}

pub(super) async fn google() -> Stage<FakeGoogleHealth> {
    let (clock, hands) = clock();
    let fake = FakeGoogleHealth::start(clock.clone()).await.unwrap();
    let client = client(Provider::GoogleHealth, &fake, clock, TIMEOUT);
    Stage { fake, client, hands }
}

pub(super) async fn oura() -> Stage<FakeOura> {
    let (clock, hands) = clock();
    let fake = FakeOura::start(clock.clone()).await.unwrap();
    let client = client(Provider::Oura, &fake, clock, TIMEOUT);
    Stage { fake, client, hands }
}

/// With the API turned on.
pub(super) async fn fitbit() -> Stage<FakeFitbit> {
    let (clock, hands) = clock();
    let fake = FakeFitbit::start(clock.clone()).await.unwrap();
    fake.set_gone(false);
    let client = client(Provider::Fitbit, &fake, clock, TIMEOUT);
    Stage { fake, client, hands }
}

fn clock() -> (Clock, Hands) {
    Clock::standing(Timestamp::from_millis(START_MS))
}

pub(super) fn client(
    provider: Provider,
    fake: &Service,
    clock: Clock,
    timeout: Duration,
) -> ProviderClient {
    let urls = [fake.base_url(), fake.authorize_url(), fake.token_url(), fake.revoke_url()];
    client_of(provider, urls, clock, timeout)
}

pub(super) fn client_of(
    provider: Provider,
    urls: [String; 4],
    clock: Clock,
    timeout: Duration,
) -> ProviderClient {
    let [base_url, authorize_url, token_url, revoke_url] = urls.map(|url| url.parse().unwrap());
    let scopes = defaults(provider).scopes;
    ProviderClient::new(ProviderOptions {
        provider,
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        base_url,
        authorize_url,
        token_url,
        revoke_url,
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        timeout,
        clock,
    })
    .unwrap()
}

/// The last so many days.
pub(super) fn days(count: i64) -> Span {
    Span {
        from: Timestamp::from_millis(START_MS - count * DAY_MS),
        to: Timestamp::from_millis(START_MS),
    }
}

impl<F: Deref<Target: Deref<Target = Service>>> Stage<F> {
    /// The access token of a user who said yes to everything.
    pub(super) fn token(&self) -> String {
        self.fake.connect(USER).access_token
    }

    /// All pages of a list: the items as texts, and how many pages there were.
    pub(super) async fn all(&self, token: &str, kind: Kind, span: Span) -> (Vec<String>, usize) {
        let (mut items, mut pages, mut position) = (Vec::new(), 0, None);
        loop {
            let answer = self.client.list(token, kind, &span, position.as_deref()).await.unwrap();
            let Page { items: page, next } = answer.value;
            items.extend(page.iter().map(|item| item.get().to_owned()));
            pages += 1;
            assert!(pages < 100, "the list does not end");
            let Some(next) = next else { return (items, pages) };
            position = Some(next);
        }
    }
}
