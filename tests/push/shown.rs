//! Requests to push services as texts: what differs from run to run is
//! checked, then hidden.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use reqwest::header::HeaderMap;
use serde_json::Value;
use tidegate_fakes::fcm::FcmRequest;
use tidegate_fakes::webpush::PushRequest;
use tidegate_fakes::webpush::browser::Pushed;

/// The life that is left, in seconds, and the moment of the push, at which the
/// clock stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) left_s: i64,
    pub(super) now_ms: i64,
}

/// A request to FCM.
pub(super) fn fcm(request: &FcmRequest, life: Life) -> String {
    let mut text = headers(&request.headers, |name, value| match name {
        "authorization" => {
            let token = value.strip_prefix("Bearer ").unwrap();
            assert!(token.starts_with("ya29.c.sandbox-"), "{token}");
            Some("Bearer [access token]".to_owned())
        }
        _ => None,
    });
    let mut body = request.body.clone();
    for (path, seconds) in [
        ("/message/android/ttl", life.left_s),
        ("/message/webpush/headers/TTL", life.left_s),
        ("/message/apns/headers/apns-expiration", life.now_ms / 1000 + life.left_s),
    ] {
        let value = body.pointer_mut(path).unwrap();
        let number: i64 = value.as_str().unwrap().trim_end_matches('s').parse().unwrap();
        assert_eq!(number, seconds, "{path}");
        let unit = if path.ends_with("/ttl") { "s" } else { "" };
        let name = if path.contains("apns") { "end" } else { "life" };
        *value = format!("[{name}]{unit}").into();
    }
    map(&mut body["message"]["data"]);
    text.push_str(&serde_json::to_string_pretty(&body).unwrap());
    text.push('\n');
    text
}

/// A request to a push service, and what the browser read.
pub(super) fn webpush(request: &PushRequest, pushed: &Pushed, key: &str, life: Life) -> String {
    let mut text = headers(&request.headers, |name, value| match name {
        "authorization" => {
            let fields = value.strip_prefix("vapid t=").unwrap();
            let (token, shown_key) = fields.split_once(", k=").unwrap();
            assert_eq!((token.split('.').count(), shown_key), (3, key));
            Some(format!("vapid t=[{}], k=[public key]", claims(token)))
        }
        "ttl" => {
            let ttl: i64 = value.parse().unwrap();
            assert_eq!(ttl, life.left_s);
            Some("[life]".to_owned())
        }
        _ => None,
    });
    let mut payload: Value = serde_json::from_slice(&pushed.payload).unwrap();
    map(&mut payload);
    text.push_str(&serde_json::to_string_pretty(&payload).unwrap());
    text.push('\n');
    text
}

/// What a VAPID token says; the fake has checked its signature and times.
fn claims(token: &str) -> String {
    let part = token.split('.').nth(1).unwrap();
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    assert!(claims["aud"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert!(claims["exp"].is_i64());
    claims["aud"] = "origin".into();
    claims["exp"] = "time".into();
    claims.to_string()
}

fn headers(headers: &HeaderMap, hide: impl Fn(&str, &str) -> Option<String>) -> String {
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| {
            let (name, value) = (name.as_str(), value.to_str().unwrap());
            let shown = hide(name, value).unwrap_or_else(|| common(name, value));
            format!("{name}: {shown}")
        })
        .collect();
    lines.sort();
    lines.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").unwrap();
        text
    })
}

fn common(name: &str, value: &str) -> String {
    match name {
        "host" => {
            assert!(value.starts_with("127.0.0.1:"), "{value}");
            "[host]".to_owned()
        }
        "content-length" => {
            assert!(value.parse::<usize>().is_ok(), "{value}");
            "[bytes]".to_owned()
        }
        "user-agent" => {
            assert_eq!(value, concat!("tidegate/", env!("CARGO_PKG_VERSION")));
            "tidegate/[version]".to_owned()
        }
        _ => value.to_owned(),
    }
}

/// The fields that a device's handler gets: all of them texts.
fn map(data: &mut Value) {
    for (name, value) in data.as_object_mut().unwrap() {
        let text = value.as_str().unwrap();
        match name.as_str() {
            "command_id" => {
                assert!(uuid::Uuid::try_parse(text).is_ok(), "{text}");
                *value = "[command]".into();
            }
            "timestamp" | "expires_at" => {
                assert!(DateTime::parse_from_rfc3339(text).is_ok(), "{text}");
                *value = "[time]".into();
            }
            "value" if text.len() > 100 => *value = format!("[{} bytes]", text.len()).into(),
            _ => {}
        }
    }
}
