//! Strava, API version 3.
//!
//! Windows of the application, all four rate headers on every answer of the
//! API, activities oldest first only when `after` is given, and private ones
//! taken out after a page was cut. One subscription per application.

mod dialect;
mod hook;
mod sample;

use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::request::Parts;
use serde_json::json;
use tidegate_clock::Clock;

use crate::provider::accounts::Caller;
use crate::provider::oauth::{Form, form, is_basic, query};
use crate::provider::pipe::{Call, Said, bearer};
use crate::provider::strava::dialect::{DIALECT, fault};
use crate::provider::strava::hook::Hook;
use crate::provider::{Event, Item, Person, Service, item, lock, oauth};
use crate::server::{Bound, Server};

pub use crate::provider::strava::sample::activity;

/// The kind of what athletes have.
pub const ACTIVITY: &str = "activity";

/// Activities on a page when nobody says how many, and the most there can be.
const PAGE_ITEMS: usize = 30;
const PAGE_ITEMS_MAX: usize = 200;

/// A running server; what one can do with it is in [`Strava`].
#[derive(Debug)]
pub struct FakeStrava {
    strava: Strava,
    _server: Server,
}

/// A handle. Cheap to clone; does not keep the server alive. What is common to
/// all providers is in [`Service`].
#[derive(Clone, Debug)]
pub struct Strava {
    service: Arc<Service>,
    hook: Arc<Mutex<Hook>>,
}

impl FakeStrava {
    /// Starts on a free port.
    pub async fn start(clock: Clock) -> io::Result<Self> {
        Self::start_on(0, clock).await
    }

    /// Starts on a chosen port; 0 picks a free one.
    pub async fn start_on(port: u16, clock: Clock) -> io::Result<Self> {
        let bound = Bound::to(port).await?;
        let service = Service::new(&DIALECT, bound.url(), clock);
        let strava = Strava { service, hook: Arc::default() };
        let server = bound.serve(router(&strava));
        Ok(Self { strava, _server: server })
    }
}

impl Deref for FakeStrava {
    type Target = Strava;

    fn deref(&self) -> &Strava {
        &self.strava
    }
}

impl Deref for Strava {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl Strava {
    /// Adds an activity, or replaces the one with its id; an event tells it if
    /// events are made.
    pub fn put_activity(&self, athlete: &str, activity: Item) {
        let is_new = self.items(athlete, ACTIVITY).iter().all(|known| known.id != activity.id);
        let id = activity.id.clone();
        self.put(athlete, ACTIVITY, activity);
        self.tell(athlete, &id, if is_new { "create" } else { "update" });
    }

    /// Removes an activity; an event tells it if events are made.
    pub fn remove_activity(&self, athlete: &str, id: &str) {
        if self.remove(athlete, ACTIVITY, id).is_some() {
            self.tell(athlete, id, "delete");
        }
    }

    /// Gives an athlete this many activities, one every so many seconds back
    /// from now; ids are the athlete's, times 1,000,000, and on.
    pub fn fill(&self, athlete: &str, count: u64, every_s: i64) {
        let base = athlete.parse::<u64>().unwrap_or_default() * 1_000_000;
        let now_ms = self.clock.now().millis();
        for (index, ago) in (1..=count).zip(1_i64..) {
            let start_ms = now_ms - ago * every_s * 1000;
            self.put(athlete, ACTIVITY, activity(base + index, start_ms, 3600, "Run"));
        }
    }

    /// An event, signed or not as [`Strava::sign_events`] says. `aspect`:
    /// `create`, `update` or `delete`.
    pub fn activity_event(&self, athlete: &str, id: &str, aspect: &str) -> Event {
        self.event("activity", athlete, id, aspect, &json!({}))
    }

    /// The event that an athlete took back what was granted.
    pub fn deauthorized_event(&self, athlete: &str) -> Event {
        let updates = json!({"authorized": "false"});
        self.event("athlete", athlete, athlete, "update", &updates)
    }

    /// Lists what an athlete may see.
    fn list(asked: &Form, caller: &Caller, person: &Person) -> Said {
        let Some(sees_all) = sees_all(caller) else { return dialect::missing_scope() };
        let number = |name: &str| asked.get(name).map(|text| text.parse::<i64>());
        let (Ok(before), Ok(after)) = (number("before").transpose(), number("after").transpose())
        else {
            return Said::with(
                400,
                "bad_query",
                fault("Bad Request", "Activity", "after", "invalid"),
            );
        };
        let size = |name: &str, standing: usize| match asked.get(name) {
            None => Some(standing),
            Some(text) => text.parse().ok().filter(|size| *size > 0),
        };
        let (Some(page), Some(per_page)) = (size("page", 1), size("per_page", PAGE_ITEMS)) else {
            return Said::with(
                400,
                "bad_query",
                fault("Bad Request", "Activity", "page", "invalid"),
            );
        };
        let is_wanted = |item: &&Item| {
            let start_s = item.start_ms.div_euclid(1000);
            before.is_none_or(|before| start_s < before)
                && after.is_none_or(|after| start_s > after)
        };
        let mut items: Vec<_> = person.all(ACTIVITY).filter(is_wanted).collect();
        if after.is_none() {
            items.reverse();
        }
        let per_page = per_page.min(PAGE_ITEMS_MAX);
        let page = items.into_iter().skip((page - 1).saturating_mul(per_page)).take(per_page);
        Said::ok(item::list(page.filter(|item| sees_all || !item.is_private)))
    }

    fn detail(id: &str, caller: &Caller, person: &Person) -> Said {
        let Some(sees_all) = sees_all(caller) else { return dialect::missing_scope() };
        let there = person.get(ACTIVITY, id).filter(|item| sees_all || !item.is_private);
        there.map_or_else(
            || {
                let body = fault("Resource Not Found", "Activity", "id", "invalid");
                Said::with(404, "not_found", body)
            },
            |item| Said::ok(sample::detailed(item)),
        )
    }
}

/// Whether all activities may be seen; `None`: none may.
fn sees_all(caller: &Caller) -> Option<bool> {
    let has = |wanted: &str| caller.scopes.iter().any(|scope| scope == wanted);
    let sees_all = has("activity:read_all");
    (sees_all || has("activity:read")).then_some(sees_all)
}

fn router(strava: &Strava) -> Router {
    Router::new()
        .route("/api/v3/athlete/activities", get(activities))
        .route("/api/v3/activities/{id}", get(one))
        .route("/api/v3/athlete", get(athlete))
        .route("/oauth/deauthorize", post(deauthorize))
        .route("/oauth/revoke", post(revoke))
        .route("/api/v3/push_subscriptions", get(hook::listed).post(hook::subscribe))
        .route("/api/v3/push_subscriptions/{id}", axum::routing::delete(hook::unsubscribe))
        .fallback(unknown)
        .with_state(strava.clone())
        .merge(oauth::router(&strava.service))
}

async fn unknown(State(strava): State<Strava>, parts: Parts) -> Response {
    strava.unknown(parts).await
}

async fn activities(State(strava): State<Strava>, parts: Parts) -> Response {
    let asked = query(&parts.uri);
    let look = |caller: &Caller, person: &Person| Strava::list(&asked, caller, person);
    strava.data(parts, Call::list(ACTIVITY), look).await
}

async fn one(State(strava): State<Strava>, Path(id): Path<String>, parts: Parts) -> Response {
    let look = |caller: &Caller, person: &Person| Strava::detail(&id, caller, person);
    strava.data(parts, Call::one(ACTIVITY), look).await
}

async fn athlete(State(strava): State<Strava>, parts: Parts) -> Response {
    let look = |caller: &Caller, _: &Person| Said::ok(sample::athlete(&caller.user, 3));
    strava.data(parts, Call::named("owner"), look).await
}

/// The old way: with an access token, as a bearer's or in the form.
async fn deauthorize(State(strava): State<Strava>, parts: Parts, body: Bytes) -> Response {
    let asked = form(&body);
    let token = bearer(&parts.headers).map(str::to_owned);
    let token = token.or_else(|| asked.get("access_token").cloned()).unwrap_or_default();
    let user = lock(&strava.accounts).user_of(&token);
    let look = async {
        if lock(&strava.accounts).caller(&token, strava.clock.unix_seconds()).is_none() {
            return Said::with(401, "unauthorized", (DIALECT.error)(401));
        }
        let user = lock(&strava.accounts).revoke(&token);
        strava.tell_deauthorized(user.as_deref());
        Said::ok(json!({"access_token": token}))
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    strava.plain(parts, Call::named("revoke"), user, body, look).await
}

/// The new way (RFC 7009): unknown tokens are as good as revoked.
async fn revoke(State(strava): State<Strava>, parts: Parts, body: Bytes) -> Response {
    let asked = form(&body);
    let token = asked.get("token").map_or("", String::as_str);
    let user = lock(&strava.accounts).user_of(token);
    let headers = parts.headers.clone();
    let look = async {
        if !is_basic(&headers) {
            let body = fault("Authorization Error", "Application", "client_secret", "invalid");
            return Said::with(401, "bad_client", body);
        }
        if token.is_empty() {
            return Said::with(400, "no_token", (DIALECT.error)(400));
        }
        let user = lock(&strava.accounts).revoke(token);
        strava.tell_deauthorized(user.as_deref());
        Said::ok("")
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    strava.plain(parts, Call::named("revoke"), user, body, look).await
}
