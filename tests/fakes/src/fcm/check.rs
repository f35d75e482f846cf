//! What FCM checks about a message before it looks at the token.

use axum::response::Response;
use serde_json::{Map, Value};

use crate::fcm::answer::{bad_request, error, fcm_error};

/// Most bytes of keys and values in a data map.
const DATA_BYTES: usize = 4096;

/// Longest life in seconds: four weeks.
const TTL_MAX_S: u64 = 2_419_200;

/// A message that passed.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) validate_only: bool,
    pub(crate) collapse_key: Option<String>,
}

/// Why a message is refused with 400.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The body is not a JSON object with `message`.
    NotJson,
    /// A name that FCM does not know, with the path of its parent.
    UnknownName(String),
    /// None or several of `token`, `topic`, `condition`.
    Recipient,
    /// A value that must be a text is none; its path.
    NotText(String),
    /// A key that FCM keeps for itself.
    ReservedKey,
    /// Not seconds, or out of range.
    Ttl,
    /// Not `HIGH` or `NORMAL`.
    Priority,
    /// More than 4096 bytes of data.
    TooLarge,
}

impl Fault {
    /// The fault as a word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::UnknownName(_) => "unknown_name",
            Self::Recipient => "recipient",
            Self::NotText(_) => "not_text",
            Self::ReservedKey => "reserved_key",
            Self::Ttl => "ttl",
            Self::Priority => "priority",
            Self::TooLarge => "too_large",
        }
    }

    /// The bodies differ: some have FCM's code, some only a violation, and
    /// "too large" has no details at all.
    pub(crate) fn respond(&self) -> Response {
        let invalid =
            |message: &str, details: &[Value]| error(400, "INVALID_ARGUMENT", message, details);
        let fcm = || fcm_error("INVALID_ARGUMENT");
        match self {
            Self::NotJson => invalid("Invalid JSON payload received.", &[]),
            Self::UnknownName(path) => {
                let text = format!("Invalid JSON payload received. Unknown name at '{path}'");
                invalid(&text, &[bad_request(path, &text)])
            }
            Self::Recipient => {
                let text = "Recipient of the message is not set.";
                invalid(text, &[bad_request("message", text), fcm()])
            }
            Self::NotText(path) => {
                let text = format!("Invalid value at '{path}' (TYPE_STRING)");
                invalid(&text, &[bad_request(path, &text)])
            }
            Self::ReservedKey => {
                let text = "Invalid data payload key";
                invalid(text, &[bad_request("message.data", text), fcm()])
            }
            Self::Ttl => {
                let text = "Illegal duration format; duration must end with 's'";
                invalid(text, &[bad_request("message.android.ttl", text), fcm()])
            }
            Self::Priority => {
                let text = "Invalid value at 'message.android.priority'";
                invalid(text, &[bad_request("message.android.priority", text)])
            }
            Self::TooLarge => invalid("Request contains an invalid argument.", &[]),
        }
    }
}

pub(crate) fn check(body: &Value) -> Result<Checked, Fault> {
    let message = body.get("message").and_then(Value::as_object).ok_or(Fault::NotJson)?;
    known_names("message", message, &MESSAGE_NAMES)?;
    texts_only("message.data", message.get("data"))?;
    let android = section(message, "android");
    known_names("message.android", &android, &ANDROID_NAMES)?;
    texts_only("message.android.data", android.get("data"))?;
    let apns = section(message, "apns");
    texts_only("message.apns.headers", apns.get("headers"))?;
    let webpush = section(message, "webpush");
    texts_only("message.webpush.headers", webpush.get("headers"))?;
    recipient(message)?;
    for data in [message.get("data"), android.get("data")] {
        data_rules(data)?;
    }
    ttl_rule(&android)?;
    priority_rule(&android)?;
    let collapse_key = android.get("collapse_key").or_else(|| android.get("collapseKey"));
    let validate_only = body.get("validate_only").or_else(|| body.get("validateOnly"));
    Ok(Checked {
        validate_only: validate_only == Some(&Value::Bool(true)),
        collapse_key: collapse_key.and_then(Value::as_str).map(str::to_owned),
    })
}

const MESSAGE_NAMES: [&str; 12] = [
    "name",
    "data",
    "notification",
    "android",
    "webpush",
    "apns",
    "fcm_options",
    "fcmOptions",
    "token",
    "topic",
    "condition",
    "fid",
];

const ANDROID_NAMES: [&str; 17] = [
    "collapse_key",
    "collapseKey",
    "priority",
    "ttl",
    "restricted_package_name",
    "restrictedPackageName",
    "data",
    "notification",
    "fcm_options",
    "fcmOptions",
    "direct_boot_ok",
    "directBootOk",
    "bandwidth_constrained_ok",
    "bandwidthConstrainedOk",
    "restricted_satellite_ok",
    "restrictedSatelliteOk",
    "remote_notification",
];

fn section(message: &Map<String, Value>, name: &str) -> Map<String, Value> {
    message.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn known_names(path: &str, object: &Map<String, Value>, names: &[&str]) -> Result<(), Fault> {
    if object.keys().all(|key| names.contains(&key.as_str())) {
        Ok(())
    } else {
        Err(Fault::UnknownName(path.to_owned()))
    }
}

fn texts_only(path: &str, map: Option<&Value>) -> Result<(), Fault> {
    let Some(map) = map else { return Ok(()) };
    let map = map.as_object().ok_or_else(|| Fault::NotText(path.to_owned()))?;
    match map.values().position(|value| !value.is_string()) {
        Some(index) => Err(Fault::NotText(format!("{path}[{index}].value"))),
        None => Ok(()),
    }
}

fn recipient(message: &Map<String, Value>) -> Result<(), Fault> {
    let named = ["token", "topic", "condition"].into_iter().filter_map(|name| message.get(name));
    let named: Vec<&Value> = named.collect();
    match named.as_slice() {
        [Value::String(text)] if !text.is_empty() => Ok(()),
        _ => Err(Fault::Recipient),
    }
}

fn data_rules(data: Option<&Value>) -> Result<(), Fault> {
    let Some(data) = data.and_then(Value::as_object) else { return Ok(()) };
    let is_reserved = |key: &str| {
        ["from", "message_type"].contains(&key)
            || key.starts_with("google")
            || key.starts_with("gcm")
    };
    if data.keys().any(|key| is_reserved(key)) {
        return Err(Fault::ReservedKey);
    }
    let value_bytes = |value: &Value| value.as_str().map_or(0, str::len);
    let bytes: usize = data.iter().map(|(key, value)| key.len() + value_bytes(value)).sum();
    if bytes > DATA_BYTES { Err(Fault::TooLarge) } else { Ok(()) }
}

fn ttl_rule(android: &Map<String, Value>) -> Result<(), Fault> {
    let Some(ttl) = android.get("ttl") else { return Ok(()) };
    let number = ttl.as_str().and_then(|ttl| ttl.strip_suffix('s')).ok_or(Fault::Ttl)?;
    let (seconds, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(seconds) || !is_digits(fraction) || fraction.len() > 9 {
        return Err(Fault::Ttl);
    }
    match seconds.parse::<u64>() {
        Ok(seconds) if seconds <= TTL_MAX_S => Ok(()),
        _ => Err(Fault::Ttl),
    }
}

fn priority_rule(android: &Map<String, Value>) -> Result<(), Fault> {
    match android.get("priority").map(|priority| priority.as_str().unwrap_or_default()) {
        // The documents show lower case, too.
        None | Some("HIGH" | "NORMAL" | "high" | "normal") => Ok(()),
        Some(_) => Err(Fault::Priority),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(message: &Value) -> Option<&'static str> {
        check(&json!({"message": message})).err().map(|fault| fault.name())
    }

    #[test]
    fn each_rule_of_the_service_holds() {
        for (message, expected) in [
            (json!({"token": "t"}), None),
            (json!({"token": "t", "data": {"k": "v"}, "android": {"ttl": "3.5s"}}), None),
            (json!({"token": "t", "android": {"collapseKey": "c", "priority": "high"}}), None),
            (json!(1), Some("not_json")),
            (json!({"token": "t", "to": "x"}), Some("unknown_name")),
            (json!({"token": "t", "android": {"colapse_key": "x"}}), Some("unknown_name")),
            (json!({}), Some("recipient")),
            (json!({"token": ""}), Some("recipient")),
            (json!({"token": "t", "topic": "x"}), Some("recipient")),
            (json!({"token": "t", "data": {"k": 12}}), Some("not_text")),
            (json!({"token": "t", "apns": {"headers": {"apns-priority": 5}}}), Some("not_text")),
            (json!({"token": "t", "data": {"from": "v"}}), Some("reserved_key")),
            (json!({"token": "t", "data": {"google.x": "v"}}), Some("reserved_key")),
            (json!({"token": "t", "android": {"ttl": 60}}), Some("ttl")),
            (json!({"token": "t", "android": {"ttl": "60"}}), Some("ttl")),
            (json!({"token": "t", "android": {"ttl": "-1s"}}), Some("ttl")),
            (json!({"token": "t", "android": {"ttl": "2419200s"}}), None),
            (json!({"token": "t", "android": {"ttl": "2419201s"}}), Some("ttl")),
            (json!({"token": "t", "android": {"priority": "5"}}), Some("priority")),
            (json!({"token": "t", "data": {"k": "x".repeat(4095)}}), None),
            (json!({"token": "t", "data": {"k": "x".repeat(4096)}}), Some("too_large")),
        ] {
            assert_eq!(fault(&message), expected, "{message}");
        }
    }
}
