//! Oura's webhook: a subscription for each event and type of data, which ends
//! unless it is renewed, a challenge, and signed events.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;
use http::request::Parts;
use serde_json::{Value, json};

use crate::provider::hook::{Event, hmac_hex};
use crate::provider::item::utc;
use crate::provider::oura::dialect::DIALECT;
use crate::provider::oura::{Oura, TYPES};
use crate::provider::pipe::{Call, Said};
use crate::provider::{CLIENT_ID, CLIENT_SECRET, lock};

/// How long a subscription lasts: 90 days.
const LIFE_MS: i64 = 90 * 24 * 60 * 60 * 1000;

const CHALLENGE: &str = "c9b1f1d0a5e34d6f";

const EVENTS: [&str; 3] = ["create", "update", "delete"];

/// Who is told, and what.
#[derive(Debug, Default)]
pub(crate) struct Hook {
    serial: u64,
    subscriptions: BTreeMap<String, Subscription>,
    makes_events: bool,
    unsigned: bool,
    outbox: Vec<Event>,
}

/// A subscription of an address to one event of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: String,
    /// The address.
    pub callback_url: String,
    /// `create`, `update` or `delete`.
    pub event_type: String,
    /// The type of documents.
    pub data_type: String,
    /// When it ends, milliseconds since the Unix epoch.
    pub expires_ms: i64,
}

impl Subscription {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "callback_url": self.callback_url,
            "event_type": self.event_type,
            "data_type": self.data_type,
            "expiration_time": utc(self.expires_ms),
        })
    }
}

impl Oura {
    /// Whether changes make events, which wait in [`Oura::take_events`]; at
    /// first not.
    pub fn make_events(&self, is_on: bool) {
        lock(&self.hook).makes_events = is_on;
    }

    /// Whether events are signed, as at first.
    pub fn sign_events(&self, is_on: bool) {
        lock(&self.hook).unsigned = !is_on;
    }

    /// The events that were made, in order; they are taken out.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut lock(&self.hook).outbox)
    }

    /// All subscriptions, those that ended included.
    pub fn subscriptions(&self) -> Vec<Subscription> {
        lock(&self.hook).subscriptions.values().cloned().collect()
    }

    /// Subscribes an address to everything without asking it.
    pub fn set_callback_url(&self, callback_url: &str) {
        for data_type in TYPES {
            for event_type in EVENTS {
                self.keep_subscription(callback_url, event_type, data_type);
            }
        }
    }

    /// An event about a document. `event_type`: `create`, `update`, `delete`.
    pub fn event(&self, user: &str, data_type: &str, id: &str, event_type: &str) -> Event {
        let event_time = utc(self.clock.now().millis()).replace('Z', "+00:00");
        Event::new(&json!({
            "event_type": event_type,
            "data_type": data_type,
            "object_id": id,
            "event_time": event_time,
            "user_id": user,
        }))
    }

    /// How a body is signed now: the signature, and the time in it.
    pub fn signature_of(&self, body: &str) -> (String, String) {
        let timestamp = self.clock.unix_seconds().to_string();
        let signature = hmac_hex(CLIENT_SECRET, &format!("{timestamp}{body}"));
        (signature.to_uppercase(), timestamp)
    }

    /// Delivers an event to who is subscribed to its kind: until it is taken,
    /// three times at most. The statuses; nothing without subscription.
    pub async fn deliver(&self, event: &Event) -> Vec<Option<u16>> {
        let about: Value = serde_json::from_str(&event.body).unwrap_or_default();
        let now_ms = self.clock.now().millis();
        let (url, unsigned) = {
            let hook = lock(&self.hook);
            let wanted = hook.subscriptions.values().find(|known| {
                about["event_type"] == *known.event_type
                    && about["data_type"] == *known.data_type
                    && now_ms < known.expires_ms
            });
            let Some(wanted) = wanted else { return Vec::new() };
            (wanted.callback_url.clone(), hook.unsigned)
        };
        let mut headers = Vec::new();
        if !unsigned {
            let (signature, timestamp) = self.signature_of(&event.body);
            headers.push(("x-oura-signature", signature));
            headers.push(("x-oura-timestamp", timestamp));
        }
        self.hooks.deliver(&url, &headers, &event.body).await
    }

    pub(crate) fn tell(&self, user: &str, data_type: &str, id: &str, event_type: &str) {
        let event = self.event(user, data_type, id, event_type);
        let mut hook = lock(&self.hook);
        if hook.makes_events {
            hook.outbox.push(event);
        }
    }

    fn keep_subscription(&self, callback_url: &str, event: &str, data_type: &str) -> Subscription {
        let expires_ms = self.clock.now().millis() + LIFE_MS;
        let mut hook = lock(&self.hook);
        hook.serial += 1;
        let subscription = Subscription {
            id: format!("subscription-{:03}", hook.serial),
            callback_url: callback_url.to_owned(),
            event_type: event.to_owned(),
            data_type: data_type.to_owned(),
            expires_ms,
        };
        hook.subscriptions.insert(subscription.id.clone(), subscription.clone());
        subscription
    }

    async fn subscribe(&self, wanted: &Value) -> Said {
        let text = |name: &str| wanted[name].as_str().unwrap_or_default();
        let (callback_url, token) = (text("callback_url"), text("verification_token"));
        let (event, data_type) = (text("event_type"), text("data_type"));
        if !EVENTS.contains(&event) || !TYPES.contains(&data_type) || callback_url.is_empty() {
            return Said::with(422, "bad_subscription", (DIALECT.error)(422));
        }
        let asked = [("verification_token", token), ("challenge", CHALLENGE)];
        if !self.hooks.is_confirmed(callback_url, &asked, "challenge").await {
            let body = json!({"detail": "Webhook verification failed."});
            return Said::with(400, "not_confirmed", body);
        }
        Said::with(201, "ok", self.keep_subscription(callback_url, event, data_type).json())
    }

    /// Changes a subscription, and shows it.
    fn change(&self, id: &str, change: impl FnOnce(&mut Subscription)) -> Said {
        let mut hook = lock(&self.hook);
        match hook.subscriptions.get_mut(id) {
            Some(known) => {
                change(known);
                Said::ok(known.json())
            }
            None => Said::with(404, "not_found", (DIALECT.error)(404)),
        }
    }
}

fn refuse_client(headers: &HeaderMap) -> Option<Said> {
    let has = |name: &str, expected: &str| {
        headers.get(name).is_some_and(|value| value.as_bytes() == expected.as_bytes())
    };
    let is_known = has("x-client-id", CLIENT_ID) && has("x-client-secret", CLIENT_SECRET);
    (!is_known).then(|| Said::with(401, "bad_client", (DIALECT.error)(401)))
}

/// Answers the application itself.
async fn answer(
    oura: &Oura,
    parts: Parts,
    body: &Bytes,
    look: impl Future<Output = Said>,
) -> Response {
    let refusal = refuse_client(&parts.headers);
    let body = String::from_utf8_lossy(body).into_owned();
    let look = async {
        match refusal {
            Some(refusal) => refusal,
            None => look.await,
        }
    };
    oura.plain(parts, Call::named("subscriptions"), None, body, look).await
}

pub(crate) async fn listed(State(oura): State<Oura>, parts: Parts) -> Response {
    let look = async {
        let known = oura.subscriptions();
        Said::ok(json!(known.iter().map(Subscription::json).collect::<Vec<_>>()))
    };
    answer(&oura, parts, &Bytes::new(), look).await
}

pub(crate) async fn subscribe(State(oura): State<Oura>, parts: Parts, body: Bytes) -> Response {
    let wanted: Value = serde_json::from_slice(&body).unwrap_or_default();
    answer(&oura, parts, &body, oura.subscribe(&wanted)).await
}

pub(crate) async fn renew(
    State(oura): State<Oura>,
    Path(id): Path<String>,
    parts: Parts,
) -> Response {
    let expires_ms = oura.clock.now().millis() + LIFE_MS;
    let look = async { oura.change(&id, |known| known.expires_ms = expires_ms) };
    answer(&oura, parts, &Bytes::new(), look).await
}

pub(crate) async fn shown(
    State(oura): State<Oura>,
    Path(id): Path<String>,
    parts: Parts,
) -> Response {
    let look = async { oura.change(&id, |_| {}) };
    answer(&oura, parts, &Bytes::new(), look).await
}

pub(crate) async fn update(
    State(oura): State<Oura>,
    Path(id): Path<String>,
    parts: Parts,
    body: Bytes,
) -> Response {
    let wanted: Value = serde_json::from_slice(&body).unwrap_or_default();
    let look = async {
        oura.change(&id, |known| {
            if let Some(url) = wanted["callback_url"].as_str() {
                url.clone_into(&mut known.callback_url);
            }
        })
    };
    answer(&oura, parts, &body, look).await
}

pub(crate) async fn unsubscribe(
    State(oura): State<Oura>,
    Path(id): Path<String>,
    parts: Parts,
) -> Response {
    let look = async {
        match lock(&oura.hook).subscriptions.remove(&id) {
            Some(_) => Said::with(204, "ok", ""),
            None => Said::with(404, "not_found", (DIALECT.error)(404)),
        }
    };
    answer(&oura, parts, &Bytes::new(), look).await
}
