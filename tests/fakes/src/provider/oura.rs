//! Oura, API version 2.
//!
//! Documents by day, `next_token` until it is null, a sandbox with data that
//! never changes, refresh tokens that work once, and 5,000 requests in 5 min
//! for the whole application.

mod dialect;
mod hook;
mod sample;

use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post, put};
use chrono::{Days, NaiveDate};
use http::header::AUTHORIZATION;
use http::request::Parts;
use serde_json::json;
use tidegate_clock::Clock;

use crate::provider::accounts::Caller;
use crate::provider::oauth::{Form, query};
use crate::provider::oura::dialect::DIALECT;
use crate::provider::oura::hook::Hook;
use crate::provider::pipe::{Call, Said};
use crate::provider::{Item, Person, Service, item, lock, oauth};
use crate::server::{Bound, Server};

pub use crate::provider::oura::sample::{daily_activity, night, workout};

/// Types of documents, as they stand in paths.
pub const WORKOUT: &str = "workout";
/// See [`WORKOUT`].
pub const SLEEP: &str = "sleep";
/// See [`WORKOUT`].
pub const DAILY_ACTIVITY: &str = "daily_activity";

const TYPES: [&str; 3] = [WORKOUT, SLEEP, DAILY_ACTIVITY];

/// Documents on a page.
const PAGE_ITEMS: usize = 50;

/// The user whose data the sandbox shows.
const SANDBOX_USER: &str = "sandbox";

/// When the sandbox's data is of: 2022-07-14T00:00:00Z.
const SANDBOX_MS: i64 = 1_657_756_800_000;

/// A running server; what one can do with it is in [`Oura`].
#[derive(Debug)]
pub struct FakeOura {
    oura: Oura,
    _server: Server,
}

/// A handle. Cheap to clone; does not keep the server alive. What is common to
/// all providers is in [`Service`].
#[derive(Clone, Debug)]
pub struct Oura {
    service: Arc<Service>,
    hook: Arc<Mutex<Hook>>,
    page_items: Arc<AtomicUsize>,
}

impl FakeOura {
    /// Starts on a free port.
    pub async fn start(clock: Clock) -> io::Result<Self> {
        Self::start_on(0, clock).await
    }

    /// Starts on a chosen port; 0 picks a free one.
    pub async fn start_on(port: u16, clock: Clock) -> io::Result<Self> {
        let bound = Bound::to(port).await?;
        let service = Service::new(&DIALECT, bound.url(), clock);
        let page_items = Arc::new(AtomicUsize::new(PAGE_ITEMS));
        let oura = Oura { service, hook: Arc::default(), page_items };
        oura.fill_until(SANDBOX_USER, 3, SANDBOX_MS);
        let server = bound.serve(router(&oura));
        Ok(Self { oura, _server: server })
    }
}

impl Deref for FakeOura {
    type Target = Oura;

    fn deref(&self) -> &Oura {
        &self.oura
    }
}

impl Deref for Oura {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl Oura {
    /// What the paths of the sandbox follow: any token does there.
    pub fn sandbox_url(&self) -> String {
        format!("{}/sandbox", self.base_url())
    }

    /// How many documents are on a page; at first 50.
    pub fn set_page_items(&self, items: usize) {
        self.page_items.store(items.max(1), Ordering::SeqCst);
    }

    /// Gives a user this many days back from now: a workout, a night and the
    /// day's activity each.
    pub fn fill(&self, user: &str, days: u64) {
        self.fill_until(user, days, self.clock.now().millis());
    }

    fn fill_until(&self, user: &str, days: u64, now_ms: i64) {
        for (id, back) in (1..=days).zip(1_i64..) {
            let day_ms = now_ms - back * 86_400_000;
            let id = |kind: &str| format!("{kind}-{user}-{id}");
            self.put(user, WORKOUT, workout(&id("w"), day_ms, 3600, "cycling", 0));
            self.put(user, SLEEP, night(&id("s"), day_ms, 30_000, 0));
            self.put(user, DAILY_ACTIVITY, daily_activity(&id("d"), day_ms, 8000, 0));
        }
    }

    /// Adds a document, or replaces the one with its id; an event tells it if
    /// events are made.
    pub fn put_document(&self, user: &str, kind: &'static str, document: Item) {
        let is_new = self.items(user, kind).iter().all(|known| known.id != document.id);
        let id = document.id.clone();
        self.put(user, kind, document);
        self.tell(user, kind, &id, if is_new { "create" } else { "update" });
    }

    /// Removes a document; an event tells it if events are made.
    pub fn remove_document(&self, user: &str, kind: &'static str, id: &str) {
        if self.remove(user, kind, id).is_some() {
            self.tell(user, kind, id, "delete");
        }
    }

    fn list(&self, kind: &'static str, asked: &Form, caller: &Caller, person: &Person) -> Said {
        if !dialect::may_read(kind, caller) {
            return dialect::missing_scope();
        }
        let today = chrono::DateTime::from_timestamp_millis(self.clock.now().millis());
        let today = today.unwrap_or_default().date_naive();
        let mut bounds = [today - Days::new(1), today];
        for (name, bound) in ["start_date", "end_date"].iter().zip(&mut bounds) {
            match asked.get(*name).map(|text| text.parse::<NaiveDate>()) {
                None => {}
                Some(Ok(day)) => *bound = day,
                Some(Err(_)) => return dialect::unprocessable(name),
            }
        }
        let [first, last] = bounds;
        if first > last {
            let detail = "Start date is greater than end date.";
            return Said::with(400, "bad_query", json!({"detail": detail}));
        }
        let stamp = format!("{kind}.{first}.{last}.");
        let offset = match asked.get("next_token") {
            None => Some(0),
            Some(token) => token.strip_prefix(&stamp).and_then(|offset| offset.parse().ok()),
        };
        let Some(offset) = offset else {
            return Said::with(400, "bad_position", json!({"detail": "Invalid next_token."}));
        };
        let size = self.page_items.load(Ordering::SeqCst);
        let day = |item: &Item| if kind == SLEEP { item.end_day() } else { item.start_day() };
        let is_wanted = |item: &&Item| (first..=last).contains(&day(item));
        let mut found = person.all(kind).filter(is_wanted).skip(offset);
        let data = item::list(found.by_ref().take(size));
        let next = found.next().map(|_| format!("{stamp}{}", offset + size));
        Said::ok(format!(r#"{{"data":{data},"next_token":{}}}"#, json!(next)))
    }

    fn one(kind: &'static str, id: &str, caller: &Caller, person: &Person) -> Said {
        if !dialect::may_read(kind, caller) {
            return dialect::missing_scope();
        }
        match person.get(kind, id) {
            Some(item) => Said::ok(&item.body),
            None => Said::with(404, "not_found", (DIALECT.error)(404)),
        }
    }
}

fn router(oura: &Oura) -> Router {
    Router::new()
        .route("/v2/usercollection/personal_info", get(personal_info))
        .route("/v2/usercollection/{kind}", get(documents))
        .route("/v2/usercollection/{kind}/{id}", get(one))
        .route("/v2/sandbox/usercollection/{kind}", get(sandbox))
        .route("/oauth/revoke", post(revoke).get(revoke))
        .route("/v2/webhook/subscription", get(hook::listed).post(hook::subscribe))
        .route("/v2/webhook/subscription/renew/{id}", put(hook::renew))
        .route(
            "/v2/webhook/subscription/{id}",
            get(hook::shown).put(hook::update).delete(hook::unsubscribe),
        )
        .fallback(unknown)
        .with_state(oura.clone())
        .merge(oauth::router(&oura.service))
}

async fn unknown(State(oura): State<Oura>, parts: Parts) -> Response {
    oura.unknown(parts).await
}

fn known(kind: &str) -> Option<&'static str> {
    TYPES.into_iter().find(|known| *known == kind)
}

async fn documents(State(oura): State<Oura>, Path(kind): Path<String>, parts: Parts) -> Response {
    let Some(kind) = known(&kind) else { return oura.unknown(parts).await };
    let asked = query(&parts.uri);
    let look = |caller: &Caller, person: &Person| oura.list(kind, &asked, caller, person);
    oura.data(parts, Call::list(kind), look).await
}

async fn one(
    State(oura): State<Oura>,
    Path((kind, id)): Path<(String, String)>,
    parts: Parts,
) -> Response {
    let Some(kind) = known(&kind) else { return oura.unknown(parts).await };
    let look = |caller: &Caller, person: &Person| Oura::one(kind, &id, caller, person);
    oura.data(parts, Call::one(kind), look).await
}

async fn personal_info(State(oura): State<Oura>, parts: Parts) -> Response {
    let look = |caller: &Caller, _: &Person| {
        if !caller.scopes.iter().any(|scope| scope == "personal") {
            return dialect::missing_scope();
        }
        Said::ok(json!({"id": &*caller.user, "age": 31, "weight": 74.8, "height": 1.8}))
    };
    oura.data(parts, Call::named("owner"), look).await
}

async fn sandbox(State(oura): State<Oura>, Path(kind): Path<String>, parts: Parts) -> Response {
    let Some(kind) = known(&kind) else { return oura.unknown(parts).await };
    let is_someone = parts.headers.get(AUTHORIZATION).is_some_and(|value| !value.is_empty());
    let look = async {
        if !is_someone {
            return Said::with(401, "unauthorized", (DIALECT.error)(401));
        }
        Said::ok(format!(
            r#"{{"data":{},"next_token":null}}"#,
            item::list(&oura.items(SANDBOX_USER, kind))
        ))
    };
    oura.plain(parts, Call::list(kind), None, String::new(), look).await
}

async fn revoke(State(oura): State<Oura>, parts: Parts) -> Response {
    let token = query(&parts.uri).remove("access_token").unwrap_or_default();
    let user = lock(&oura.accounts).user_of(&token);
    let look = async {
        match lock(&oura.accounts).revoke(&token) {
            Some(_) => Said::ok(""),
            None => Said::with(401, "unauthorized", (DIALECT.error)(401)),
        }
    };
    oura.plain(parts, Call::named("revoke"), user, String::new(), look).await
}
