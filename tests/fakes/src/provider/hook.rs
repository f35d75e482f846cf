//! Calling back: challenges of subscriptions, and events.

use std::sync::OnceLock;
use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::Value;

/// Attempts to deliver an event, in all.
pub(crate) const ATTEMPTS: usize = 3;

/// How long a callback may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// An event as it will be sent. Signed when it is, at the clock's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The body.
    pub body: String,
}

impl Event {
    pub(crate) fn new(body: &Value) -> Self {
        Self { body: body.to_string() }
    }
}

/// Calls addresses of others.
#[derive(Debug, Default)]
pub(crate) struct Hooks(OnceLock<reqwest::Client>);

impl Hooks {
    fn client(&self) -> &reqwest::Client {
        self.0.get_or_init(|| {
            let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
            let client = client.redirect(reqwest::redirect::Policy::none());
            client.build().expect("a client needs no more than memory")
        })
    }

    /// Status and body of a GET; `None`: no answer in time.
    pub(crate) async fn get(&self, url: &str) -> Option<(u16, String)> {
        let response = self.client().get(url).send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.text().await.ok()?))
    }

    /// Status of a POST of JSON; `None`: no answer in time.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: &[(&str, String)],
        body: &str,
    ) -> Option<u16> {
        let mut request = self.client().post(url).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = request.body(body.to_owned()).send().await.ok()?;
        Some(response.status().as_u16())
    }

    /// Delivers until it is taken, three times at most. What came of each.
    pub(crate) async fn deliver(
        &self,
        url: &str,
        headers: &[(&str, String)],
        body: &str,
    ) -> Vec<Option<u16>> {
        let mut statuses = Vec::new();
        while statuses.len() < ATTEMPTS {
            let status = self.post(url, headers, body).await;
            statuses.push(status);
            if status.is_some_and(|status| (200..300).contains(&status)) {
                break;
            }
        }
        statuses
    }

    /// Whether an address gives a challenge back under `member`. `challenge` is
    /// the last pair of the query.
    pub(crate) async fn is_confirmed(
        &self,
        url: &str,
        query: &[(&str, &str)],
        member: &str,
    ) -> bool {
        let Ok(mut url) = url.parse::<url::Url>() else { return false };
        url.query_pairs_mut().extend_pairs(query);
        let expected = query.last().map(|(_, value)| *value);
        let Some((200, body)) = self.get(url.as_str()).await else { return false };
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        body[member].as_str().is_some_and(|given| Some(given) == expected)
    }
}

/// HMAC-SHA256 in hexadecimal digits, lower case.
pub(crate) fn hmac_hex(secret: &str, signed: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, signed.as_bytes());
    tag.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
