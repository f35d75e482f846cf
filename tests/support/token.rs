//! Tokens, signed with the secret that every test gateway has.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// The HS256 secret of every test gateway.
pub(crate) const SECRET: &str = "a secret of tests, long enough for HS256";

/// Far enough for every test that moves the clock.
const LIFE_S: i64 = 10 * 365 * 24 * 3600;

/// A token in the making.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    claims: Value,
}

impl Token {
    pub(crate) fn device(user: &str) -> Self {
        Self::with_role(user, "device")
    }

    pub(crate) fn service(sub: &str) -> Self {
        Self::with_role(sub, "service")
    }

    pub(crate) fn admin(sub: &str) -> Self {
        Self::with_role(sub, "admin")
    }

    fn with_role(sub: &str, role: &str) -> Self {
        let exp = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp();
        Self { claims: json!({ "sub": sub, "role": role, "exp": exp + LIFE_S }) }
    }

    /// Sets a claim.
    pub(crate) fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// Ends at this second since the Unix epoch.
    pub(crate) fn expires_at_s(self, seconds: i64) -> Self {
        self.claim("exp", seconds)
    }

    /// Signed with the gateway's secret.
    pub(crate) fn sign(&self) -> String {
        self.sign_with(SECRET)
    }

    /// Signed with another secret.
    pub(crate) fn sign_with(&self, secret: &str) -> String {
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &self.claims, &key).unwrap()
    }
}
