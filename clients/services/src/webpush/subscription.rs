//! A browser's push subscription, as `PushSubscription.toJSON()` writes it.
//!
//! Owns its parsing. Whether the endpoint may be contacted is decided
//! elsewhere.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use url::Url;

/// base64url as browsers write it; padding is tolerated.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Bytes of an uncompressed P-256 point.
pub(crate) const POINT_BYTES: usize = 65;

/// Why a subscription is refused. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// Not JSON with `endpoint` and `keys`.
    #[error("a subscription is JSON with `endpoint` and `keys` {{`p256dh`, `auth`}}")]
    Shape,
    /// Not a web address with a host.
    #[error("`endpoint` is not an http or https address")]
    Endpoint,
    /// Not a point on the curve.
    #[error("`p256dh` is not an uncompressed P-256 public key in base64url")]
    PublicKey,
    /// Not 16 bytes.
    #[error("`auth` is not 16 bytes in base64url")]
    Auth,
}

/// Where and for whom a message is encrypted. A secret: `Debug` shows the
/// push service only.
#[derive(Clone, PartialEq, Eq)]
pub struct Subscription {
    endpoint: Url,
    public_key: [u8; POINT_BYTES],
    auth: [u8; 16],
}

#[derive(Deserialize)]
struct SubscriptionJson {
    endpoint: String,
    keys: Keys,
}

#[derive(Deserialize)]
struct Keys {
    p256dh: String,
    auth: String,
}

impl Subscription {
    /// Parses the JSON and checks that the key is a point on the curve.
    pub fn from_json(text: &str) -> Result<Self, SubscriptionError> {
        let json: SubscriptionJson =
            serde_json::from_str(text).map_err(|_| SubscriptionError::Shape)?;
        let endpoint = Url::parse(&json.endpoint).map_err(|_| SubscriptionError::Endpoint)?;
        let is_web = matches!(endpoint.scheme(), "http" | "https");
        // Credentials in an address would be sent along by the client.
        let has_credentials = !endpoint.username().is_empty() || endpoint.password().is_some();
        if !is_web || !endpoint.has_host() || has_credentials {
            return Err(SubscriptionError::Endpoint);
        }
        let public_key = decode(&json.keys.p256dh).ok_or(SubscriptionError::PublicKey)?;
        if !is_point(&public_key) {
            return Err(SubscriptionError::PublicKey);
        }
        let auth = decode(&json.keys.auth).ok_or(SubscriptionError::Auth)?;
        Ok(Self { endpoint, public_key, auth })
    }

    /// The address to post to. A capability: whoever knows it can push.
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// The push service: scheme, host and port. Not secret.
    pub fn origin(&self) -> String {
        self.endpoint.origin().ascii_serialization()
    }

    pub(crate) fn public_key(&self) -> &[u8; POINT_BYTES] {
        &self.public_key
    }

    pub(crate) fn auth(&self) -> &[u8; 16] {
        &self.auth
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("origin", &self.origin()).finish_non_exhaustive()
    }
}

/// Decodes exactly `N` bytes of base64url.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64URL.decode(text).ok()?.try_into().ok()
}

fn is_point(bytes: &[u8; POINT_BYTES]) -> bool {
    use aws_lc_rs::agreement::{ECDH_P256, ParsedPublicKey, UnparsedPublicKey};
    // 4 marks the uncompressed form.
    bytes[0] == 4 && ParsedPublicKey::try_from(UnparsedPublicKey::new(&ECDH_P256, bytes)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";

    fn parse(endpoint: &str, p256dh: &str, auth: &str) -> Result<Subscription, SubscriptionError> {
        Subscription::from_json(&format!(
            r#"{{"endpoint":"{endpoint}","expirationTime":null,
                "keys":{{"p256dh":"{p256dh}","auth":"{auth}"}}}}"#
        ))
    }

    #[test]
    fn what_a_browser_writes_is_taken_with_or_without_padding() {
        let plain = parse("https://push.example/x", POINT, "BTBZMqHH6r4Tts7J_aSIgg");
        let padded =
            parse("https://push.example/x", &format!("{POINT}="), "BTBZMqHH6r4Tts7J_aSIgg==");
        assert_eq!(plain, padded);
        assert_eq!(plain.unwrap().origin(), "https://push.example");
    }

    #[test]
    fn anything_else_is_refused_without_being_quoted() {
        let auth = "BTBZMqHH6r4Tts7J_aSIgg";
        let off_curve = POINT.replace("Aiw4", "Aiw8");
        let compressed = &POINT[..44];
        for (result, expected) in [
            (Subscription::from_json("{}"), SubscriptionError::Shape),
            (parse("push.example", POINT, auth), SubscriptionError::Endpoint),
            (parse("ftp://push.example/x", POINT, auth), SubscriptionError::Endpoint),
            (parse("https://u:secret@push.example/x", POINT, auth), SubscriptionError::Endpoint),
            (parse("https://push.example/x", &off_curve, auth), SubscriptionError::PublicKey),
            (parse("https://push.example/x", compressed, auth), SubscriptionError::PublicKey),
            (parse("https://push.example/x", POINT, "c2hvcnQ"), SubscriptionError::Auth),
        ] {
            assert_eq!(result.unwrap_err(), expected);
        }
    }

    #[test]
    fn debug_output_shows_the_push_service_only() {
        let shown = parse("https://push.example/secret", POINT, "BTBZMqHH6r4Tts7J_aSIgg").unwrap();
        assert_eq!(format!("{shown:?}"), r#"Subscription { origin: "https://push.example", .. }"#);
    }
}
