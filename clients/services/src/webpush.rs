//! Web Push: RFC 8030 requests, encrypted by RFC 8291, authorised by RFC 8292.
//!
//! Owns the request, the rule which endpoints may be contacted, and the VAPID
//! tokens it keeps per push service. It never follows a redirect, never
//! retries, and never forgets a subscription: it says so. Endpoints come from
//! devices and are not trusted: any of them may lead to a server of the
//! device's choice, so what one origin answers says nothing about another.

pub mod address;
pub mod error;
pub mod message;
pub mod seal;
pub mod subscription;
pub mod vapid;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, LOCATION,
};
use tidegate_clock::Clock;

use crate::limits::REQUEST_TIMEOUT;
use crate::retry_after;
use crate::transport::{self, ClientError};
use crate::wake::{Ttl, Urgency, Wake};
use crate::webpush::address::{EndpointError, Policy, PublicResolver};
use crate::webpush::error::{Answer, WebPushError};
use crate::webpush::message::{Message, Payload, Topic};
use crate::webpush::seal::Ephemeral;
use crate::webpush::subscription::Subscription;
use crate::webpush::vapid::Vapid;

const TTL: HeaderName = HeaderName::from_static("ttl");
const URGENCY: HeaderName = HeaderName::from_static("urgency");
const TOPIC: HeaderName = HeaderName::from_static("topic");

/// How to send.
#[derive(Clone, Debug)]
pub struct WebPushSettings {
    /// How long one request may take.
    pub request_timeout: Duration,
    /// Which endpoints may be contacted.
    pub policy: Policy,
}

impl Default for WebPushSettings {
    fn default() -> Self {
        Self { request_timeout: REQUEST_TIMEOUT, policy: Policy::PublicHttps }
    }
}

/// The push service took the message. That says nothing about the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// How long the service keeps it in seconds, when it says so.
    pub ttl_s: Option<u32>,
    /// The message's id: the last part of the path in `Location` (RFC 8030,
    /// section 5), when there is one of at most 255 visible ASCII characters.
    pub message_id: Option<String>,
}

/// Sends messages signed with one VAPID key.
#[derive(Debug)]
pub struct WebPush {
    http: Client,
    vapid: Vapid,
    policy: Policy,
    clock: Clock,
}

/// A request's headers and encrypted body.
#[derive(Debug)]
pub struct Parts {
    /// All headers; `Authorization` is marked sensitive.
    pub headers: HeaderMap,
    /// The `aes128gcm` body.
    pub body: Vec<u8>,
}

impl WebPush {
    /// A client that signs with `vapid`. Connects to nothing yet.
    pub fn new(
        vapid: Vapid,
        settings: &WebPushSettings,
        clock: Clock,
    ) -> Result<Self, ClientError> {
        let resolver = Arc::new(PublicResolver::new(settings.policy));
        let http = transport::client(settings.request_timeout, Some(resolver))?;
        Ok(Self { http, vapid, policy: settings.policy, clock })
    }

    /// The key that browsers subscribe with (`applicationServerKey`).
    pub fn public_key(&self) -> &str {
        self.vapid.public_key()
    }

    /// Whether the endpoint may be contacted, now. For the moment a device
    /// registers it; sending checks again.
    pub async fn check(&self, subscription: &Subscription) -> Result<(), EndpointError> {
        address::check(subscription.endpoint(), self.policy).await
    }

    /// Wakes a device. When the service finds the message with the command
    /// too large, the hint without it is sent instead.
    pub async fn send_wake(
        &self,
        to: &Subscription,
        wake: &Wake,
        urgency: Urgency,
        ttl: Ttl,
    ) -> Result<Accepted, WebPushError> {
        let message = |payload| Message { payload, ttl, urgency, topic: Some(Topic::sync()) };
        match Payload::inline(wake) {
            Some(payload) => match self.send(to, &message(payload)).await {
                Err(error) if error.is_too_large() => {
                    self.send(to, &message(Payload::hint(wake))).await
                }
                answer => answer,
            },
            None => self.send(to, &message(Payload::hint(wake))).await,
        }
    }

    /// Sends any message.
    ///
    /// Dropping the future may leave a message sent whose answer nobody saw.
    pub async fn send(
        &self,
        to: &Subscription,
        message: &Message,
    ) -> Result<Accepted, WebPushError> {
        // A literal address never reaches the resolver, so it is checked here.
        address::check_literal(to.endpoint(), self.policy)?;
        let parts = self.parts(to, message, Ephemeral::generate()?)?;
        let response = self
            .http
            .post(to.endpoint().clone())
            .headers(parts.headers)
            .body(parts.body)
            .send()
            .await
            .map_err(|error| WebPushError::of_transport(&error))?;
        let status = response.status().as_u16();
        if (200..300).contains(&status) {
            let ttl = response.headers().get(TTL).and_then(|value| value.to_str().ok());
            let ttl_s = ttl.and_then(|ttl| ttl.parse().ok());
            return Ok(Accepted { ttl_s, message_id: message_id(response.headers()) });
        }
        let retry_after = retry_after::from_headers(response.headers(), &self.clock);
        let headers = response.headers().clone();
        // The status and the headers count, also where the rest does not come.
        let body = transport::read_body(response).await.unwrap_or_default();
        let answer = Answer { status, retry_after, headers: &headers, body: &body };
        Err(error::classify(answer, to.endpoint()).into())
    }

    /// The request for a message. Given the same `ephemeral` and time, all of
    /// it is the same but the signature in `Authorization`.
    pub fn parts(
        &self,
        to: &Subscription,
        message: &Message,
        ephemeral: Ephemeral,
    ) -> Result<Parts, WebPushError> {
        let body = seal::seal(message.payload.as_bytes(), to, ephemeral)?;
        let mut headers = HeaderMap::new();
        headers.insert(TTL, HeaderValue::from(message.ttl.get()));
        headers.insert(
            URGENCY,
            HeaderValue::from_static(match message.urgency {
                Urgency::High => "high",
                Urgency::Normal => "normal",
            }),
        );
        if let Some(topic) = &message.topic {
            headers.insert(TOPIC, topic.header());
        }
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        let authorization = self.vapid.authorization(to.endpoint(), &self.clock)?;
        headers.insert(AUTHORIZATION, authorization);
        Ok(Parts { headers, body })
    }
}

fn message_id(headers: &HeaderMap) -> Option<String> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let id = location.split(['?', '#']).next()?.rsplit('/').next()?;
    let is_plain = (1..=255).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain.then(|| id.to_owned())
}
