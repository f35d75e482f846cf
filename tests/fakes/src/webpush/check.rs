//! What a push service and the browser behind it check about a request.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_ENCODING};
use serde_json::Value;

use crate::jwt::Jwt;
use crate::webpush::answer::Answer;
use crate::webpush::browser::{Browser, Pushed};
use crate::webpush::open;

/// Largest body that every service must take.
const BODY_BYTES: usize = 4096;

/// Longest life of a VAPID token in seconds.
const VAPID_LIFE_MAX_S: i64 = 24 * 3600;

/// Longest life that is kept, in seconds: Mozilla shortens to 30 days.
const TTL_MAX_S: u32 = 30 * 24 * 3600;

// Mozilla's numbers for what is wrong.
const BAD_ENCRYPTION: u16 = 110;
const NO_TTL: u16 = 111;
const BAD_TTL: u16 = 112;
const BAD_TOPIC: u16 = 113;
const BAD_URGENCY: u16 = 999;

/// The message, or the answer to a request that breaks a rule.
pub(crate) fn check(
    browser: &Browser,
    headers: &HeaderMap,
    body: &[u8],
    origin: &str,
    now_s: i64,
) -> Result<Pushed, Answer> {
    let sender = vapid(headers, origin, now_s).ok_or(Answer::Unauthorized)?;
    if browser.vapid_public_key.as_ref().is_some_and(|expected| *expected != sender) {
        return Err(Answer::OtherCredentials);
    }
    if !headers.contains_key("ttl") {
        return Err(Answer::BadRequest(NO_TTL));
    }
    let ttl_s = ttl_s(headers).ok_or(Answer::BadRequest(BAD_TTL))?;
    let urgency = text(headers, "urgency").unwrap_or("normal");
    if !["very-low", "low", "normal", "high"].contains(&urgency) {
        return Err(Answer::BadRequest(BAD_URGENCY));
    }
    let topic = text(headers, "topic");
    if headers.contains_key("topic") && !topic.is_some_and(is_topic) {
        return Err(Answer::BadRequest(BAD_TOPIC));
    }
    if body.len() > BODY_BYTES {
        return Err(Answer::TooLarge);
    }
    let is_encrypted = text(headers, CONTENT_ENCODING.as_str()) == Some("aes128gcm");
    let payload = open::open(body, &browser.key, &browser.public_key, &browser.auth)
        .filter(|_| is_encrypted)
        .ok_or(Answer::BadRequest(BAD_ENCRYPTION))?;
    Ok(Pushed { payload, ttl_s, urgency: urgency.to_owned(), topic: topic.map(str::to_owned) })
}

/// `TTL`, shortened to what is kept.
pub(crate) fn ttl_s(headers: &HeaderMap) -> Option<u32> {
    let seconds: u32 = text(headers, "ttl")?.parse().ok()?;
    Some(seconds.min(TTL_MAX_S))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_topic(topic: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=32).contains(&topic.len()) && topic.bytes().all(allowed)
}

/// The sender's public key, if `Authorization: vapid t=…, k=…` holds.
fn vapid(headers: &HeaderMap, origin: &str, now_s: i64) -> Option<String> {
    let fields = text(headers, AUTHORIZATION.as_str())?.strip_prefix("vapid ")?;
    let field = |name: &str| {
        let prefix = format!("{name}=");
        fields.split(',').find_map(|field| field.trim().strip_prefix(&prefix))
    };
    let (token, key) = (field("t")?, field("k")?);
    let jwt = Jwt::parse(token)?;
    let is_es256 = jwt.header.get("alg").and_then(Value::as_str) == Some("ES256");
    let point = URL_SAFE_NO_PAD.decode(key).ok()?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(jwt.signed, &jwt.signature)
        .ok()?;
    let is_for_us = jwt.text("aud") == origin;
    let expiry = jwt.number("exp")?;
    let is_current = now_s < expiry && expiry <= now_s + VAPID_LIFE_MAX_S;
    (is_es256 && is_for_us && is_current).then(|| key.to_owned())
}
