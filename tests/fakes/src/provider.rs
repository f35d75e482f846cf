//! Services that keep health data of users: Strava, Google Health, Oura and
//! Fitbit, one server each.
//!
//! Own users with what they have, the tokens they granted, windows of rates on
//! the given clock, and subscriptions to webhooks. What is common to all four
//! is in [`Service`]; a service's own module says what its API is like. They
//! write no log line per request, for tests that let days pass.

mod accounts;
pub mod answer;
pub mod callback;
pub mod fitbit;
pub mod google_health;
mod hook;
mod item;
mod oauth;
pub mod oura;
mod pipe;
mod record;
pub mod strava;
mod window;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use serde_json::Value;
use tidegate_clock::Clock;

use crate::provider::accounts::{Accounts, Caller, Issued, Rules};
pub use crate::provider::accounts::{Pair, Rotation};
use crate::provider::answer::Answer;
pub use crate::provider::hook::Event;
use crate::provider::hook::Hooks;
pub use crate::provider::item::Item;
use crate::provider::item::Shelf;
use crate::provider::oauth::TokenFault;
use crate::provider::pipe::Said;
use crate::provider::record::Log;
pub use crate::provider::record::ProviderRequest;
pub use crate::provider::window::Window;
use crate::provider::window::{Rule, Windows};
use crate::script::Script;

/// The application that all four know.
pub const CLIENT_ID: &str = "sandbox-app";

/// Its secret.
pub const CLIENT_SECRET: &str = "sandbox-app-secret-5f2c";

/// Who says yes when nobody else was named.
const DEFAULT_USER: &str = "1";

/// What one service does unlike the others.
pub(crate) struct Dialect {
    /// What its tokens begin with.
    pub(crate) prefix: &'static str,
    /// Paths of the API, and of OAuth.
    pub(crate) base: &'static str,
    pub(crate) authorize: &'static str,
    pub(crate) token: &'static [&'static str],
    pub(crate) revoke: &'static str,
    pub(crate) rules: Rules,
    pub(crate) rotation: Rotation,
    /// All scopes that it knows of and that matter here.
    pub(crate) scopes: &'static [&'static str],
    /// How it joins granted scopes in the callback's query; `None`: it names
    /// none.
    pub(crate) joins_scopes: Option<&'static str>,
    pub(crate) has_basic: bool,
    pub(crate) wants_challenge: bool,
    pub(crate) checks_redirect: bool,
    pub(crate) windows: &'static [Rule],
    /// The body that goes with a status.
    pub(crate) error: fn(u16) -> String,
    /// The body for an application that is not active.
    pub(crate) inactive: &'static str,
    pub(crate) headers: fn(&[Window], bool, &mut HeaderMap),
    pub(crate) refuse_token: fn(TokenFault) -> Said,
    pub(crate) grant: fn(&Issued, i64, bool) -> Value,
}

/// What a user has, by kind.
#[derive(Debug, Default)]
pub(crate) struct Person(HashMap<&'static str, Shelf>);

impl Person {
    /// What it has of a kind, oldest first.
    pub(crate) fn all(&self, kind: &str) -> impl DoubleEndedIterator<Item = &Item> {
        self.0.get(kind).into_iter().flat_map(Shelf::all)
    }

    pub(crate) fn get(&self, kind: &str, id: &str) -> Option<&Item> {
        self.0.get(kind)?.get(id)
    }
}

/// What the user at the browser does.
#[derive(Debug, Default)]
struct Consent {
    user: Option<String>,
    denies: bool,
    only: Option<Vec<String>>,
}

/// A service, whichever it is.
pub struct Service {
    dialect: &'static Dialect,
    origin: String,
    clock: Clock,
    script: Script<Answer>,
    accounts: Mutex<Accounts>,
    windows: Mutex<Windows>,
    people: Mutex<HashMap<String, Person>>,
    consent: Mutex<Consent>,
    hooks: Hooks,
    log: Log,
    is_down: AtomicBool,
    is_gone: AtomicBool,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Service {
    pub(crate) fn new(dialect: &'static Dialect, origin: String, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            dialect,
            origin,
            clock,
            script: Script::new(Answer::Ok),
            accounts: Mutex::new(Accounts::new(dialect.prefix, dialect.rules, dialect.rotation)),
            windows: Mutex::new(Windows::new(dialect.windows)),
            people: Mutex::default(),
            consent: Mutex::default(),
            hooks: Hooks::default(),
            log: Log::default(),
            is_down: AtomicBool::default(),
            is_gone: AtomicBool::default(),
        })
    }

    /// What the paths of the API follow.
    pub fn base_url(&self) -> String {
        format!("{}{}", self.origin, self.dialect.base)
    }

    /// Where users say yes or no. `login_hint` in its query names the user.
    pub fn authorize_url(&self) -> String {
        format!("{}{}", self.origin, self.dialect.authorize)
    }

    /// Where tokens are traded.
    pub fn token_url(&self) -> String {
        format!("{}{}", self.origin, self.dialect.token[0])
    }

    /// Where tokens are revoked.
    pub fn revoke_url(&self) -> String {
        format!("{}{}", self.origin, self.dialect.revoke)
    }

    /// Adds an item of a user, or replaces the one with its id.
    pub fn put(&self, user: &str, kind: &'static str, item: Item) {
        let mut people = lock(&self.people);
        let person = people.entry(user.to_owned()).or_default();
        person.0.entry(kind).or_default().put(item);
    }

    /// Removes an item of a user.
    pub fn remove(&self, user: &str, kind: &'static str, id: &str) -> Option<Item> {
        lock(&self.people).get_mut(user)?.0.get_mut(kind)?.remove(id)
    }

    /// What a user has of a kind, oldest first.
    pub fn items(&self, user: &str, kind: &'static str) -> Vec<Item> {
        let people = lock(&self.people);
        people.get(user).map(|person| person.all(kind).cloned().collect()).unwrap_or_default()
    }

    /// Tokens with all scopes, as if the user had said yes.
    pub fn connect(&self, user: &str) -> Pair {
        self.connect_with(user, self.dialect.scopes)
    }

    /// Tokens with these scopes.
    pub fn connect_with(&self, user: &str, scopes: &[&str]) -> Pair {
        let caller = caller(user, scopes.iter().map(|scope| (*scope).to_owned()).collect());
        lock(&self.people).entry(user.to_owned()).or_default();
        let issued = lock(&self.accounts).issue(caller, self.clock.unix_seconds());
        Pair {
            access_token: issued.access_token,
            refresh_token: issued.refresh_token.unwrap_or_default(),
        }
    }

    /// The valid pairs of a user, oldest first.
    pub fn pairs_of(&self, user: &str) -> Vec<Pair> {
        lock(&self.accounts).pairs_of(user)
    }

    /// Who says yes from here on, where the address names nobody.
    pub fn consent_as(&self, user: &str) {
        lock(&self.consent).user = Some(user.to_owned());
    }

    /// Whether users say no.
    pub fn deny(&self, is_on: bool) {
        lock(&self.consent).denies = is_on;
    }

    /// Users say yes to these scopes only, of those they are asked for; `None`:
    /// to all.
    pub fn grant_only(&self, scopes: Option<&[&str]>) {
        let scopes = scopes.map(|scopes| scopes.iter().map(|one| (*one).to_owned()).collect());
        lock(&self.consent).only = scopes;
    }

    /// Ends the access tokens of a user; refresh tokens still work.
    pub fn expire_access(&self, user: &str) {
        lock(&self.accounts).expire_user(user, self.clock.unix_seconds());
    }

    /// Ends the refresh tokens of a user; access tokens still work.
    pub fn kill_refresh(&self, user: &str) {
        lock(&self.accounts).kill_refresh(user);
    }

    /// The user takes back what was granted: all tokens are dead.
    pub fn revoke_user(&self, user: &str) {
        lock(&self.accounts).revoke_user(user);
    }

    /// What becomes of refresh tokens that are used.
    pub fn set_rotation(&self, rotation: Rotation) {
        lock(&self.accounts).rotation = rotation;
    }

    /// Answers by addressee, most precise first: `list/sleep@USER`,
    /// `list@USER`, `@USER`, `list/sleep`, `list`; so for `one/KIND`, `owner`,
    /// `token`, `revoke`, `authorize` and `subscriptions`; and the fallback.
    pub fn script(&self) -> &Script<Answer> {
        &self.script
    }

    /// An outage: every connection is closed without an answer.
    pub fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    /// Whether everything is answered with 410.
    pub fn set_gone(&self, is_gone: bool) {
        self.is_gone.store(is_gone, Ordering::SeqCst);
    }

    /// Whether requests beyond a window's limit get 429, as at first. They
    /// count in any case.
    pub fn limit_requests(&self, is_on: bool) {
        lock(&self.windows).switch(is_on);
    }

    /// Another limit for a window. Panics if there is no such one.
    pub fn set_limit(&self, window: &str, limit: u64) {
        lock(&self.windows).set_limit(window, limit);
    }

    /// Counts reading requests that somebody else made, of this user where each
    /// has a window.
    pub fn spend(&self, user: &str, count: u64) {
        lock(&self.windows).take(user, true, count, self.clock.now().millis());
    }

    /// How the windows stand, for a user where each has one.
    pub fn windows(&self, user: &str) -> Vec<Window> {
        lock(&self.windows).take(user, true, 0, self.clock.now().millis()).0
    }

    /// All requests, refused ones included; none while only counts are kept.
    pub fn requests(&self) -> Vec<ProviderRequest> {
        self.log.requests.all()
    }

    /// The requests after the first `count`.
    pub fn requests_after(&self, count: usize) -> Vec<ProviderRequest> {
        self.log.requests.after(count)
    }

    /// Waits until the requests are enough. Panics after 10 s.
    pub async fn wait_until(
        &self,
        is_enough: impl Fn(&[ProviderRequest]) -> bool,
    ) -> Vec<ProviderRequest> {
        self.log.requests.wait_until(is_enough).await
    }

    /// Whether requests are only counted: for runs of very many.
    pub fn count_only(&self, is_on: bool) {
        self.log.count_only(is_on);
    }

    /// How many requests there were.
    pub fn calls(&self) -> u64 {
        self.log.all()
    }

    /// How many there were for a user: of one call, as in
    /// [`ProviderRequest::call`], or of all.
    pub fn calls_of(&self, user: &str, call: Option<&str>) -> u64 {
        self.log.of_user(user, call)
    }
}

pub(crate) fn caller(user: &str, scopes: Vec<String>) -> Caller {
    Caller { user: user.into(), scopes: scopes.into() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
