//! What is pushed to a browser, before encryption. Never encrypts or sends.

use std::fmt;

use reqwest::header::HeaderValue;

use crate::limits::{TOPIC_CHARS, WEBPUSH_PLAIN_BYTES};
use crate::wake::{COLLAPSE_KEY, Fields, Ttl, Urgency, Wake};

/// More than [`WEBPUSH_PLAIN_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a web push payload of {bytes} bytes exceeds 3993")]
pub struct PayloadTooLarge {
    /// The payload's bytes.
    pub bytes: usize,
}

/// The plaintext, at most [`WEBPUSH_PLAIN_BYTES`]. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Vec<u8>);

impl Payload {
    /// Checks the size.
    pub fn new(bytes: Vec<u8>) -> Result<Self, PayloadTooLarge> {
        match bytes.len() {
            0..=WEBPUSH_PLAIN_BYTES => Ok(Self(bytes)),
            bytes => Err(PayloadTooLarge { bytes }),
        }
    }

    /// The wake-up with its command as JSON, when there is one and it fits.
    pub fn inline(wake: &Wake) -> Option<Self> {
        Self::new(json(&wake.inline()?)).ok()
    }

    /// The wake-up without its command as JSON.
    pub fn hint(wake: &Wake) -> Self {
        // A stream name has 133 bytes at most, so it fits.
        Self(json(&wake.hint()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("bytes", &self.0.len()).finish()
    }
}

fn json(fields: &Fields) -> Vec<u8> {
    serde_json::to_vec(fields).expect("a map of texts is always JSON")
}

/// Not a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a topic is 1 to 32 characters of [A-Za-z0-9_-]")]
pub struct InvalidTopic;

/// Under one topic, a new message replaces one that was not delivered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic(String);

impl Topic {
    /// Checks length and characters (RFC 8030 section 5.4).
    pub fn parse(text: &str) -> Result<Self, InvalidTopic> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if (1..=TOPIC_CHARS).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidTopic)
        }
    }

    /// The topic of wake-ups.
    pub fn sync() -> Self {
        Self(COLLAPSE_KEY.to_owned())
    }

    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("base64url characters make a header")
    }
}

/// One message to one subscription.
#[derive(Clone, Debug)]
pub struct Message {
    /// What the service worker gets.
    pub payload: Payload,
    /// How long the service keeps it.
    pub ttl: Ttl,
    /// Whether it wakes a dozing device.
    pub urgency: Urgency,
    /// What it replaces.
    pub topic: Option<Topic>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_short_and_base64url() {
        assert!(Topic::parse(&"a-Z_9".repeat(6)).is_ok());
        for bad in ["", "a b", "a+b", "ü", &"x".repeat(33)] {
            assert_eq!(Topic::parse(bad), Err(InvalidTopic));
        }
    }

    #[test]
    fn payloads_end_at_one_record() {
        assert!(Payload::new(vec![0; 3993]).is_ok());
        assert_eq!(Payload::new(vec![0; 3994]), Err(PayloadTooLarge { bytes: 3994 }));
    }
}
