//! A browser with one subscription: its keys, and what reached it.

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

/// A message as the service worker gets it, with the headers it came under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The decrypted payload.
    pub payload: Vec<u8>,
    /// `TTL` in seconds.
    pub ttl_s: u32,
    /// `Urgency`; `normal` when the header was missing.
    pub urgency: String,
    /// `Topic`.
    pub topic: Option<String>,
}

/// One subscription and its owner.
#[derive(Debug)]
pub(crate) struct Browser {
    pub(crate) key: PrivateKey,
    pub(crate) public_key: Vec<u8>,
    pub(crate) auth: [u8; 16],
    /// The VAPID public key it is bound to.
    pub(crate) vapid_public_key: Option<String>,
    pub(crate) is_subscribed: bool,
    is_online: bool,
    received: Vec<Pushed>,
    /// Waiting messages and the second they end.
    waiting: Vec<(Pushed, i64)>,
}

impl Browser {
    pub(crate) fn new(vapid_public_key: Option<&str>) -> Self {
        let key = PrivateKey::generate(&ECDH_P256).expect("the system makes P-256 keys");
        let public_key = key.compute_public_key().expect("a new key has a public part");
        let mut auth = [0; 16];
        rand::fill(&mut auth).expect("the system has a random source");
        Self {
            public_key: public_key.as_ref().to_vec(),
            key,
            auth,
            vapid_public_key: vapid_public_key.map(str::to_owned),
            is_subscribed: true,
            is_online: true,
            received: Vec::new(),
            waiting: Vec::new(),
        }
    }

    pub(crate) fn subscription_json(&self, endpoint: &str) -> String {
        json!({
            "endpoint": endpoint,
            "expirationTime": null,
            "keys": {
                "p256dh": URL_SAFE_NO_PAD.encode(&self.public_key),
                "auth": URL_SAFE_NO_PAD.encode(self.auth),
            },
        })
        .to_string()
    }

    pub(crate) fn received(&self) -> &[Pushed] {
        &self.received
    }

    /// Takes a message now, keeps it for later, or drops it.
    pub(crate) fn receive(&mut self, pushed: Pushed, now_s: i64) {
        if self.is_online {
            self.received.push(pushed);
            return;
        }
        if pushed.topic.is_some() {
            self.waiting.retain(|(waiting, _)| waiting.topic != pushed.topic);
        }
        if pushed.ttl_s > 0 {
            let end_s = now_s + i64::from(pushed.ttl_s);
            self.waiting.push((pushed, end_s));
        }
    }

    pub(crate) fn go_offline(&mut self) {
        self.is_online = false;
    }

    pub(crate) fn go_online(&mut self, now_s: i64) {
        self.is_online = true;
        let alive = self.waiting.drain(..).filter(|(_, end_s)| now_s < *end_s);
        self.received.extend(alive.map(|(pushed, _)| pushed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(payload: &str, ttl_s: u32, topic: Option<&str>) -> Pushed {
        let topic = topic.map(str::to_owned);
        Pushed { payload: payload.into(), ttl_s, urgency: "normal".into(), topic }
    }

    #[test]
    fn what_waits_is_replaced_by_topic_and_ends_with_its_life() {
        let mut browser = Browser::new(None);
        browser.go_offline();
        browser.receive(pushed("old", 60, Some("sync")), 0);
        browser.receive(pushed("now or never", 0, None), 0);
        browser.receive(pushed("short", 5, None), 0);
        browser.receive(pushed("new", 60, Some("sync")), 1);
        assert!(browser.received().is_empty());
        browser.go_online(10);
        assert_eq!(browser.received(), [pushed("new", 60, Some("sync"))]);
    }
}
