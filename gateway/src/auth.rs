//! Who calls: judges tokens, and makes them where a shared secret is
//! configured.
//!
//! The key decides the algorithm, never the token: each key is only ever tried
//! with its own one. This module does not decide what a role may do, and it
//! never logs a token or a claim.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use tidegate_clock::Clock;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::id::{DeviceId, UserId};
use tidegate_protocol::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::auth::claims::RawClaims;
use crate::auth::jwks::KeySource;
use crate::auth::keys::Lookup;
use crate::auth::known::{Known, KnownTokens, fingerprint};
use crate::config::Auth;
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::metrics::label::AuthFailure;

pub mod claims;
pub mod jwks;
pub mod keys;
mod known;
pub mod secret;

/// Longest token looked at, in bytes; the header of a request is bounded by
/// 16 KiB anyway, `hello` is not.
const TOKEN_BYTES: usize = 8 * 1024;

/// What a token says about its bearer, once it was found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user.
    pub sub: UserId,
    /// When the token stops being accepted: its `exp` and the leeway.
    pub exp: Timestamp,
    /// The only device the token is for, where it names one.
    pub device_id: Option<DeviceId>,
    /// What the bearer is.
    pub role: Role,
}

impl Claims {
    /// Whether the token may be used for this device.
    pub fn is_for(&self, device: &DeviceId) -> bool {
        self.device_id.as_ref().is_none_or(|bound| bound == device)
    }

    /// With whom the bearer shares what callers may take.
    pub fn holder(&self) -> Holder {
        Holder { is_device: self.role == Role::Device, sub: self.sub.clone() }
    }
}

/// Whose requests are counted together: the devices of a user, or a backend. A
/// user and a backend of the same name are two.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Whether it is a user, with all devices.
    pub is_device: bool,
    /// The user's or the backend's `sub`.
    pub sub: UserId,
}

/// What a bearer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// An app: its user's own stream and devices, and shared streams.
    #[default]
    Device,
    /// An app's backend: commands, shared streams, any user's devices.
    Service,
    /// An operator: all of `service`, and the admin API.
    Admin,
}

impl Role {
    /// Whether this role may do what `required` may: `admin` is a `service`
    /// too, and neither of them is a device.
    pub fn includes(self, required: Self) -> bool {
        self == required || (self == Self::Admin && required == Self::Service)
    }
}

/// Why a token was refused. The texts are safe to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Not a token, not signed by the key it names, or with claims that are
    /// not what they should be.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// It may be good, but not for this gateway.
    #[error("the token is not accepted here: {0}")]
    NotAccepted(&'static str),
    /// No key set could be read so far: nothing can be said about the token.
    #[error("the keys that tokens are checked with are not available")]
    Unavailable,
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unavailable => Self::unavailable(error.to_string()),
            _ => Self::new(ErrorCode::Unauthenticated, error.to_string()),
        }
    }
}

/// Judges tokens. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

struct Inner {
    secret: Option<Secret>,
    source: Option<KeySource>,
    known: KnownTokens,
    issuer: String,
    audience: String,
    leeway_s: i64,
    clock: Clock,
    metrics: Metrics,
}

struct Secret {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl Authenticator {
    /// Reads the keys. `auth` comes from [`secret::resolve`]. A JWKS file that
    /// cannot be read is an error; a JWKS URL that does not answer is not: the
    /// gateway answers 503 to what needs its keys until they come.
    ///
    /// With a JWKS, run [`Authenticator::keep_fresh`] too.
    pub async fn new(auth: &Auth, clock: Clock, metrics: Metrics) -> anyhow::Result<Self> {
        let secret = (!auth.hs256_secret.is_empty()).then(|| Secret {
            encoding: EncodingKey::from_secret(auth.hs256_secret.as_bytes()),
            decoding: DecodingKey::from_secret(auth.hs256_secret.as_bytes()),
        });
        Ok(Self(Arc::new(Inner {
            secret,
            source: KeySource::open(auth).await?,
            known: KnownTokens::default(),
            issuer: auth.issuer.clone(),
            audience: auth.audience.clone(),
            leeway_s: i64::try_from(auth.leeway_s).unwrap_or(i64::MAX),
            clock,
            metrics,
        })))
    }

    /// Reads the JWKS, if there is one, again at its interval, and when a token
    /// names a key that is not known. Returns when `stop` is cancelled.
    pub async fn keep_fresh(&self, stop: CancellationToken) {
        match &self.0.source {
            Some(source) => {
                stop.run_until_cancelled(source.keep_fresh()).await;
            }
            None => stop.cancelled().await,
        }
    }

    /// Judges a token. Waits only where the token names a key that is not
    /// known, until the JWKS was read again.
    pub async fn verify(&self, token: &str) -> Result<Claims, AuthError> {
        let judged = self.judge(token).await;
        if let Err(error) = &judged {
            let label = match error {
                AuthError::Invalid(_) => Some(AuthFailure::Invalid),
                AuthError::Expired | AuthError::NotYet => Some(AuthFailure::Expired),
                AuthError::NotAccepted(_) => Some(AuthFailure::NotAccepted),
                AuthError::Unavailable => None,
            };
            if let Some(label) = label {
                self.0.metrics.auth_failures.of(label).inc();
            }
        }
        judged
    }

    /// Counts a call that came without a token, and says what to answer.
    pub fn missing(&self) -> ApiError {
        self.0.metrics.auth_failures.of(AuthFailure::Missing).inc();
        ApiError::new(ErrorCode::Unauthenticated, "a bearer token is required")
    }

    /// Makes a token, signed with the shared secret.
    pub fn issue(
        &self,
        user: &UserId,
        role: Role,
        ttl_s: u32,
        device_id: Option<&DeviceId>,
    ) -> anyhow::Result<String> {
        let secret = self.0.secret.as_ref().ok_or_else(|| {
            anyhow::anyhow!("tokens are made with `auth.hs256_secret`, which is not configured")
        })?;
        let now_s = self.now_s();
        let claims = RawClaims::to_issue(user, role, now_s, ttl_s, device_id)
            .with_issuer(&self.0.issuer)
            .with_audience(&self.0.audience);
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &secret.encoding)?)
    }

    fn now_s(&self) -> i64 {
        self.0.clock.now().millis().div_euclid(1000)
    }

    async fn judge(&self, token: &str) -> Result<Claims, AuthError> {
        if token.len() > TOKEN_BYTES {
            return Err(AuthError::Invalid("it is too long"));
        }
        let print = fingerprint(token);
        // Before the keys are looked up: another set may come meanwhile.
        let reading = self.0.source.as_ref().map_or(0, KeySource::reading);
        if let Some(claims) = self.0.known.get(&print, self.now_s(), reading) {
            return Ok(claims);
        }
        let (claims, from_s) = self.check(self.decode(token).await?)?;
        if claims.role != Role::Device {
            self.0.known.keep(print, Known { claims: claims.clone(), from_s, reading });
        }
        Ok(claims)
    }

    /// Reads a token and checks its signature.
    async fn decode(&self, token: &str) -> Result<RawClaims, AuthError> {
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| AuthError::Invalid("its header cannot be read"))?;
        if header.crit.is_some() {
            return Err(AuthError::NotAccepted("it has a critical extension"));
        }
        match header.alg {
            Algorithm::HS256 => match &self.0.secret {
                Some(secret) => decode(token, Algorithm::HS256, &secret.decoding),
                None => Err(AuthError::NotAccepted("its algorithm")),
            },
            Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA => {
                self.decode_with_public_key(token, &header).await
            }
            _ => Err(AuthError::NotAccepted("its algorithm")),
        }
    }

    async fn decode_with_public_key(
        &self,
        token: &str,
        header: &Header,
    ) -> Result<RawClaims, AuthError> {
        let source = self.0.source.as_ref().ok_or(AuthError::NotAccepted("its algorithm"))?;
        let kid = header.kid.as_deref();
        let candidates = match source.lookup(header.alg, kid).await? {
            Lookup::Found(candidates) => candidates,
            Lookup::OtherAlgorithm => return Err(AuthError::NotAccepted("its algorithm")),
            Lookup::UnknownKey => return Err(AuthError::NotAccepted("its key is not known")),
        };
        let mut refusal = AuthError::NotAccepted("its key is not known");
        for candidate in candidates {
            match decode(token, candidate.algorithm, &candidate.key) {
                Ok(claims) => return Ok(claims),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// What the claims say, and from which second on, if they are good now.
    fn check(&self, claims: RawClaims) -> Result<(Claims, i64), AuthError> {
        let now_s = self.now_s();
        let exp_s = claims.exp_s()?.saturating_add(self.0.leeway_s);
        if now_s >= exp_s {
            return Err(AuthError::Expired);
        }
        let from_s =
            claims.nbf_s()?.map_or(i64::MIN, |nbf_s| nbf_s.saturating_sub(self.0.leeway_s));
        if now_s < from_s {
            return Err(AuthError::NotYet);
        }
        if !self.0.issuer.is_empty() && !claims.is_issued_by(&self.0.issuer) {
            return Err(AuthError::NotAccepted("its issuer"));
        }
        if !self.0.audience.is_empty() && !claims.is_meant_for(&self.0.audience) {
            return Err(AuthError::NotAccepted("its audience"));
        }
        let exp = Timestamp::from_millis(exp_s.saturating_mul(1000));
        Ok((claims.into_claims(exp)?, from_s))
    }
}

/// Checks the signature only: time is judged by our clock, the rest by us.
fn decode(token: &str, algorithm: Algorithm, key: &DecodingKey) -> Result<RawClaims, AuthError> {
    use jsonwebtoken::errors::ErrorKind;
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    match jsonwebtoken::decode::<RawClaims>(token, key, &validation) {
        Ok(data) => Ok(data.claims),
        Err(error) if matches!(error.kind(), ErrorKind::Json(_)) => {
            Err(AuthError::Invalid("a claim is missing or has the wrong type"))
        }
        Err(_) => Err(AuthError::Invalid("its signature")),
    }
}

#[cfg(test)]
mod tests;
