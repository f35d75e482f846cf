//! Signatures of events: HMAC-SHA256 under the application's secret, compared
//! in constant time.

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use chrono::DateTime;
use tidegate_protocol::time::Timestamp;

use crate::limits::SIGNATURE_TOLERANCE;

/// Bytes of a signature.
const BYTES: usize = 32;

/// Whether `header`, the value of `X-Strava-Signature`
/// (`t=SECONDS,v1=HEX`), signs this body, now.
pub fn strava(secret: &str, header: &str, body: &[u8], now: Timestamp) -> bool {
    let mut sent = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", value)) if sent.is_none() => sent = Some(value),
            Some(("t", _)) => return false,
            Some(("v1", value)) => signatures.push(value),
            _ => {}
        }
    }
    let Some(sent) = sent.filter(|sent| is_recent(sent, now)) else { return false };
    let signed = [sent.as_bytes(), b".", body].concat();
    signatures.iter().any(|signature| verify(secret, signature, &signed))
}

/// Whether `signature` (`x-oura-signature`) signs this body together with
/// `timestamp` (`x-oura-timestamp`), now.
pub fn oura(secret: &str, signature: &str, timestamp: &str, body: &[u8], now: Timestamp) -> bool {
    let timestamp = timestamp.trim();
    let signed = [timestamp.as_bytes(), body].concat();
    is_recent(timestamp, now) && verify(secret, signature.trim(), &signed)
}

fn verify(secret: &str, signature: &str, signed: &[u8]) -> bool {
    let Some(signature) = bytes_of(signature) else { return false };
    hmac::verify(&Key::new(HMAC_SHA256, secret.as_bytes()), signed, &signature).is_ok()
}

/// Whether a moment lies at most [`SIGNATURE_TOLERANCE`] from now. It is
/// written in seconds or, with 13 digits, in milliseconds, or as RFC 3339 has
/// it.
fn is_recent(text: &str, now: Timestamp) -> bool {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let at_ms = if is_number {
        let number = text.parse::<i64>().ok();
        number.and_then(
            |number| if text.len() < 13 { number.checked_mul(1000) } else { Some(number) },
        )
    } else {
        DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
    };
    at_ms.is_some_and(|at_ms| {
        u128::from(at_ms.abs_diff(now.millis())) <= SIGNATURE_TOLERANCE.as_millis()
    })
}

/// Reads hexadecimal digits of either case.
fn bytes_of(text: &str) -> Option<[u8; BYTES]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * BYTES {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let value = digit(pair[0])? * 16 + digit(pair[1])?;
        *byte = u8::try_from(value).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);
    const BODY: &[u8] = br#"{"object_type":"activity"}"#;

    fn hex(secret: &str, signed: &str) -> String {
        let tag = hmac::sign(&Key::new(HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
        tag.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    fn body() -> &'static str {
        std::str::from_utf8(BODY).unwrap()
    }

    #[test]
    fn rfc4231_case_2() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex("Jefe", "what do ya want for nothing?"), expected);
        assert!(verify("Jefe", &expected.to_uppercase(), b"what do ya want for nothing?"));
    }

    #[test]
    fn strava_signs_time_and_body() {
        let signed = |seconds: i64| {
            let v1 = hex("secret", &format!("{seconds}.{}", body()));
            format!("t={seconds},v1={v1}")
        };
        let now_s = NOW.millis() / 1000;
        let holds = |header: &str| strava("secret", header, BODY, NOW);
        assert!(holds(&signed(now_s)));
        assert!(holds(&signed(now_s - 300)) && holds(&signed(now_s + 300)));
        assert!(!holds(&signed(now_s - 301)) && !holds(&signed(now_s + 301)));
        assert!(holds(&signed(now_s).replace(',', ", v1=00, ")), "keys change with two signatures");
        assert!(!strava("other", &signed(now_s), BODY, NOW));
        assert!(!strava("secret", &signed(now_s), b"{}", NOW));
        let replayed = signed(now_s).replace(&format!("t={now_s}"), &format!("t={}", now_s + 1));
        assert!(!holds(&replayed));
        let twice = format!("t={},{}", now_s - 900, signed(now_s));
        for bad in ["", "t=", "v1=00", &twice, "t=99999999999999999999,v1=00", "t=-1,v1="] {
            assert!(!holds(bad), "{bad}");
        }
    }

    #[test]
    fn oura_signs_time_and_body_in_upper_case() {
        let now_s = NOW.millis() / 1000;
        let check = |timestamp: &str, secret: &str, body: &[u8]| {
            let signature = hex("secret", &format!("{timestamp}{}", self::body())).to_uppercase();
            oura(secret, &signature, timestamp, body, NOW)
        };
        assert!(check(&now_s.to_string(), "secret", BODY));
        assert!(check(&NOW.millis().to_string(), "secret", BODY));
        assert!(check(&NOW.to_string(), "secret", BODY));
        assert!(check(&(now_s - 300).to_string(), "secret", BODY));
        assert!(!check(&(now_s - 301).to_string(), "secret", BODY));
        assert!(!check(&(now_s + 301).to_string(), "secret", BODY));
        assert!(!check(&now_s.to_string(), "other", BODY));
        assert!(!check(&now_s.to_string(), "secret", b"{}"));
        assert!(!check("", "secret", BODY) && !check("soon", "secret", BODY));
        let now = now_s.to_string();
        for bad in ["", "00", &"0".repeat(64), &"g".repeat(64), &"é".repeat(32)] {
            assert!(!oura("secret", bad, &now, BODY, NOW), "{bad}");
        }
    }
}
