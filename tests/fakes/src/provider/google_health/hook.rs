//! Google's subscribers: a handshake with and without our credentials, and
//! notifications in lists, without values.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::header::AUTHORIZATION;
use http::request::Parts;
use serde_json::{Value, json};

use crate::provider::google_health::{DIALECT, GoogleHealth, status};
use crate::provider::hook::Event;
use crate::provider::item::utc;
use crate::provider::lock;
use crate::provider::oauth::query;
use crate::provider::pipe::{Call, Said};

/// Who is told.
#[derive(Debug, Default)]
pub(crate) struct Hook {
    subscriber: Option<Subscriber>,
}

#[derive(Clone, Debug)]
struct Subscriber {
    id: String,
    endpoint: String,
    secret: String,
}

impl GoogleHealth {
    /// Subscribes an address without asking it. `secret`: the value of
    /// `Authorization` that notifications carry.
    pub fn set_subscriber(&self, endpoint: &str, secret: &str) {
        let (endpoint, secret) = (endpoint.to_owned(), secret.to_owned());
        let subscriber = Subscriber { id: "sub-1".to_owned(), endpoint, secret };
        lock(&self.hook).subscriber = Some(subscriber);
    }

    /// Whether an address takes the handshake with the secret, and refuses it
    /// without.
    pub async fn handshake(&self, endpoint: &str, secret: &str) -> bool {
        let body = r#"{"type":"verification"}"#;
        let ours = [("authorization", secret.to_owned())];
        let with = self.hooks.post(endpoint, &ours, body).await;
        let without = self.hooks.post(endpoint, &[], body).await;
        with.is_some_and(|status| (200..300).contains(&status))
            && without.is_some_and(|status| (400..500).contains(&status))
    }

    /// A notification that something of a type changed between these moments.
    pub fn notification(&self, user: &str, data_type: &str, span_ms: (i64, i64)) -> Event {
        Self::told(user, data_type, span_ms, "UPSERT")
    }

    /// The same for something that was removed.
    pub fn removal(&self, user: &str, data_type: &str, span_ms: (i64, i64)) -> Event {
        Self::told(user, data_type, span_ms, "DELETE")
    }

    /// Several notifications in one list, as the service joins them.
    pub fn joined(events: &[Event]) -> Event {
        let lists =
            events.iter().filter_map(|event| serde_json::from_str::<Vec<Value>>(&event.body).ok());
        Event::new(&json!(lists.flatten().collect::<Vec<_>>()))
    }

    /// Delivers a notification: until it is taken, three times at most. The
    /// statuses; nothing without subscriber.
    pub async fn deliver(&self, event: &Event) -> Vec<Option<u16>> {
        let subscriber = lock(&self.hook).subscriber.clone();
        let Some(subscriber) = subscriber else { return Vec::new() };
        let headers = [("authorization", subscriber.secret)];
        self.hooks.deliver(&subscriber.endpoint, &headers, &event.body).await
    }

    fn told(user: &str, data_type: &str, (from_ms, to_ms): (i64, i64), operation: &str) -> Event {
        Event::new(&json!([{"data": {
            "healthUserId": user,
            "operation": operation,
            "dataType": data_type,
            "intervals": [
                {"physicalTimeInterval": {"startTime": utc(from_ms), "endTime": utc(to_ms)}},
            ],
            "clientProvidedSubscriptionName": "sub-1",
            "version": "1",
        }}]))
    }
}

/// Makes a subscriber, for anyone who has a service account's token.
pub(crate) async fn subscribe(
    State(google): State<GoogleHealth>,
    parts: Parts,
    body: Bytes,
) -> Response {
    let is_known = parts.headers.contains_key(AUTHORIZATION);
    let id = query(&parts.uri).remove("subscriberId").unwrap_or_default();
    let wanted: Value = serde_json::from_slice(&body).unwrap_or_default();
    let look = async {
        let endpoint = wanted["endpointUri"].as_str().unwrap_or_default();
        let secret = wanted["endpointAuthorization"]["secret"].as_str().unwrap_or_default();
        if !is_known {
            return Said::with(401, "unauthorized", (DIALECT.error)(401));
        }
        if id.is_empty() || endpoint.is_empty() || secret.is_empty() {
            return Said::with(400, "bad_subscriber", (DIALECT.error)(400));
        }
        if lock(&google.hook).subscriber.as_ref().is_some_and(|known| known.id == id) {
            let body = status(409, "ALREADY_EXISTS", "Requested entity already exists");
            return Said::with(409, "already_subscribed", body);
        }
        if !google.handshake(endpoint, secret).await {
            let body = status(400, "FAILED_PRECONDITION", "The endpoint could not be verified.");
            return Said::with(400, "not_confirmed", body);
        }
        google.set_subscriber(endpoint, secret);
        if let Some(subscriber) = &mut lock(&google.hook).subscriber {
            subscriber.id.clone_from(&id);
        }
        Said::ok(json!({"name": id, "endpointUri": endpoint}))
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    google.plain(parts, Call::named("subscriptions"), None, body, look).await
}
