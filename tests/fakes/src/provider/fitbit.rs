//! Fitbit's Web API, which was switched off on 2026-11-02: everything is
//! answered with 410, until a test turns it back on.
//!
//! Activities by links that name the real host, nights and steps by dates,
//! numbers of steps as texts, and 150 requests an hour and user.

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
use chrono::NaiveDate;
use http::request::Parts;
use serde_json::{Value, json};
use tidegate_clock::Clock;

use crate::provider::accounts::Caller;
use crate::provider::fitbit::dialect::{DIALECT, refusal};
use crate::provider::oauth::{Form, form, is_basic, query};
use crate::provider::pipe::{Call, Said};
use crate::provider::{Item, Person, Service, item, lock, oauth};
use crate::server::{Bound, Server};

pub use crate::provider::fitbit::sample::{activity, day, night};

/// The kinds of what users have.
pub const ACTIVITY: &str = "activity";
/// See [`ACTIVITY`].
pub const SLEEP: &str = "sleep";
/// See [`ACTIVITY`].
pub const STEPS: &str = "steps";

/// The most activities on a page.
const PAGE_ITEMS_MAX: usize = 100;

/// The most days of a range.
const NIGHTS_MAX: i64 = 100;
const DAYS_MAX: i64 = 1095;

/// Where links lead at first: where the service was.
const HOST: &str = "https://api.fitbit.com";

/// A running server; what one can do with it is in [`Fitbit`].
#[derive(Debug)]
pub struct FakeFitbit {
    fitbit: Fitbit,
    _server: Server,
}

/// A handle. Cheap to clone; does not keep the server alive. What is common to
/// all providers is in [`Service`]; `set_gone(false)` turns the API on.
#[derive(Clone, Debug)]
pub struct Fitbit {
    service: Arc<Service>,
    link_host: Arc<Mutex<String>>,
}

impl FakeFitbit {
    /// Starts on a free port.
    pub async fn start(clock: Clock) -> io::Result<Self> {
        Self::start_on(0, clock).await
    }

    /// Starts on a chosen port; 0 picks a free one.
    pub async fn start_on(port: u16, clock: Clock) -> io::Result<Self> {
        let bound = Bound::to(port).await?;
        let service = Service::new(&DIALECT, bound.url(), clock);
        service.set_gone(true);
        let link_host = Arc::new(Mutex::new(HOST.to_owned()));
        let fitbit = Fitbit { service, link_host };
        let server = bound.serve(router(&fitbit));
        Ok(Self { fitbit, _server: server })
    }
}

impl Deref for FakeFitbit {
    type Target = Fitbit;

    fn deref(&self) -> &Fitbit {
        &self.fitbit
    }
}

impl Deref for Fitbit {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl Fitbit {
    /// Where links to next pages lead.
    pub fn set_link_host(&self, origin: &str) {
        origin.clone_into(&mut lock(&self.link_host));
    }

    /// Gives a user this many days back from now: an activity, a night and the
    /// day's steps each.
    pub fn fill(&self, user: &str, days: u64) {
        let now_ms = self.clock.now().millis();
        for (id, back) in (1..=days).zip(1_i64..) {
            let day_ms = now_ms - back * 86_400_000;
            self.put(user, ACTIVITY, activity(id, day_ms, 3600, "Run"));
            self.put(user, SLEEP, night(id, day_ms, 27_720));
            self.put(user, STEPS, day(day_ms, 13_474));
        }
    }

    fn list(&self, asked: &Form, caller: &Caller, person: &Person) -> Said {
        if !dialect::may_read("activity", caller) {
            return dialect::missing_scope();
        }
        let get = |name: &str| asked.get(name).map(String::as_str);
        let limit = get("limit").and_then(|text| text.parse::<usize>().ok());
        let offset = get("offset").and_then(|text| text.parse::<usize>().ok());
        let day = |name: &str| get(name).map(str::parse::<NaiveDate>).transpose();
        let (Some(limit), Some(offset)) = (limit, offset) else {
            return dialect::invalid("limit");
        };
        let (Ok(after), Ok(before)) = (day("afterDate"), day("beforeDate")) else {
            return dialect::invalid("afterDate");
        };
        let is_ascending = match (after, before, get("sort")) {
            (Some(_), None, Some("asc")) => true,
            (None, Some(_), Some("desc")) => false,
            _ => return dialect::invalid("sort"),
        };
        // Only links of its own may name another offset.
        let is_own = get("stamp") == Some("own");
        if limit == 0 || limit > PAGE_ITEMS_MAX || (offset > 0 && !is_own) {
            return dialect::invalid("offset");
        }
        let is_wanted = |item: &&Item| {
            let day = item.start_day();
            after.is_none_or(|after| day > after) && before.is_none_or(|before| day < before)
        };
        let mut items: Vec<_> = person.all(ACTIVITY).filter(is_wanted).collect();
        if !is_ascending {
            items.reverse();
        }
        let has_more = items.len() > offset + limit;
        let page = item::list(items.into_iter().skip(offset).take(limit));
        let (name, day, sort) = match after.or(before) {
            Some(day) if is_ascending => ("afterDate", day, "asc"),
            day => ("beforeDate", day.unwrap_or_default(), "desc"),
        };
        let next = format!(
            "{}/1/user/-/activities/list.json?{name}={day}&sort={sort}&limit={limit}&offset={}\
             &stamp=own",
            lock(&self.link_host),
            offset + limit,
        );
        let pagination = json!({
            name: day.to_string(),
            "limit": limit,
            "next": if has_more { next } else { String::new() },
            "offset": offset,
            "previous": "",
            "sort": sort,
        });
        Said::ok(format!(r#"{{"activities":{page},"pagination":{pagination}}}"#))
    }

    /// Nights or steps between dates; `last` ends in `.json`.
    fn range(kind: &'static str, dates: [&str; 2], caller: &Caller, person: &Person) -> Said {
        let (scope, longest) =
            if kind == SLEEP { ("sleep", NIGHTS_MAX) } else { ("activity", DAYS_MAX) };
        if !dialect::may_read(scope, caller) {
            return dialect::missing_scope();
        }
        let days = dates.map(|date| date.trim_end_matches(".json").parse::<NaiveDate>());
        let [Ok(first), Ok(last)] = days else { return dialect::invalid("date") };
        if first > last || (last - first).num_days() >= longest {
            return dialect::invalid("date");
        }
        let day = |item: &Item| if kind == SLEEP { item.end_day() } else { item.start_day() };
        let items = person.all(kind).filter(|item| (first..=last).contains(&day(item)));
        if kind == SLEEP {
            return Said::ok(format!(r#"{{"sleep":{}}}"#, item::list(items)));
        }
        // Days without steps are there too, as "0".
        let known: Vec<_> = items.collect();
        let days = first.iter_days().take_while(|day| *day <= last).map(|day| {
            let known = known.iter().find(|item| item.start_day() == day);
            let zero = || json!({"dateTime": day.to_string(), "value": "0"}).to_string();
            known.map_or_else(zero, |item| item.body.clone())
        });
        let days: Vec<_> = days.collect();
        Said::ok(format!(r#"{{"activities-steps":[{}]}}"#, days.join(",")))
    }
}

fn router(fitbit: &Fitbit) -> Router {
    Router::new()
        .route("/1/user/-/activities/list.json", get(activities))
        .route("/1.2/user/-/sleep/date/{first}/{last}", get(nights))
        .route("/1/user/-/activities/steps/date/{first}/{last}", get(steps))
        .route("/1/user/-/profile.json", get(profile))
        .route("/oauth2/revoke", post(revoke))
        .fallback(unknown)
        .with_state(fitbit.clone())
        .merge(oauth::router(&fitbit.service))
}

async fn unknown(State(fitbit): State<Fitbit>, parts: Parts) -> Response {
    fitbit.unknown(parts).await
}

async fn activities(State(fitbit): State<Fitbit>, parts: Parts) -> Response {
    let asked = query(&parts.uri);
    let look = |caller: &Caller, person: &Person| fitbit.list(&asked, caller, person);
    fitbit.data(parts, Call::list(ACTIVITY), look).await
}

async fn nights(
    State(fitbit): State<Fitbit>,
    Path((first, last)): Path<(String, String)>,
    parts: Parts,
) -> Response {
    let look =
        |caller: &Caller, person: &Person| Fitbit::range(SLEEP, [&first, &last], caller, person);
    fitbit.data(parts, Call::list(SLEEP), look).await
}

async fn steps(
    State(fitbit): State<Fitbit>,
    Path((first, last)): Path<(String, String)>,
    parts: Parts,
) -> Response {
    let look =
        |caller: &Caller, person: &Person| Fitbit::range(STEPS, [&first, &last], caller, person);
    fitbit.data(parts, Call::list(STEPS), look).await
}

async fn profile(State(fitbit): State<Fitbit>, parts: Parts) -> Response {
    let look = |caller: &Caller, _: &Person| {
        Said::ok(json!({"user": {"encodedId": &*caller.user, "displayName": "A"}}))
    };
    fitbit.data(parts, Call::named("owner"), look).await
}

async fn revoke(State(fitbit): State<Fitbit>, parts: Parts, body: Bytes) -> Response {
    let asked = form(&body);
    let token = asked.get("token").map_or("", String::as_str);
    let user = lock(&fitbit.accounts).user_of(token);
    let headers = parts.headers.clone();
    let look = async {
        if !is_basic(&headers) {
            return Said::with(401, "bad_client", refusal("invalid_client", "Invalid client."));
        }
        match lock(&fitbit.accounts).revoke(token) {
            Some(_) => Said::ok(Value::Object(serde_json::Map::new())),
            None => Said::with(400, "invalid_token", refusal("invalid_token", "Token invalid.")),
        }
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    fitbit.plain(parts, Call::named("revoke"), user, body, look).await
}
