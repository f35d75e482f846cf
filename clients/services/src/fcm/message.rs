//! The body of `messages:send`, built the same way every time.
//!
//! Owns how urgency, life and collapsing are said to Android, APNs and
//! browsers. Never sends.

use std::fmt;

use serde::Serialize;
use tidegate_protocol::time::Timestamp;

use crate::fcm::data::{Data, DataError};
use crate::limits::{FCM_DATA_BYTES, FCM_TOKEN_BYTES};
use crate::wake::{COLLAPSE_KEY, Ttl, Urgency};

/// Not an FCM registration token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an FCM token is 1 to 4096 visible ASCII characters")]
pub struct InvalidToken;

/// An FCM registration token. A secret: `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DeviceToken(String);

impl DeviceToken {
    /// Checks the outer shape; whether it lives, only FCM knows.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let sized = (1..=FCM_TOKEN_BYTES).contains(&text.len());
        if sized && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidToken)
        }
    }

    /// The secret itself.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DeviceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceToken(..)")
    }
}

/// What a person is shown. `Debug` hides the texts.
#[derive(Clone, PartialEq, Eq)]
pub struct Notification {
    title: String,
    body: String,
    image: Option<String>,
    data: Data,
}

impl Notification {
    /// Texts to show, the address of a picture, and data for the app. All of
    /// it together has at most [`FCM_DATA_BYTES`] bytes.
    pub fn new(
        title: String,
        body: String,
        image: Option<String>,
        data: Data,
    ) -> Result<Self, DataError> {
        let bytes = title.len() + body.len() + image.as_ref().map_or(0, String::len) + data.bytes();
        if bytes > FCM_DATA_BYTES {
            return Err(DataError::TooLarge { bytes });
        }
        Ok(Self { title, body, image, data })
    }
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification").field("data", &self.data).finish_non_exhaustive()
    }
}

/// The body of a request.
#[derive(Debug, Serialize)]
pub struct SendRequest<'a> {
    /// Check only, deliver nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub validate_only: bool,
    /// The message.
    pub message: Message<'a>,
}

/// One message to one token.
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    token: &'a DeviceToken,
    #[serde(skip_serializing_if = "Data::is_empty")]
    data: &'a Data,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification: Option<Shown<'a>>,
    android: Android,
    apns: Apns,
    webpush: Webpush,
}

impl<'a> Message<'a> {
    /// Whom it is for.
    pub(crate) const fn token(&self) -> &'a DeviceToken {
        self.token
    }

    /// A message for the app alone: nothing is shown. It replaces an earlier
    /// one that was not delivered yet.
    pub fn silent(
        token: &'a DeviceToken,
        data: &'a Data,
        urgency: Urgency,
        ttl: Ttl,
        now: Timestamp,
    ) -> Self {
        Self {
            token,
            data,
            notification: None,
            android: Android {
                priority: match urgency {
                    Urgency::High => "HIGH",
                    Urgency::Normal => "NORMAL",
                },
                ttl: seconds(ttl),
                collapse_key: Some(COLLAPSE_KEY),
            },
            apns: Apns {
                headers: ApnsHeaders {
                    push_type: "background",
                    // Apple refuses any other priority for background pushes.
                    priority: "5",
                    expiration: apns_expiration(ttl, now),
                    collapse_id: Some(COLLAPSE_KEY),
                },
                payload: Some(Background { aps: ContentAvailable { content_available: 1 } }),
            },
            webpush: Webpush {
                headers: WebpushHeaders {
                    ttl: ttl.get().to_string(),
                    urgency: match urgency {
                        Urgency::High => "high",
                        Urgency::Normal => "normal",
                    },
                    topic: Some(COLLAPSE_KEY),
                },
            },
        }
    }

    /// A message that the system shows to the person. It replaces nothing.
    pub fn visible(
        token: &'a DeviceToken,
        notification: &'a Notification,
        ttl: Ttl,
        now: Timestamp,
    ) -> Self {
        Self {
            token,
            data: &notification.data,
            notification: Some(Shown {
                title: &notification.title,
                body: &notification.body,
                image: notification.image.as_deref(),
            }),
            android: Android { priority: "HIGH", ttl: seconds(ttl), collapse_key: None },
            apns: Apns {
                headers: ApnsHeaders {
                    push_type: "alert",
                    priority: "10",
                    expiration: apns_expiration(ttl, now),
                    collapse_id: None,
                },
                payload: None,
            },
            webpush: Webpush {
                headers: WebpushHeaders {
                    ttl: ttl.get().to_string(),
                    urgency: "high",
                    topic: None,
                },
            },
        }
    }
}

fn seconds(ttl: Ttl) -> String {
    format!("{}s", ttl.get())
}

/// APNs wants the moment, not the span; 0 means "now or never".
fn apns_expiration(ttl: Ttl, now: Timestamp) -> String {
    let seconds = match ttl.get() {
        0 => 0,
        left => now.millis().div_euclid(1000).saturating_add(i64::from(left)),
    };
    seconds.to_string()
}

#[derive(Serialize)]
struct Shown<'a> {
    title: &'a str,
    body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown(..)")
    }
}

#[derive(Debug, Serialize)]
struct Android {
    priority: &'static str,
    ttl: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    collapse_key: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Apns {
    headers: ApnsHeaders,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Background>,
}

#[derive(Debug, Serialize)]
struct ApnsHeaders {
    #[serde(rename = "apns-push-type")]
    push_type: &'static str,
    #[serde(rename = "apns-priority")]
    priority: &'static str,
    #[serde(rename = "apns-expiration")]
    expiration: String,
    #[serde(rename = "apns-collapse-id", skip_serializing_if = "Option::is_none")]
    collapse_id: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Background {
    aps: ContentAvailable,
}

#[derive(Debug, Serialize)]
struct ContentAvailable {
    #[serde(rename = "content-available")]
    content_available: u8,
}

#[derive(Debug, Serialize)]
struct Webpush {
    headers: WebpushHeaders,
}

#[derive(Debug, Serialize)]
struct WebpushHeaders {
    #[serde(rename = "TTL")]
    ttl: String,
    #[serde(rename = "Urgency")]
    urgency: &'static str,
    #[serde(rename = "Topic", skip_serializing_if = "Option::is_none")]
    topic: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::fcm::data::tests::wake;

    fn body(message: Message<'_>, validate_only: bool) -> serde_json::Value {
        serde_json::to_value(SendRequest { validate_only, message }).unwrap()
    }

    #[test]
    fn a_silent_message_speaks_to_all_three_platforms() {
        let token = DeviceToken::parse("token-1").unwrap();
        let data = Data::for_wake(&wake(4));
        let now = Timestamp::from_millis(1_795_000_000_999);
        let message = Message::silent(&token, &data, Urgency::High, Ttl::seconds(60), now);
        let expected = json!({"message": {
            "token": "token-1",
            "data": {
                "action": "write_health", "stream": "user:u1", "data_type": "weight",
                "command_id": "01890a5d-ac96-774b-bcce-b302099a8057", "value": "\"xxxx\"",
                "timestamp": "2026-11-18T11:06:40.000Z", "expires_at": "2026-11-18T11:07:40.000Z"
            },
            "android": {"priority": "HIGH", "ttl": "60s", "collapse_key": "sync"},
            "apns": {
                "headers": {
                    "apns-push-type": "background", "apns-priority": "5",
                    "apns-expiration": "1795000060", "apns-collapse-id": "sync"
                },
                "payload": {"aps": {"content-available": 1}}
            },
            "webpush": {"headers": {"TTL": "60", "Urgency": "high", "Topic": "sync"}}
        }});
        assert_eq!(body(message, false), expected);
    }

    #[test]
    fn normal_urgency_and_no_life_are_said_in_every_dialect() {
        let token = DeviceToken::parse("token-1").unwrap();
        let data = Data::default();
        let now = Timestamp::from_millis(1);
        let message = Message::silent(&token, &data, Urgency::Normal, Ttl::seconds(0), now);
        let body = body(message, true);
        assert_eq!(body["validate_only"], true);
        assert_eq!(body["message"]["data"], json!(null), "an empty map is left out");
        assert_eq!(body["message"]["android"]["priority"], "NORMAL");
        assert_eq!(body["message"]["android"]["ttl"], "0s");
        assert_eq!(body["message"]["apns"]["headers"]["apns-expiration"], "0");
        assert_eq!(body["message"]["webpush"]["headers"]["Urgency"], "normal");
    }

    #[test]
    fn a_visible_message_replaces_nothing_and_wakes_the_person() {
        let token = DeviceToken::parse("token-1").unwrap();
        let shown = Notification::new("T".into(), "B".into(), None, Data::default()).unwrap();
        let message = Message::visible(&token, &shown, Ttl::seconds(60), Timestamp::default());
        let expected = json!({"message": {
            "token": "token-1",
            "notification": {"title": "T", "body": "B"},
            "android": {"priority": "HIGH", "ttl": "60s"},
            "apns": {"headers": {
                "apns-push-type": "alert", "apns-priority": "10", "apns-expiration": "60"
            }},
            "webpush": {"headers": {"TTL": "60", "Urgency": "high"}}
        }});
        assert_eq!(body(message, false), expected);
    }

    #[test]
    fn debug_output_hides_tokens_and_values() {
        let token = DeviceToken::parse("token-secret").unwrap();
        let data = Data::new(BTreeMap::from([("k".into(), "secret".into())])).unwrap();
        let shown = Notification::new("secret".into(), "secret".into(), None, data).unwrap();
        let message = Message::visible(&token, &shown, Ttl::seconds(1), Timestamp::default());
        assert!(!format!("{message:?}{shown:?}").contains("secret"));
    }

    #[test]
    fn tokens_are_bounded_visible_text() {
        for bad in ["", "a b", "a\n", "ü", &"x".repeat(4097)] {
            assert_eq!(DeviceToken::parse(bad), Err(InvalidToken));
        }
    }
}
