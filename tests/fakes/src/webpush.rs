//! A Web Push service with the habits of Mozilla's, and browsers behind it
//! that decrypt what they get.
//!
//! Owns the subscriptions and their private keys. Checks headers, VAPID and
//! encryption of every request; one that passes gets the next scripted answer
//! for its subscription, or 201.

pub mod answer;
pub mod browser;
mod check;
mod open;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::post;
use http::HeaderMap;
use tidegate_clock::Clock;

use crate::feed::{Feed, Growth};
use crate::fixtures::fingerprint;
use crate::record::Record;
use crate::script::Script;
use crate::server::{Bound, Server};
use crate::webpush::answer::Answer;
use crate::webpush::browser::{Browser, Pushed};

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct PushRequest {
    /// The subscription's id: the last part of its address.
    pub subscription: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
    /// The answer, as a word: `created`, a scripted one, or a check that
    /// failed.
    pub answer: &'static str,
}

/// What `PushSubscription.toJSON()` gives a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestSubscription {
    /// The id by which this fake knows it.
    pub id: String,
    /// The JSON that a page sends to its server.
    pub json: String,
}

/// A running service.
#[derive(Debug)]
pub struct FakeWebPush {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    origin: String,
    clock: Clock,
    script: Script<Answer>,
    requests: Record<PushRequest>,
    browsers: Mutex<HashMap<String, Browser>>,
    received: Growth,
}

impl FakeWebPush {
    /// Starts on a free port with the system's clock.
    pub async fn start() -> Self {
        Self::start_on(0, Clock::system()).await.expect("loopback has a free port")
    }

    /// Starts on a chosen port (0: a free one) with a chosen clock.
    pub async fn start_on(port: u16, clock: Clock) -> std::io::Result<Self> {
        let bound = Bound::to(port).await?;
        let shared = Arc::new(Shared {
            origin: bound.url(),
            clock,
            script: Script::new(Answer::Created),
            requests: Record::default(),
            browsers: Mutex::default(),
            received: Growth::default(),
        });
        let router = Router::new().route("/push/{id}", post(push)).with_state(Arc::clone(&shared));
        Ok(Self { server: bound.serve(router), shared })
    }

    /// The service's origin.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// A new subscription. With a VAPID public key (base64url) only that key
    /// may push to it, as in browsers; without one, any key may.
    pub fn subscribe(&self, vapid_public_key: Option<&str>) -> TestSubscription {
        let mut browsers = self.shared.lock_browsers();
        let id = format!("sub-{}", browsers.len() + 1);
        let browser = Browser::new(vapid_public_key);
        let json = browser.subscription_json(&format!("{}/push/{id}", self.url()));
        browsers.insert(id.clone(), browser);
        TestSubscription { id, json }
    }

    /// Ends a subscription: pushes to it are answered with 410.
    pub fn unsubscribe(&self, id: &str) {
        self.with_browser(id, |browser| browser.is_subscribed = false);
    }

    /// Takes the browser off line: messages wait for their `TTL`, and a newer
    /// one replaces an older one of the same `Topic`.
    pub fn go_offline(&self, id: &str) {
        self.with_browser(id, Browser::go_offline);
    }

    /// Brings the browser back: it gets what waited and is still alive.
    pub fn go_online(&self, id: &str) {
        let now_s = self.shared.clock.unix_seconds();
        self.with_browser(id, |browser| browser.go_online(now_s));
        self.shared.received.note();
    }

    /// What the service worker got, in order, decrypted.
    pub fn messages(&self, id: &str) -> Vec<Pushed> {
        self.with_browser(id, |browser| browser.received().to_vec()).unwrap_or_default()
    }

    /// Hands over what the service worker gets, from the first message on.
    pub fn deliveries(&self, id: &str) -> Feed<Pushed> {
        let (shared, id) = (Arc::clone(&self.shared), id.to_owned());
        self.shared
            .received
            .feed(move |index| shared.lock_browsers().get(&id)?.received().get(index).cloned())
    }

    /// Lays down answers for a subscription, each used once, in order.
    pub fn script(&self, id: &str, answers: impl IntoIterator<Item = Answer>) {
        self.shared.script.extend(id, answers);
    }

    /// Answers a subscription so whenever nothing is scripted for it; `None`: as the
    /// others again.
    pub fn answer_always(&self, id: &str, answer: Option<Answer>) {
        self.shared.script.set_standing(id, answer);
    }

    /// The answer for subscriptions without scripted ones; at first
    /// [`Answer::Created`].
    pub fn set_fallback(&self, answer: Answer) {
        self.shared.script.set_fallback(answer);
    }

    /// All requests, refused ones included.
    pub fn requests(&self) -> Vec<PushRequest> {
        self.shared.requests.all()
    }

    /// Waits for `count` requests in all. Panics after 10 s.
    pub async fn wait_for(&self, count: usize) -> Vec<PushRequest> {
        self.shared.requests.wait_for(count).await
    }

    fn with_browser<T>(&self, id: &str, act: impl FnOnce(&mut Browser) -> T) -> Option<T> {
        self.shared.lock_browsers().get_mut(id).map(act)
    }
}

async fn push(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = shared.decide(&id, &headers, &body);
    let name = answer.name();
    tracing::info!(subscription = fingerprint(&id), answer = name, "web push message");
    let number = shared.requests.count() + 1;
    let ttl_s = check::ttl_s(&headers).unwrap_or_default();
    shared.requests.push(PushRequest { subscription: id, headers, body, answer: name });
    let location = format!("{}/message/{number}", shared.origin);
    answer.respond(&location, ttl_s, &shared.clock).await
}

impl Shared {
    fn decide(&self, id: &str, headers: &HeaderMap, body: &[u8]) -> Answer {
        let now_s = self.clock.unix_seconds();
        let mut browsers = self.lock_browsers();
        let Some(browser) = browsers.get_mut(id) else { return Answer::NotFound };
        if !browser.is_subscribed {
            return Answer::Gone;
        }
        let pushed = match check::check(browser, headers, body, &self.origin, now_s) {
            Ok(pushed) => pushed,
            Err(answer) => return answer,
        };
        let answer = self.script.next(id);
        if answer.is_taken() {
            browser.receive(pushed, now_s);
            drop(browsers);
            self.received.note();
        }
        answer
    }

    fn lock_browsers(&self) -> MutexGuard<'_, HashMap<String, Browser>> {
        self.browsers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
