//! Google Health, API version 4.
//!
//! Filters by each type's own members only, pages of 25 sessions at most, a
//! last page that may be `{}`, positions that hold for their own query only,
//! and 300 requests a minute and user.

mod dialect;
mod filter;
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
use crate::provider::google_health::dialect::{DIALECT, status};
use crate::provider::google_health::filter::Filter;
use crate::provider::google_health::hook::Hook;
use crate::provider::oauth::{Form, form, query};
use crate::provider::pipe::{Call, Said};
use crate::provider::{Item, Person, Service, item, lock, oauth};
use crate::server::{Bound, Server};

pub use crate::provider::google_health::sample::{exercise, night, steps, weight};

/// Types of data, as they stand in paths.
pub const EXERCISE: &str = "exercise";
/// See [`EXERCISE`].
pub const SLEEP: &str = "sleep";
/// See [`EXERCISE`].
pub const STEPS: &str = "steps";
/// See [`EXERCISE`].
pub const WEIGHT: &str = "weight";

const TYPES: [&str; 4] = [EXERCISE, SLEEP, STEPS, WEIGHT];

/// Points on a page: when nobody says how many, the most there can be, and the
/// most of sessions.
const PAGE_ITEMS: usize = 1440;
const PAGE_ITEMS_MAX: usize = 10_000;
const PAGE_SESSIONS: usize = 25;

/// A running server; what one can do with it is in [`GoogleHealth`].
#[derive(Debug)]
pub struct FakeGoogleHealth {
    google: GoogleHealth,
    _server: Server,
}

/// A handle. Cheap to clone; does not keep the server alive. What is common to
/// all providers is in [`Service`].
#[derive(Clone, Debug)]
pub struct GoogleHealth {
    service: Arc<Service>,
    hook: Arc<Mutex<Hook>>,
}

impl FakeGoogleHealth {
    /// Starts on a free port.
    pub async fn start(clock: Clock) -> io::Result<Self> {
        Self::start_on(0, clock).await
    }

    /// Starts on a chosen port; 0 picks a free one.
    pub async fn start_on(port: u16, clock: Clock) -> io::Result<Self> {
        let bound = Bound::to(port).await?;
        let service = Service::new(&DIALECT, bound.url(), clock);
        let google = GoogleHealth { service, hook: Arc::default() };
        let server = bound.serve(router(&google));
        Ok(Self { google, _server: server })
    }
}

impl Deref for FakeGoogleHealth {
    type Target = GoogleHealth;

    fn deref(&self) -> &GoogleHealth {
        &self.google
    }
}

impl Deref for GoogleHealth {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl GoogleHealth {
    /// Gives a user this many days back from now: an exercise, a night, a
    /// weight, and some steps of each hour of the day.
    pub fn fill(&self, user: &str, days: u64) {
        let now_ms = self.clock.now().millis();
        for (id, back) in (1..=days).zip(1_i64..) {
            let day_ms = now_ms - back * 86_400_000;
            self.put(user, EXERCISE, exercise(id, day_ms, 1800, "RUNNING", 0));
            self.put(user, SLEEP, night(id, day_ms, 8 * 3600, 0));
            self.put(user, WEIGHT, weight(id, day_ms, 90_200, 0));
            for hour in 0..24 {
                self.put(user, STEPS, steps(day_ms + hour * 3_600_000, 60, 44, 0));
            }
        }
    }

    fn list(kind: &'static str, asked: &Form, caller: &Caller, person: &Person) -> Said {
        if !dialect::may_read(kind, caller) {
            return dialect::missing_scope();
        }
        let text = asked.get("filter").map_or("", String::as_str);
        let filter = match Filter::parse(kind, text) {
            Ok(filter) => filter,
            Err(member) => return dialect::bad_filter(&member),
        };
        let is_session = matches!(kind, EXERCISE | SLEEP);
        let (standing, most) =
            if is_session { (PAGE_SESSIONS, PAGE_SESSIONS) } else { (PAGE_ITEMS, PAGE_ITEMS_MAX) };
        let size = match asked.get("pageSize") {
            None => Some(standing),
            Some(text) => text.parse().ok(),
        };
        let Some(size) = size else { return dialect::bad_request("Invalid page size.") };
        let size = if size == 0 { standing } else { size.min(most) };
        let stamp = filter::stamp(text);
        let offset = match asked.get("pageToken") {
            None => Some(0),
            Some(token) => filter::offset_of(token, stamp),
        };
        let Some(offset) = offset else { return dialect::bad_request("Invalid page token.") };
        let mut found = person.all(kind).rev().filter(|item| filter.takes(item)).skip(offset);
        let page: Vec<_> = found.by_ref().take(size).collect();
        if page.is_empty() {
            return Said::ok("{}");
        }
        let next = match found.next() {
            Some(_) => filter::token(offset + size, stamp),
            None => String::new(),
        };
        let points = item::list(page);
        Said::ok(format!(r#"{{"dataPoints":{points},"nextPageToken":"{next}"}}"#))
    }

    fn one(kind: &'static str, id: &str, caller: &Caller, person: &Person) -> Said {
        if !dialect::may_read(kind, caller) {
            return dialect::missing_scope();
        }
        // Intervals have no name by which one could ask for them.
        match person.get(kind, id).filter(|_| kind != STEPS) {
            Some(Item { body, .. }) => Said::ok(body),
            None => Said::with(404, "not_found", (DIALECT.error)(404)),
        }
    }
}

fn router(google: &GoogleHealth) -> Router {
    const POINTS: &str = "/v4/users/me/dataTypes/{kind}/dataPoints";
    Router::new()
        .route(POINTS, get(points))
        .route(&format!("{POINTS}/{{id}}"), get(one))
        .route("/v4/users/me/identity", get(identity))
        .route("/v4/projects/{project}/subscribers", post(hook::subscribe))
        .route("/revoke", post(revoke))
        .fallback(unknown)
        .with_state(google.clone())
        .merge(oauth::router(&google.service))
}

async fn unknown(State(google): State<GoogleHealth>, parts: Parts) -> Response {
    google.unknown(parts).await
}

fn known(kind: &str) -> Option<&'static str> {
    TYPES.into_iter().find(|known| *known == kind)
}

async fn points(
    State(google): State<GoogleHealth>,
    Path(kind): Path<String>,
    parts: Parts,
) -> Response {
    let Some(kind) = known(&kind) else { return google.unknown(parts).await };
    let asked = query(&parts.uri);
    let look = |caller: &Caller, person: &Person| GoogleHealth::list(kind, &asked, caller, person);
    google.data(parts, Call::list(kind), look).await
}

async fn one(
    State(google): State<GoogleHealth>,
    Path((kind, id)): Path<(String, String)>,
    parts: Parts,
) -> Response {
    let Some(kind) = known(&kind) else { return google.unknown(parts).await };
    let look = |caller: &Caller, person: &Person| GoogleHealth::one(kind, &id, caller, person);
    google.data(parts, Call::one(kind), look).await
}

async fn identity(State(google): State<GoogleHealth>, parts: Parts) -> Response {
    let look = |caller: &Caller, _: &Person| {
        let name = format!("users/{}/identity", caller.user);
        Said::ok(json!({"name": name, "healthUserId": &*caller.user}))
    };
    google.data(parts, Call::named("owner"), look).await
}

async fn revoke(State(google): State<GoogleHealth>, parts: Parts, body: Bytes) -> Response {
    let mut asked = query(&parts.uri);
    asked.extend(form(&body));
    let token = asked.get("token").map_or("", String::as_str);
    let user = lock(&google.accounts).user_of(token);
    let look = async {
        if lock(&google.accounts).revoke(token).is_some() {
            return Said::ok("{}");
        }
        let sentence = "Token expired or revoked";
        let body = json!({"error": "invalid_token", "error_description": sentence});
        Said::with(400, "invalid_token", body)
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    google.plain(parts, Call::named("revoke"), user, body, look).await
}
