//! A set of public keys, as a JWKS names them (RFC 7517).
//!
//! Keys that this gateway does not use are passed over, so that an identity
//! provider may add others to its set. A symmetric key is never taken from a
//! JWKS: what is published is no secret.

use std::sync::Arc;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Most keys taken from one set. A token without a key id is tried with each
/// key of its algorithm, so their number bounds the work.
const KEYS_MAX: usize = 64;

/// A public key with the one algorithm it is used for.
#[derive(Debug)]
pub(crate) struct PublicKey {
    id: Option<String>,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

/// What a key set has for a token.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// Keys that may have signed it: one where the token names a key.
    Found(Vec<Arc<PublicKey>>),
    /// The key named, or every key, is for another algorithm.
    OtherAlgorithm,
    /// No key has the id named.
    UnknownKey,
}

/// The keys in force.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Arc<PublicKey>>,
}

impl KeySet {
    /// Reads a JWKS. A set without a single usable key is an error: taking it
    /// would lock everybody out.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_str(text)
            .map_err(|_| anyhow::anyhow!("the JWKS is not an object with a list `keys`"))?;
        let keys: Vec<_> =
            set.keys.into_iter().filter_map(public_key).take(KEYS_MAX).map(Arc::new).collect();
        anyhow::ensure!(!keys.is_empty(), "the JWKS has no key for RS256, ES256 or EdDSA");
        Ok(Self { keys })
    }

    pub(crate) fn lookup(&self, algorithm: Algorithm, kid: Option<&str>) -> Lookup {
        let named = |key: &&Arc<PublicKey>| kid.is_none() || key.id.as_deref() == kid;
        let named: Vec<_> = self.keys.iter().filter(named).cloned().collect();
        if named.is_empty() {
            return Lookup::UnknownKey;
        }
        let found: Vec<_> = named.into_iter().filter(|key| key.algorithm == algorithm).collect();
        if found.is_empty() { Lookup::OtherAlgorithm } else { Lookup::Found(found) }
    }
}

fn public_key(value: Value) -> Option<PublicKey> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
        return None;
    }
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    if jwk.common.key_algorithm.is_some_and(|stated| stated != named) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some(PublicKey { id: jwk.common.key_id, algorithm, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_other_uses_are_passed_over() {
        let ed = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;
        let set = |keys: &str| KeySet::parse(&format!(r#"{{"keys":[{keys}]}}"#));
        assert!(set(&format!(r#"{{{ed},"kid":"a"}}"#)).is_ok());
        for refused in [
            String::new(),
            format!(r#"{{{ed},"use":"enc"}}"#),
            format!(r#"{{{ed},"alg":"RS256"}}"#),
            r#"{"kty":"oct","k":"c2VjcmV0"}"#.to_owned(),
            r#"{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}"#.to_owned(),
            r#"{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}"#.to_owned(),
            r#"{"kty":"new"}"#.to_owned(),
            "7".to_owned(),
        ] {
            assert!(set(&refused).is_err(), "{refused}");
        }
        assert!(KeySet::parse("[]").is_err());
    }
}
