//! VAPID (RFC 8292): the gateway's key, and the tokens signed with it.
//!
//! Owns the private key and one token per push service. A token proves who
//! sends, not what: it is reused for hours, and never outlives 24.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, Pkcs8V1Der};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::HeaderValue;
use serde::Serialize;
use tidegate_clock::Clock;
use url::Url;

use crate::limits::{VAPID_LIFE_S, VAPID_ORIGINS, VAPID_RENEW_EARLY_S};
use crate::webpush::subscription::decode;

/// Why a VAPID key or its subject is refused. Never quotes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VapidError {
    /// Not 32 bytes, or no valid scalar.
    #[error("a VAPID private key is 32 bytes of P-256 in base64url")]
    PrivateKey,
    /// Apple refuses tokens without a sane contact.
    #[error("a VAPID subject is a `mailto:` or `https:` address")]
    Subject,
    /// The key does not sign.
    #[error("the VAPID token could not be signed")]
    Signing,
}

/// The gateway's VAPID key, its contact, and the tokens in use.
pub struct Vapid {
    key: EncodingKey,
    public_key: String,
    subject: String,
    tokens: Mutex<HashMap<String, Token>>,
}

struct Token {
    authorization: HeaderValue,
    signed_at_s: i64,
    renew_at_s: i64,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: i64,
    sub: &'a str,
}

impl Vapid {
    /// From the private key as `web-push generate-vapid-keys` and others
    /// print it (32 bytes, base64url), and an operator's contact.
    pub fn new(private_key: &str, subject: &str) -> Result<Self, VapidError> {
        let bytes: [u8; 32] = decode(private_key).ok_or(VapidError::PrivateKey)?;
        let key =
            PrivateKey::from_private_key(&ECDH_P256, &bytes).map_err(|_| VapidError::PrivateKey)?;
        Self::from_key(&key, subject)
    }

    fn from_key(key: &PrivateKey, subject: &str) -> Result<Self, VapidError> {
        let contact = Url::parse(subject).map_err(|_| VapidError::Subject)?;
        let is_mail = contact.scheme() == "mailto" && contact.path().contains('@');
        let is_web = contact.scheme() == "https" && contact.has_host();
        if !is_mail && !is_web {
            return Err(VapidError::Subject);
        }
        let public = key.compute_public_key().map_err(|_| VapidError::PrivateKey)?;
        let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| VapidError::PrivateKey)?;
        Ok(Self {
            key: EncodingKey::from_ec_der(der.as_ref()),
            public_key: URL_SAFE_NO_PAD.encode(public.as_ref()),
            subject: subject.to_owned(),
            tokens: Mutex::default(),
        })
    }

    /// The public key in base64url: what browsers subscribe with.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// The `Authorization` header for a push service; signed at most once
    /// every few hours for each.
    pub(crate) fn authorization(
        &self,
        endpoint: &Url,
        clock: &Clock,
    ) -> Result<HeaderValue, VapidError> {
        let origin = endpoint.origin().ascii_serialization();
        let now_s = clock.unix_seconds();
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = tokens.get(&origin)
            // Also not from the future: it was signed under a wrong clock, and
            // no service takes one that ends so late.
            && (token.signed_at_s..token.renew_at_s).contains(&now_s)
        {
            return Ok(token.authorization.clone());
        }
        let expires_at_s = now_s + VAPID_LIFE_S;
        let authorization = self.sign(&origin, expires_at_s)?;
        if tokens.len() >= VAPID_ORIGINS && !tokens.contains_key(&origin) {
            // Signing anew costs microseconds; which ones go does not matter.
            tokens.clear();
        }
        let renew_at_s = expires_at_s - VAPID_RENEW_EARLY_S;
        let token = Token { authorization: authorization.clone(), signed_at_s: now_s, renew_at_s };
        tokens.insert(origin, token);
        Ok(authorization)
    }

    fn sign(&self, origin: &str, expires_at_s: i64) -> Result<HeaderValue, VapidError> {
        let claims = Claims { aud: origin, exp: expires_at_s, sub: &self.subject };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.key)
            .map_err(|_| VapidError::Signing)?;
        let mut header = HeaderValue::from_str(&format!("vapid t={token}, k={}", self.public_key))
            .map_err(|_| VapidError::Signing)?;
        header.set_sensitive(true);
        Ok(header)
    }
}

impl fmt::Debug for Vapid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vapid")
            .field("public_key", &self.public_key)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// A new private key in base64url, for [`Vapid::new`].
pub fn generate_private_key() -> Result<String, VapidError> {
    let key = PrivateKey::generate(&ECDH_P256).map_err(|_| VapidError::PrivateKey)?;
    let bytes: EcPrivateKeyBin<'_> = key.as_be_bytes().map_err(|_| VapidError::PrivateKey)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes.as_ref()))
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::time::Timestamp;

    use super::*;

    fn endpoint(host: &str) -> Url {
        Url::parse(&format!("https://{host}/x")).unwrap()
    }

    #[test]
    fn one_token_serves_an_origin_until_an_hour_before_its_end() {
        let vapid = Vapid::new(&generate_private_key().unwrap(), "mailto:ops@example.com").unwrap();
        let (clock, hands) = Clock::standing(Timestamp::default());
        let go_to = |second: i64| hands.stand_at(Timestamp::from_millis(second * 1000));
        let header = |host| vapid.authorization(&endpoint(host), &clock).unwrap();
        let first = header("a.example");
        assert!(first.is_sensitive());
        assert_ne!(first, header("b.example"));
        go_to(VAPID_LIFE_S - VAPID_RENEW_EARLY_S - 1);
        assert_eq!(first, header("a.example"));
        go_to(VAPID_LIFE_S - VAPID_RENEW_EARLY_S);
        let second = header("a.example");
        assert_ne!(first, second);
        go_to(0);
        assert_ne!(second, header("a.example"), "the clock was wrong and was set right");
    }

    #[test]
    fn kept_tokens_are_bounded() {
        let vapid = Vapid::new(&generate_private_key().unwrap(), "https://example.com").unwrap();
        let clock = Clock::standing(Timestamp::default()).0;
        for number in 0..=VAPID_ORIGINS {
            vapid.authorization(&endpoint(&format!("h{number}.example")), &clock).unwrap();
        }
        assert_eq!(vapid.tokens.lock().unwrap().len(), 1);
    }

    #[test]
    fn keys_and_subjects_are_checked() {
        let key = generate_private_key().unwrap();
        let refused = |key: &str, subject: &str| Vapid::new(key, subject).unwrap_err();
        assert_eq!(refused("c2hvcnQ", "mailto:a@b.example"), VapidError::PrivateKey);
        assert_eq!(refused(&"A".repeat(43), "mailto:a@b.example"), VapidError::PrivateKey);
        for subject in ["", "ops@example.com", "mailto:", "http://example.com", "mailto:ops"] {
            assert_eq!(refused(&key, subject), VapidError::Subject, "{subject}");
        }
        let vapid = Vapid::new(&key, "mailto:a@b.example").unwrap();
        assert!(!format!("{vapid:?}").contains(&key));
    }
}
