//! What Google checks about an assertion, in its order: structure, signature,
//! account, `iat` and `exp` present, window, scope, audience.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;

use crate::fixtures::{PROJECT_ID, client_email};
use crate::jwt::Jwt;

/// The only grant this endpoint knows.
pub(crate) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Scopes that may send messages.
const SCOPES: [&str; 2] = [
    "https://www.googleapis.com/auth/firebase.messaging",
    "https://www.googleapis.com/auth/cloud-platform",
];

/// Longest life of an assertion in seconds.
const LIFE_MAX_S: i64 = 3600;

/// How far clocks may differ, in seconds.
const SKEW_S: i64 = 300;

/// What Google finds wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `grant_type` is not the one for assertions.
    GrantType,
    /// Not a JWT.
    Undecodable,
    /// Wrong signature, or not RS256.
    Signature,
    /// `iss` is not the account.
    UnknownAccount,
    /// No `iat`.
    NoIssuedAt,
    /// No `exp`.
    NoExpiry,
    /// Too long a life, or not around now.
    Window,
    /// Empty scope.
    Scope,
    /// `aud` is not the endpoint.
    Audience,
}

impl Refusal {
    /// All that an assertion can meet, in the order of the checks.
    pub const OF_ASSERTIONS: [Self; 8] = [
        Self::Undecodable,
        Self::Signature,
        Self::UnknownAccount,
        Self::NoIssuedAt,
        Self::NoExpiry,
        Self::Window,
        Self::Scope,
        Self::Audience,
    ];

    /// `error` and `error_description`.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::GrantType => ("unsupported_grant_type", "Invalid grant_type"),
            Self::Undecodable => ("invalid_request", "Bad Request"),
            Self::Signature => ("invalid_grant", "Invalid JWT Signature."),
            Self::UnknownAccount => ("invalid_grant", "Invalid grant: account not found"),
            Self::NoIssuedAt => ("invalid_grant", "Invalid JWT: iat (issued at) is not set."),
            Self::NoExpiry => ("invalid_grant", "Invalid JWT: exp (expiration time) is not set."),
            Self::Window => (
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable \
                 timeframe. Check your iat and exp values in the JWT claim.",
            ),
            Self::Scope => ("invalid_scope", "Invalid OAuth scope or ID token audience provided."),
            Self::Audience => ("invalid_grant", "Invalid JWT: Failed audience check."),
        }
    }
}

/// What a good assertion is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// An access token.
    Good,
    /// An ID token only.
    UnknownScope,
}

pub(crate) fn check(
    assertion: &str,
    public_der: &[u8],
    token_uri: &str,
    now_s: i64,
) -> Result<Verdict, Refusal> {
    let jwt = Jwt::parse(assertion).ok_or(Refusal::Undecodable)?;
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public_der);
    let is_rs256 = jwt.header.get("alg").and_then(Value::as_str) == Some("RS256");
    if !is_rs256 || key.verify(jwt.signed, &jwt.signature).is_err() {
        return Err(Refusal::Signature);
    }
    if jwt.text("iss") != client_email(PROJECT_ID) {
        return Err(Refusal::UnknownAccount);
    }
    let issued_at = jwt.number("iat").ok_or(Refusal::NoIssuedAt)?;
    let expiry = jwt.number("exp").ok_or(Refusal::NoExpiry)?;
    let short = (1..=LIFE_MAX_S).contains(&(expiry - issued_at));
    if !short || issued_at > now_s + SKEW_S || expiry < now_s - SKEW_S {
        return Err(Refusal::Window);
    }
    let scope = jwt.text("scope");
    if scope.trim().is_empty() {
        return Err(Refusal::Scope);
    }
    if jwt.text("aud") != token_uri {
        return Err(Refusal::Audience);
    }
    let known = scope.split(' ').any(|scope| SCOPES.contains(&scope));
    Ok(if known { Verdict::Good } else { Verdict::UnknownScope })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    const URI: &str = "http://127.0.0.1:1/token";
    const NOW_S: i64 = 1_795_000_000;

    fn good() -> Value {
        json!({
            "iss": client_email(PROJECT_ID), "scope": SCOPES[0], "aud": URI,
            "iat": NOW_S, "exp": NOW_S + 3600,
        })
    }

    fn sign(pair: &KeyPair, algorithm: &str, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": algorithm})), part(claims));
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn each_check_comes_in_its_turn() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = pair.public_key().as_ref();
        let verdict = |assertion: &str| check(assertion, public, URI, NOW_S);
        assert_eq!(verdict(&sign(&pair, "RS256", &good())), Ok(Verdict::Good));
        assert_eq!(verdict("a.b"), Err(Refusal::Undecodable));
        assert_eq!(verdict("a.b.c"), Err(Refusal::Undecodable));
        assert_eq!(verdict(&sign(&pair, "HS256", &good())), Err(Refusal::Signature));

        // Each claim is spoilt on top of the ones before it: the earliest
        // check must speak.
        let mut claims = good();
        for (claim, value, expected) in [
            ("scope", json!("https://example.com/x"), Ok(Verdict::UnknownScope)),
            ("aud", json!("https://example.com"), Err(Refusal::Audience)),
            ("scope", json!(""), Err(Refusal::Scope)),
            ("exp", json!(NOW_S + 3601), Err(Refusal::Window)),
            ("exp", Value::Null, Err(Refusal::NoExpiry)),
            ("iat", Value::Null, Err(Refusal::NoIssuedAt)),
            ("iss", json!("someone"), Err(Refusal::UnknownAccount)),
        ] {
            claims[claim] = value;
            assert_eq!(verdict(&sign(&pair, "RS256", &claims)), expected, "{claim}");
        }
    }

    #[test]
    fn the_window_is_an_hour_with_five_minutes_of_slack() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        for (offset_s, is_accepted) in [(300, true), (301, false), (-3600, true), (-7200, false)] {
            let mut claims = good();
            claims["iat"] = json!(NOW_S + offset_s);
            claims["exp"] = json!(NOW_S + offset_s + 3600);
            let verdict =
                check(&sign(&pair, "RS256", &claims), pair.public_key().as_ref(), URI, NOW_S);
            assert_eq!(verdict.is_ok(), is_accepted, "{offset_s}");
        }
    }
}
