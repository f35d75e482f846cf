//! Hides what differs from run to run, after checking that it is what it
//! should be.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use serde_json::Value;

/// Names given to ids, numbered in the order in which they were first seen.
#[derive(Debug, Default)]
pub(crate) struct Redactor {
    names: HashMap<String, String>,
    counts: HashMap<String, usize>,
}

const TIMES: &[&str] =
    &["at", "server_time", "expires_at", "created_at", "last_seen_at", "last_synced_at"];

const UUID_CHARS: usize = 36;

impl Redactor {
    /// Shows an id under a name of the test's choice.
    pub(crate) fn name(&mut self, id: &str, name: &str) {
        self.names.insert(id.to_owned(), format!("[{name}]"));
    }

    /// The value as a transcript shows it.
    pub(crate) fn value(&mut self, key: &str, value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, value)| (self.text("id", name), self.value(name, value)));
                Value::Object(fields.collect())
            }
            Value::Array(items) => items.iter().map(|item| self.value(key, item)).collect(),
            Value::String(text) => self.string(key, text).into(),
            Value::Number(number) if key == "reconnect_after_ms" => {
                assert!(number.as_u64().is_some_and(|ms| ms <= 5_000), "{number}");
                "[ms]".into()
            }
            other => other.clone(),
        }
    }

    fn string(&mut self, key: &str, text: &str) -> String {
        match key {
            _ if TIMES.contains(&key) => time(text),
            "epoch" => epoch(text),
            "token" if text.split('.').count() == 3 => "[token]".to_owned(),
            "cursor" | "next_cursor" => opaque(text),
            _ => self.text(key.strip_suffix("_id").unwrap_or("id"), text),
        }
    }

    /// Replaces every UUID in a text. `kind` names those not seen before.
    pub(crate) fn text(&mut self, kind: &str, text: &str) -> String {
        let mut shown = String::new();
        let mut rest = text;
        while let Some(at) = find_uuid(rest) {
            shown.push_str(&rest[..at]);
            shown.push_str(&self.id(kind, &rest[at..at + UUID_CHARS]));
            rest = &rest[at + UUID_CHARS..];
        }
        shown.push_str(rest);
        shown
    }

    fn id(&mut self, kind: &str, id: &str) -> String {
        // An id of this protocol is in lower case; what is not is shown.
        if id != id.to_lowercase() {
            return id.to_owned();
        }
        if let Some(name) = self.names.get(id) {
            return name.clone();
        }
        let count = self.counts.entry(kind.to_owned()).or_default();
        *count += 1;
        let name = format!("[{kind}-{count}]");
        self.names.insert(id.to_owned(), name.clone());
        name
    }
}

fn find_uuid(text: &str) -> Option<usize> {
    let is_uuid = |at: &usize| {
        let part = text.get(*at..at + UUID_CHARS);
        part.is_some_and(|part| part.contains('-') && uuid::Uuid::try_parse(part).is_ok())
    };
    (0..(text.len() + 1).saturating_sub(UUID_CHARS)).find(is_uuid)
}

fn time(text: &str) -> String {
    let time = DateTime::parse_from_rfc3339(text).expect("a time is RFC 3339");
    let millis = time.to_utc().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    assert_eq!(text, millis, "times are in UTC with milliseconds");
    "[time]".to_owned()
}

/// What tests send where an epoch that never existed is needed.
pub(crate) const NO_EPOCH: &str = "00000000";

fn epoch(text: &str) -> String {
    if text == NO_EPOCH {
        return text.to_owned();
    }
    let is_epoch = text.len() == 8
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    assert!(is_epoch, "an epoch is 8 characters of [0-9a-z]: {text}");
    "[epoch]".to_owned()
}

fn opaque(text: &str) -> String {
    assert!(URL_SAFE_NO_PAD.decode(text).is_ok(), "a cursor needs no escaping in a URL: {text}");
    "[cursor]".to_owned()
}
