//! One send: to the provider of the device's token, within the claim's time.

use std::time::Duration;

use tidegate_entity::device;
use tidegate_protocol::command::{Channel, Platform, PushProvider};
use tidegate_services::fcm::message::DeviceToken;
use tidegate_services::outcome::Action;
use tidegate_services::webpush::subscription::Subscription;
use tokio::time::Instant;

use crate::limits::PUSH_DETAIL_BYTES;
use crate::push::Push;
use crate::push::circuit::{Circuit, Route};
use crate::push::plan::Order;

/// How long a send may take, its access token included: leaves the claim time
/// to be settled.
pub(super) const SEND_TIMEOUT: Duration = Duration::from_secs(8);

/// A device's address at its provider.
#[derive(Debug)]
pub(super) enum Address {
    /// An FCM registration token.
    Fcm(DeviceToken),
    /// A browser's subscription.
    WebPush(Box<Subscription>),
}

/// What came of a send.
#[derive(Debug)]
pub(super) struct Answer {
    /// The provider's message id, or what to do about its refusal.
    pub(super) result: Result<String, Action>,
    /// For the timeline: the id or the refusal, and how long it took.
    pub(super) detail: String,
    /// The refusal alone; empty when it was taken.
    pub(super) reason: String,
    /// How long it took.
    pub(super) seconds: f64,
}

impl Address {
    /// The address of a device; `None` when its token cannot be one, or its
    /// provider is not configured.
    pub(super) fn of(push: &Push, device: &device::Model) -> Result<Self, NoAddress> {
        let (Some(token), Some(provider)) = (&device.push_token, device.push_provider) else {
            return Err(NoAddress::NotConfigured);
        };
        if !push.0.has(provider) {
            return Err(NoAddress::NotConfigured);
        }
        match provider {
            PushProvider::Fcm => {
                DeviceToken::parse(token).map(Self::Fcm).map_err(|_| NoAddress::Invalid)
            }
            PushProvider::Webpush => {
                let subscription = Subscription::from_json(token);
                subscription
                    .map(|subscription| Self::WebPush(Box::new(subscription)))
                    .map_err(|_| NoAddress::Invalid)
            }
        }
    }

    /// The circuits that a send to a device of this platform passes.
    pub(super) fn route(&self, platform: Platform) -> Route {
        match self {
            Self::Fcm(_) => {
                Route { service: Circuit::Fcm, platform: Some(Circuit::FcmPlatform(platform)) }
            }
            Self::WebPush(subscription) => {
                Route { service: Circuit::WebPush(subscription.origin()), platform: None }
            }
        }
    }

    /// The channel in timelines.
    pub(super) const fn channel(&self) -> Channel {
        match self {
            Self::Fcm(_) => Channel::Fcm,
            Self::WebPush(_) => Channel::Webpush,
        }
    }
}

/// Why a device cannot be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAddress {
    /// Its token cannot be one.
    Invalid,
    /// Its provider is not configured here.
    NotConfigured,
}

/// Sends an order.
pub(super) async fn send(push: &Push, address: &Address, order: &Order) -> Answer {
    let started = Instant::now();
    let sending = tokio::time::timeout(SEND_TIMEOUT, provider(push, address, order));
    let (result, text) = match sending.await {
        Ok(Ok(id)) => (Ok(id.clone()), format!("message {id}")),
        Ok(Err((action, text))) => (Err(action), text),
        Err(_) => (Err(Action::RetryAfter { floor: Duration::ZERO }), "timed out".to_owned()),
    };
    let text = bounded(text);
    let elapsed = started.elapsed();
    let detail = format!("{text}; {} ms", elapsed.as_millis());
    let reason = if result.is_ok() { String::new() } else { text };
    Answer { result, detail, reason, seconds: elapsed.as_secs_f64() }
}

/// Every attempt writes its text for every command it is for.
fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(PUSH_DETAIL_BYTES));
    text
}

/// The provider's message id, or what to do and the error's safe text.
async fn provider(
    push: &Push,
    address: &Address,
    order: &Order,
) -> Result<String, (Action, String)> {
    let not_configured = || (Action::MessageInvalid, "the service is not configured".to_owned());
    match address {
        Address::Fcm(token) => {
            let fcm = push.0.fcm.as_ref().ok_or_else(not_configured)?;
            let sent = fcm.send_wake(token, &order.wake, order.urgency, order.ttl).await;
            sent.map(|sent| sent.message_id).map_err(|error| (error.action(), error.to_string()))
        }
        Address::WebPush(subscription) => {
            let webpush = push.0.webpush.as_ref().ok_or_else(not_configured)?;
            let sent = webpush.send_wake(subscription, &order.wake, order.urgency, order.ttl).await;
            sent.map(|sent| sent.message_id.unwrap_or_else(|| "accepted".to_owned()))
                .map_err(|error| (error.action(), error.to_string()))
        }
    }
}
