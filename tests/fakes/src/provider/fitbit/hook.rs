//! Fitbit's subscribers: an address shows that it knows a code, and is told by
//! lists of what changed on which date.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::provider::CLIENT_SECRET;
use crate::provider::fitbit::Fitbit;
use crate::provider::hook::Event;

impl Fitbit {
    /// Whether an address answers the right code with 204 and a wrong one with
    /// 404.
    pub async fn is_verified(&self, endpoint: &str, code: &str) -> bool {
        let status = async |code: &str| {
            let mut url = endpoint.parse::<url::Url>().ok()?;
            url.query_pairs_mut().append_pair("verify", code);
            Some(self.hooks.get(url.as_str()).await?.0)
        };
        status(code).await == Some(204) && status("incorrect").await == Some(404)
    }

    /// A notification that something of a user changed on a date.
    pub fn notification(user: &str, collection: &str, date: &str) -> Event {
        Event::new(&json!([{
            "collectionType": collection,
            "date": date,
            "ownerId": user,
            "ownerType": "user",
            "subscriptionId": format!("{user}-{collection}"),
        }]))
    }

    /// Delivers a notification, signed: until it is taken, three times at most.
    pub async fn deliver(&self, endpoint: &str, event: &Event) -> Vec<Option<u16>> {
        let key = format!("{CLIENT_SECRET}&");
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
        let signature = BASE64_STANDARD.encode(hmac::sign(&key, event.body.as_bytes()));
        let headers = [("x-fitbit-signature", signature)];
        self.hooks.deliver(endpoint, &headers, &event.body).await
    }
}
