//! Claims as they stand in a token, and what is read from them.

use serde::{Deserialize, Serialize};
use serde_json::Number;
use tidegate_protocol::id::{DeviceId, UserId};
use tidegate_protocol::time::Timestamp;

use crate::auth::{AuthError, Claims, Role};

/// The last second of the year 9999: times beyond it cannot be written.
const LATEST_S: i64 = 253_402_300_799;

/// The claims this gateway knows; others are ignored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RawClaims {
    sub: String,
    exp: Number,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iat: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aud: Option<Audience>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_id: Option<String>,
    #[serde(default)]
    role: Option<Role>,
}

/// `aud` is one text or a list of them (RFC 7519, 4.1.3).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl RawClaims {
    pub(crate) fn to_issue(
        user: &UserId,
        role: Role,
        now_s: i64,
        ttl_s: u32,
        device_id: Option<&DeviceId>,
    ) -> Self {
        Self {
            sub: user.to_string(),
            exp: now_s.saturating_add(i64::from(ttl_s)).into(),
            nbf: None,
            iat: Some(now_s.into()),
            iss: None,
            aud: None,
            device_id: device_id.map(ToString::to_string),
            role: Some(role),
        }
    }

    /// Names the issuer, unless it is empty.
    pub(crate) fn with_issuer(mut self, issuer: &str) -> Self {
        self.iss = (!issuer.is_empty()).then(|| issuer.to_owned());
        self
    }

    /// Names the audience, unless it is empty.
    pub(crate) fn with_audience(mut self, audience: &str) -> Self {
        self.aud = (!audience.is_empty()).then(|| Audience::One(audience.to_owned()));
        self
    }

    pub(crate) fn exp_s(&self) -> Result<i64, AuthError> {
        seconds(&self.exp).ok_or(AuthError::Invalid("`exp` is not a time"))
    }

    pub(crate) fn nbf_s(&self) -> Result<Option<i64>, AuthError> {
        let Some(nbf) = &self.nbf else { return Ok(None) };
        seconds(nbf).map(Some).ok_or(AuthError::Invalid("`nbf` is not a time"))
    }

    pub(crate) fn is_issued_by(&self, issuer: &str) -> bool {
        self.iss.as_deref() == Some(issuer)
    }

    pub(crate) fn is_meant_for(&self, audience: &str) -> bool {
        match &self.aud {
            None => false,
            Some(Audience::One(one)) => one == audience,
            Some(Audience::Many(many)) => many.iter().any(|one| one == audience),
        }
    }

    /// Parses what is left once time, issuer and audience were found good.
    pub(crate) fn into_claims(self, exp: Timestamp) -> Result<Claims, AuthError> {
        let sub = UserId::parse(&self.sub)
            .map_err(|_| AuthError::Invalid("`sub` is not 1 to 128 visible ASCII characters"))?;
        let device_id = match self.device_id {
            None => None,
            Some(text) => Some(
                DeviceId::parse(&text)
                    .map_err(|_| AuthError::Invalid("`device_id` is not a UUID"))?,
            ),
        };
        Ok(Claims { sub, exp, device_id, role: self.role.unwrap_or_default() })
    }
}

/// A `NumericDate` in whole seconds: fractions are allowed, and cut off.
fn seconds(number: &Number) -> Option<i64> {
    let seconds = match number.as_i64() {
        Some(whole) => whole,
        #[expect(clippy::cast_possible_truncation, reason = "saturates, and is clamped below")]
        None => number.as_f64().filter(|value| value.is_finite())?.floor() as i64,
    };
    Some(seconds.clamp(0, LATEST_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_whole_seconds_within_what_can_be_written() {
        let parse = |text: &str| seconds(&serde_json::from_str(text).unwrap());
        assert_eq!(parse("1700000000"), Some(1_700_000_000));
        assert_eq!(parse("1700000000.9"), Some(1_700_000_000));
        assert_eq!(parse("1e300"), Some(LATEST_S));
        assert_eq!(parse("18446744073709551615"), Some(LATEST_S));
        assert_eq!(parse("-5"), Some(0));
    }
}
