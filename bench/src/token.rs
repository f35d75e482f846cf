//! Tokens of the devices and of the backend, signed with the secret that the
//! gateway was started with.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use crate::clock;
use crate::load::device::user;

/// The secret of every gateway started here: they serve loopback only.
pub(crate) const SECRET: &str = "tidegate-bench-secret-of-enough-bytes";

/// Makes tokens.
pub(crate) struct Tokens {
    key: EncodingKey,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    exp: i64,
    role: &'a str,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self { key: EncodingKey::from_secret(SECRET.as_bytes()) }
    }

    /// For device number `index`.
    pub(crate) fn device(&self, index: usize) -> anyhow::Result<String> {
        self.sign(&user(index), "device")
    }

    /// For the backend.
    pub(crate) fn service(&self) -> anyhow::Result<String> {
        self.sign("bench", "service")
    }

    /// For the operator.
    pub(crate) fn admin(&self) -> anyhow::Result<String> {
        self.sign("ops", "admin")
    }

    fn sign(&self, sub: &str, role: &str) -> anyhow::Result<String> {
        const DAY_S: i64 = 24 * 3600;
        let claims = Claims { sub, exp: clock::wall_ms() / 1000 + DAY_S, role };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key)?)
    }
}
