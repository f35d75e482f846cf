//! Every refusal, and each kind of key.

use jsonwebtoken::jwk::Jwk;
use serde_json::{Value, json};

use super::*;

mod rotation;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const DEVICE: &str = "6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11";

/// A private key, and the public half as a JWKS shows it.
struct Signer {
    kid: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    fn rsa(kid: &'static str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { kid, algorithm: Algorithm::RS256, key }
    }

    fn ec(kid: &'static str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        Self { kid, algorithm: Algorithm::ES256, key }
    }

    /// From a fixed seed (RFC 8032, 7.1, test 1): the library wants the short
    /// form of the private key.
    fn ed(kid: &'static str) -> Self {
        let mut der = hex("302e020100300506032b657004220420");
        der.extend(hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
        Self { kid, algorithm: Algorithm::EdDSA, key: EncodingKey::from_ed_der(&der) }
    }

    fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.kid.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn jwks(signers: &[&Signer]) -> String {
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

fn settings() -> Auth {
    Auth {
        hs256_secret: String::new(),
        jwks_file: String::new(),
        jwks_url: String::new(),
        jwks_refresh_s: 300,
        issuer: String::new(),
        audience: String::new(),
        leeway_s: 0,
    }
}

fn with_secret() -> Auth {
    Auth { hs256_secret: SECRET.to_owned(), ..settings() }
}

async fn authenticator(auth: &Auth) -> Authenticator {
    Authenticator::new(auth, Clock::system(), Metrics::new()).await.unwrap()
}

async fn with_keys(signers: &[&Signer], auth: Auth) -> Authenticator {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    std::fs::write(&path, jwks(signers)).unwrap();
    authenticator(&Auth { jwks_file: path.to_str().unwrap().to_owned(), ..auth }).await
}

fn hs256(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

fn now_s() -> i64 {
    Clock::system().now().millis() / 1000
}

fn good() -> Value {
    json!({ "sub": "u1", "exp": now_s() + 60 })
}

/// Good claims with some replaced.
fn good_but(changes: Value) -> Value {
    let (mut claims, Value::Object(changes)) = (good(), changes) else { panic!("not an object") };
    claims.as_object_mut().unwrap().extend(changes);
    claims
}

/// Devices are many: what is remembered of them would crowd out backends.
#[tokio::test]
async fn only_backends_are_remembered() {
    let auth = authenticator(&with_secret()).await;
    let mut claims = good();
    for (role, remembered) in [("device", 0), ("service", 1), ("admin", 2), ("service", 2)] {
        claims["role"] = role.into();
        auth.verify(&hs256(&claims)).await.unwrap();
        assert_eq!(auth.0.known.len(), remembered, "{role}");
    }
    let forged = format!("{}x", hs256(&claims));
    auth.verify(&forged).await.unwrap_err();
    assert_eq!(auth.0.known.len(), 2);
}

#[tokio::test]
async fn a_good_token_says_who_calls() {
    let auth = authenticator(&with_secret()).await;
    let exp = now_s() + 60;
    let token = hs256(&json!({ "sub": "u1", "exp": exp }));
    let claims = auth.verify(&token).await.unwrap();
    assert_eq!(claims.sub.as_str(), "u1");
    assert_eq!(claims.exp.millis(), exp * 1000);
    assert_eq!((claims.device_id, claims.role), (None, Role::Device));

    let token = hs256(&good_but(json!({ "device_id": DEVICE, "role": "admin", "extra": [1] })));
    let claims = auth.verify(&token).await.unwrap();
    assert!(claims.is_for(&DeviceId::parse(DEVICE).unwrap()));
    assert!(!claims.is_for(&DeviceId::generate()));
    assert_eq!(claims.role, Role::Admin);

    let token = hs256(&good_but(json!({ "device_id": DEVICE.to_uppercase() })));
    let claims = auth.verify(&token).await.unwrap();
    assert!(claims.is_for(&DeviceId::parse(DEVICE).unwrap()), "a device id in capitals");
}

#[tokio::test]
async fn claims_that_are_not_what_they_should_be_are_refused() {
    let auth = authenticator(&with_secret()).await;
    for claims in [
        json!({ "sub": "u1" }),
        json!({ "exp": now_s() + 60 }),
        good_but(json!({ "exp": "soon" })),
        good_but(json!({ "exp": null })),
        good_but(json!({ "sub": "" })),
        good_but(json!({ "sub": "a b" })),
        good_but(json!({ "sub": 7 })),
        good_but(json!({ "role": "root" })),
        good_but(json!({ "device_id": DEVICE.replace('-', "") })),
    ] {
        let refused = auth.verify(&hs256(&claims)).await.unwrap_err();
        assert!(matches!(refused, AuthError::Invalid(_)), "{claims}: {refused}");
    }
    assert_eq!(auth.0.metrics.auth_failures.of(AuthFailure::Invalid).get(), 9);
}

#[tokio::test]
async fn time_is_judged_by_our_clock_in_whole_seconds() {
    let (clock, hands) = Clock::movable();
    let metrics = Metrics::new();
    let strict = Authenticator::new(&with_secret(), clock.clone(), metrics.clone()).await.unwrap();
    let lenient = Auth { leeway_s: 30, ..with_secret() };
    let lenient = Authenticator::new(&lenient, clock, metrics).await.unwrap();
    let token = hs256(&good_but(json!({ "nbf": now_s() - 10 })));
    assert!(strict.verify(&token).await.is_ok());

    hands.go_ahead_ms(61_000);
    assert_eq!(strict.verify(&token).await, Err(AuthError::Expired));
    let claims = lenient.verify(&token).await.unwrap();
    assert!(claims.exp > Clock::system().now().plus_millis(85_000), "the leeway counts");

    hands.go_ahead_ms(-30_000);
    assert_eq!(strict.verify(&token).await, Err(AuthError::NotYet));
    assert!(lenient.verify(&token).await.is_ok());

    hands.go_ahead_ms(92_000);
    assert_eq!(lenient.verify(&token).await, Err(AuthError::Expired));
}

#[tokio::test]
async fn signatures_and_shapes_that_are_wrong_are_refused() {
    let auth = authenticator(&with_secret()).await;
    let token = hs256(&good());
    let (signed, _) = token.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let other = EncodingKey::from_secret(b"another secret of thirty-two byte");
    let foreign = jsonwebtoken::encode(&Header::default(), &good(), &other).unwrap();
    let admin = hs256(&good_but(json!({ "role": "admin" })));
    let swapped = format!("{signed}.{}", admin.rsplit_once('.').unwrap().1);
    for token in ["", ".", "..", "a.b.c", header, signed, &format!("{signed}."), &foreign, &swapped]
    {
        assert!(matches!(auth.verify(token).await, Err(AuthError::Invalid(_))), "{token}");
    }
    let long = format!("{token}{}", "A".repeat(TOKEN_BYTES));
    assert_eq!(auth.verify(&long).await, Err(AuthError::Invalid("it is too long")));
}

#[tokio::test]
async fn no_algorithm_and_unknown_extensions_are_refused() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let auth = authenticator(&with_secret()).await;
    let claims = URL_SAFE_NO_PAD.encode(good().to_string());
    for alg in ["none", "None", "NONE", "HS1"] {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": alg, "typ": "JWT" }).to_string());
        for signature in ["", "AA"] {
            let token = format!("{header}.{claims}.{signature}");
            assert!(auth.verify(&token).await.is_err(), "{alg}");
        }
    }
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let header = Header { crit: Some(vec!["exp".to_owned()]), ..Header::default() };
    let token = jsonwebtoken::encode(&header, &good(), &key).unwrap();
    assert!(matches!(auth.verify(&token).await, Err(AuthError::NotAccepted(_))));
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS512), &good(), &key).unwrap();
    assert_eq!(auth.verify(&token).await, Err(AuthError::NotAccepted("its algorithm")));
}

#[tokio::test]
async fn issuer_and_audience_are_checked_where_configured() {
    let auth = Auth { issuer: "https://id".into(), audience: "tide".into(), ..with_secret() };
    let auth = authenticator(&auth).await;
    let check = async |iss: Value, aud: Value| {
        auth.verify(&hs256(&good_but(json!({ "iss": iss, "aud": aud })))).await.map(|_| ())
    };
    assert_eq!(check(json!("https://id"), json!("tide")).await, Ok(()));
    assert_eq!(check(json!("https://id"), json!(["other", "tide"])).await, Ok(()));
    for (iss, aud) in [
        (json!("https://id/"), json!("tide")),
        (Value::Null, json!("tide")),
        (json!("https://id"), json!("other")),
        (json!("https://id"), json!([])),
        (json!("https://id"), Value::Null),
    ] {
        assert!(matches!(check(iss, aud).await, Err(AuthError::NotAccepted(_))));
    }
}

#[tokio::test]
async fn public_keys_of_each_kind_are_used_with_their_own_algorithm() {
    let signers = [Signer::rsa("r"), Signer::ec("e"), Signer::ed("d")];
    let all: Vec<_> = signers.iter().collect();
    let auth = with_keys(&all, settings()).await;
    for signer in &signers {
        assert!(auth.verify(&signer.sign(&good())).await.is_ok(), "{}", signer.kid);
        let no_kid = Header::new(signer.algorithm);
        let token = jsonwebtoken::encode(&no_kid, &good(), &signer.key).unwrap();
        assert!(auth.verify(&token).await.is_ok(), "{} without a key id", signer.kid);
    }
    // The key id of one, the signature of another.
    let crossed = Header { kid: Some("e".to_owned()), ..Header::new(Algorithm::RS256) };
    let token = jsonwebtoken::encode(&crossed, &good(), &signers[0].key).unwrap();
    assert_eq!(auth.verify(&token).await, Err(AuthError::NotAccepted("its algorithm")));
    let token = Signer { kid: "e", ..Signer::ec("new") }.sign(&good());
    assert_eq!(auth.verify(&token).await, Err(AuthError::Invalid("its signature")));
}

#[tokio::test]
async fn a_public_key_is_never_a_shared_secret() {
    let signer = Signer::rsa("r");
    let published = signer.jwk();
    let auth = with_keys(&[&signer], with_secret()).await;
    for text in [published["n"].as_str().unwrap().to_owned(), published.to_string()] {
        let key = EncodingKey::from_secret(text.as_bytes());
        let header = Header { kid: Some("r".to_owned()), ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, &good(), &key).unwrap();
        assert_eq!(auth.verify(&token).await, Err(AuthError::Invalid("its signature")));
    }
}

#[tokio::test]
async fn issued_tokens_are_accepted_and_need_the_secret() {
    let auth = Auth { issuer: "https://id".into(), audience: "tide".into(), ..with_secret() };
    let auth = authenticator(&auth).await;
    let (user, device) = (UserId::parse("u1").unwrap(), DeviceId::generate());
    let token = auth.issue(&user, Role::Service, 60, Some(&device)).unwrap();
    let claims = auth.verify(&token).await.unwrap();
    assert_eq!((claims.sub, claims.role), (user.clone(), Role::Service));
    assert_eq!(claims.device_id, Some(device));

    let without = with_keys(&[&Signer::ed("d")], settings()).await;
    assert!(without.issue(&user, Role::Device, 60, None).is_err());
    assert_eq!(without.verify(&hs256(&good())).await, Err(AuthError::NotAccepted("its algorithm")));
}

#[test]
fn an_admin_is_a_service_and_neither_is_a_device() {
    assert!(Role::Admin.includes(Role::Service) && !Role::Service.includes(Role::Admin));
    assert!(!Role::Admin.includes(Role::Device) && !Role::Device.includes(Role::Service));
}
