//! Firebase Cloud Messaging, HTTP v1: one request, one token, one message.
//!
//! Owns the request, its authorisation and the one repetition with a fresh
//! access token. It never retries otherwise (FCM knows no idempotency key, so
//! that is the caller's decision), and never forgets a token: it says
//! [`Action::TokenDead`].

pub mod data;
pub mod error;
pub mod message;

use std::time::Duration;

use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use tidegate_clock::Clock;
use url::Url;

use crate::fcm::data::Data;
use crate::fcm::error::FcmError;
use crate::fcm::message::{DeviceToken, Message, Notification, SendRequest};
use crate::limits::REQUEST_TIMEOUT;
use crate::oauth::account::ServiceAccount;
use crate::oauth::{AccessToken, FIREBASE_MESSAGING, TokenSource};
use crate::outcome::Action;
use crate::retry_after;
use crate::transport::{self, ClientError, TransportError};
use crate::wake::{Ttl, Urgency, Wake};

/// Where and how patiently to send.
#[derive(Clone, Debug)]
pub struct FcmSettings {
    /// Address of the service, without a path.
    pub base_url: Url,
    /// The project to send for; `None`: the one that the account names.
    pub project_id: Option<String>,
    /// How long one request may take; Google asks for 10 s at least.
    pub request_timeout: Duration,
}

impl Default for FcmSettings {
    fn default() -> Self {
        let base_url = Url::parse("https://fcm.googleapis.com").expect("a literal address");
        Self { base_url, project_id: None, request_timeout: REQUEST_TIMEOUT }
    }
}

/// Whether a message is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Deliver it.
    Deliver,
    /// Only check message and token (`validate_only`).
    Validate,
}

/// FCM took the message. That says nothing about the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// FCM's id of the message; `fake_message_id` when only validated.
    pub message_id: String,
}

/// Sends messages for one Firebase project.
#[derive(Debug)]
pub struct Fcm {
    http: Client,
    send_url: Url,
    tokens: TokenSource,
    clock: Clock,
}

impl Fcm {
    /// A client for the account's project. Connects to nothing yet.
    pub fn new(
        account: ServiceAccount,
        settings: &FcmSettings,
        clock: Clock,
    ) -> Result<Self, ClientError> {
        let http = transport::client(settings.request_timeout, None)?;
        let mut send_url = settings.base_url.clone();
        let project = settings.project_id.as_deref().unwrap_or_else(|| account.project_id());
        send_url.set_path(&format!("/v1/projects/{project}/messages:send"));
        let tokens = TokenSource::new(account, FIREBASE_MESSAGING, http.clone(), clock.clone());
        Ok(Self { http, send_url, tokens, clock })
    }

    /// Wakes a device silently.
    pub async fn send_wake(
        &self,
        to: &DeviceToken,
        wake: &Wake,
        urgency: Urgency,
        ttl: Ttl,
    ) -> Result<Sent, FcmError> {
        let data = Data::for_wake(wake);
        let message = Message::silent(to, &data, urgency, ttl, self.clock.now());
        self.send(message, Mode::Deliver).await
    }

    /// Shows something to the person.
    pub async fn send_notification(
        &self,
        to: &DeviceToken,
        notification: &Notification,
        ttl: Ttl,
    ) -> Result<Sent, FcmError> {
        let message = Message::visible(to, notification, ttl, self.clock.now());
        self.send(message, Mode::Deliver).await
    }

    /// Sends any message. A request that FCM refuses because of the access
    /// token is repeated once with a fresh one, unless FCM asks to wait.
    ///
    /// Dropping the future may leave a message sent whose answer nobody saw.
    pub async fn send(&self, message: Message<'_>, mode: Mode) -> Result<Sent, FcmError> {
        let to = message.token();
        let request = SendRequest { validate_only: mode == Mode::Validate, message };
        let body = serde_json::to_vec(&request).map_err(|_| FcmError::Encoding)?;
        let access = self.tokens.token().await?;
        match self.post(&access, body.clone(), to).await {
            Err(error) if error.is_unauthenticated() => {
                self.tokens.invalidate(&access);
                if matches!(error.action(), Action::RetryAfter { .. }) {
                    return Err(error);
                }
                let access = self.tokens.token().await?;
                self.post(&access, body, to).await
            }
            answer => answer,
        }
    }

    async fn post(
        &self,
        access: &AccessToken,
        body: Vec<u8>,
        to: &DeviceToken,
    ) -> Result<Sent, FcmError> {
        let response = self
            .http
            .post(self.send_url.clone())
            .bearer_auth(access.secret())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body)
            .send()
            .await
            .map_err(|error| TransportError::of(&error))?;
        let status = response.status().as_u16();
        let retry_after = retry_after::from_headers(response.headers(), &self.clock);
        let headers = response.headers().clone();
        let body = transport::read_body(response).await;
        if status == 200 {
            return sent(&body?);
        }
        // The status and the headers count, also where the rest does not come.
        let body = body.unwrap_or_default();
        Err(error::classify(status, retry_after, &headers, &body, to.secret()))
    }
}

fn sent(body: &[u8]) -> Result<Sent, FcmError> {
    #[derive(Deserialize)]
    struct Answer {
        /// `projects/{project}/messages/{message_id}`.
        name: String,
    }

    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| FcmError::InvalidAnswer { status: 200 })?;
    match answer.name.rsplit_once("/messages/") {
        Some((_, id)) if !id.is_empty() => Ok(Sent { message_id: id.to_owned() }),
        _ => Err(FcmError::InvalidAnswer { status: 200 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_id_is_what_follows_the_collection() {
        let id = |name: &str| sent(format!(r#"{{"name":"{name}"}}"#).as_bytes());
        assert_eq!(
            id("projects/demo/messages/0:1500415314455276%31bd1c96").unwrap().message_id,
            "0:1500415314455276%31bd1c96"
        );
        assert_eq!(
            id("projects/demo/messages/fake_message_id").unwrap().message_id,
            "fake_message_id"
        );
        for name in ["", "projects/demo", "projects/demo/messages/"] {
            assert_eq!(id(name), Err(FcmError::InvalidAnswer { status: 200 }));
        }
        assert_eq!(sent(b""), Err(FcmError::InvalidAnswer { status: 200 }));
    }
}
