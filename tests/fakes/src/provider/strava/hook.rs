//! Strava's webhook: one subscription, a challenge, and events.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use http::request::Parts;
use serde_json::{Value, json};

use crate::provider::hook::{Event, hmac_hex};
use crate::provider::item::utc;
use crate::provider::oauth::{Form, form, query};
use crate::provider::pipe::{Call, Said};
use crate::provider::strava::Strava;
use crate::provider::strava::dialect::{DIALECT, fault};
use crate::provider::{CLIENT_ID, CLIENT_SECRET, lock};

/// Longest address.
const CALLBACK_BYTES: usize = 255;

const CHALLENGE: &str = "15f7d1a91c1f40f8a748fd134752feb3";

/// Who is told, and what.
#[derive(Debug, Default)]
pub(crate) struct Hook {
    serial: u64,
    subscription: Option<Subscription>,
    signs: bool,
    makes_events: bool,
    outbox: Vec<Event>,
}

#[derive(Clone, Debug)]
struct Subscription {
    id: u64,
    callback_url: String,
    created_at: String,
}

impl Strava {
    /// Whether changes make events, which wait in [`Strava::take_events`]; at
    /// first not.
    pub fn make_events(&self, is_on: bool) {
        lock(&self.hook).makes_events = is_on;
    }

    /// Whether events carry `X-Strava-Signature`; at first not.
    pub fn sign_events(&self, is_on: bool) {
        lock(&self.hook).signs = is_on;
    }

    /// The events that were made, in order; they are taken out.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut lock(&self.hook).outbox)
    }

    /// The address that is subscribed.
    pub fn callback_url(&self) -> Option<String> {
        lock(&self.hook).subscription.as_ref().map(|known| known.callback_url.clone())
    }

    /// Subscribes an address without asking it.
    pub fn set_callback_url(&self, callback_url: &str) {
        let created_at = utc(self.clock.now().millis());
        let mut hook = lock(&self.hook);
        hook.serial += 1;
        let (id, callback_url) = (hook.serial, callback_url.to_owned());
        hook.subscription = Some(Subscription { id, callback_url, created_at });
    }

    /// Delivers an event as the service does: until it is taken, three times at
    /// most. The statuses, `None` for no answer; nothing without subscription.
    /// Doing so twice, or in another order, is what the service may do too.
    pub async fn deliver(&self, event: &Event) -> Vec<Option<u16>> {
        let (signs, url) = {
            let hook = lock(&self.hook);
            let Some(subscription) = &hook.subscription else { return Vec::new() };
            (hook.signs, subscription.callback_url.clone())
        };
        let mut headers = Vec::new();
        if signs {
            let now_s = self.clock.unix_seconds();
            let signature = hmac_hex(CLIENT_SECRET, &format!("{now_s}.{}", event.body));
            headers.push(("x-strava-signature", format!("t={now_s},v1={signature}")));
        }
        self.hooks.deliver(&url, &headers, &event.body).await
    }

    pub(crate) fn event(
        &self,
        object_type: &str,
        athlete: &str,
        id: &str,
        aspect: &str,
        updates: &Value,
    ) -> Event {
        let subscription = lock(&self.hook).subscription.as_ref().map_or(0, |known| known.id);
        let number = |text: &str| text.parse::<u64>().map_or_else(|_| json!(text), |n| json!(n));
        Event::new(&json!({
            "aspect_type": aspect,
            "event_time": self.clock.unix_seconds(),
            "object_id": number(id),
            "object_type": object_type,
            "owner_id": number(athlete),
            "subscription_id": subscription,
            "updates": updates,
        }))
    }

    pub(crate) fn tell(&self, athlete: &str, id: &str, aspect: &str) {
        let updates = if aspect == "update" { json!({"title": "Messy"}) } else { json!({}) };
        let event = self.event("activity", athlete, id, aspect, &updates);
        self.keep(event);
    }

    pub(crate) fn tell_deauthorized(&self, athlete: Option<&str>) {
        if let Some(athlete) = athlete {
            self.keep(self.deauthorized_event(athlete));
        }
    }

    fn keep(&self, event: Event) {
        let mut hook = lock(&self.hook);
        if hook.makes_events {
            hook.outbox.push(event);
        }
    }

    async fn confirm(&self, asked: &Form) -> Said {
        let text = |name: &str| asked.get(name).map_or("", String::as_str);
        let callback_url = text("callback_url");
        let refuse = |field: &str| {
            let body = fault("Bad Request", "PushSubscription", field, "invalid");
            Said::with(400, "bad_subscription", body)
        };
        if callback_url.is_empty() || callback_url.len() > CALLBACK_BYTES {
            return refuse("callback url");
        }
        if lock(&self.hook).subscription.is_some() {
            let body = fault("Bad Request", "PushSubscription", "subscription", "already exists");
            return Said::with(400, "already_subscribed", body);
        }
        let asked = [
            ("hub.mode", "subscribe"),
            ("hub.verify_token", text("verify_token")),
            ("hub.challenge", CHALLENGE),
        ];
        if !self.hooks.is_confirmed(callback_url, &asked, "hub.challenge").await {
            return refuse("callback url");
        }
        self.set_callback_url(callback_url);
        let id = lock(&self.hook).subscription.as_ref().map(|known| known.id);
        Said::with(201, "ok", json!({"id": id}))
    }
}

fn refuse_client(asked: &Form) -> Option<Said> {
    for (name, expected) in [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)] {
        if asked.get(name).map(String::as_str) != Some(expected) {
            let body = fault("Bad Request", "Application", name, "invalid");
            return Some(Said::with(400, "bad_client", body));
        }
    }
    None
}

pub(crate) async fn listed(State(strava): State<Strava>, parts: Parts) -> Response {
    let asked = query(&parts.uri);
    let look = async {
        if let Some(refusal) = refuse_client(&asked) {
            return refusal;
        }
        let known = lock(&strava.hook).subscription.clone();
        let known: Vec<_> = known
            .iter()
            .map(|known| {
                json!({
                    "id": known.id,
                    "resource_state": 2,
                    "application_id": 5,
                    "callback_url": known.callback_url,
                    "created_at": known.created_at,
                    "updated_at": known.created_at,
                })
            })
            .collect();
        Said::ok(json!(known))
    };
    strava.plain(parts, Call::named("subscriptions"), None, String::new(), look).await
}

pub(crate) async fn subscribe(State(strava): State<Strava>, parts: Parts, body: Bytes) -> Response {
    let asked = form(&body);
    let look = async {
        match refuse_client(&asked) {
            Some(refusal) => refusal,
            None => strava.confirm(&asked).await,
        }
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    strava.plain(parts, Call::named("subscriptions"), None, body, look).await
}

pub(crate) async fn unsubscribe(
    State(strava): State<Strava>,
    Path(id): Path<u64>,
    parts: Parts,
) -> Response {
    let asked = query(&parts.uri);
    let look = async {
        if let Some(refusal) = refuse_client(&asked) {
            return refusal;
        }
        let mut hook = lock(&strava.hook);
        if hook.subscription.as_ref().is_none_or(|known| known.id != id) {
            return Said::with(404, "not_found", (DIALECT.error)(404));
        }
        hook.subscription = None;
        Said::with(204, "ok", "")
    };
    strava.plain(parts, Call::named("subscriptions"), None, String::new(), look).await
}
