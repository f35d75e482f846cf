//! Answers as snapshots show them: laid out, without what differs from run to
//! run.

use chrono::DateTime;
use serde_json::Value;

use crate::market::world::World;

/// Names of times of the gateway, in UTC with milliseconds.
const TIMES: [&str; 12] = [
    "at",
    "updated_at",
    "confirmed_at",
    "expires_at",
    "created_at",
    "decided_at",
    "restored_at",
    "edited_at",
    "rated_at",
    "failed_at",
    "last_sync_at",
    "last_sync",
];

impl World {
    /// A value under a title.
    pub(super) fn show(&self, title: &str, value: &Value) {
        let laid_out = serde_json::to_string_pretty(&hidden("", value, false)).unwrap();
        self.gateway.transcript().say(&format!("-- {title}\n{laid_out}"));
    }

    /// What was shown.
    pub(super) fn shown(&self) -> String {
        self.gateway.said()
    }
}

/// The value without times and ages. Within `data` times are upstream's.
fn hidden(key: &str, value: &Value, is_upstreams: bool) -> Value {
    match value {
        Value::Object(fields) => {
            let is_upstreams = is_upstreams || ["data", "proposal"].contains(&key);
            let hide = |(name, value): (&String, &Value)| {
                (name.clone(), hidden(name, value, is_upstreams))
            };
            Value::Object(fields.iter().map(hide).collect())
        }
        Value::Array(items) => items.iter().map(|item| hidden(key, item, is_upstreams)).collect(),
        Value::String(text) if key == "updated_at" && is_upstreams => {
            DateTime::parse_from_rfc3339(text).expect("a time is RFC 3339");
            "[time of upstream]".into()
        }
        Value::String(text) if TIMES.contains(&key) && !is_upstreams => time(text),
        Value::Number(age) if key == "age_s" => {
            assert!(age.as_i64().is_some_and(|age| (0..60).contains(&age)), "{age}");
            "[seconds]".into()
        }
        other => other.clone(),
    }
}

fn time(text: &str) -> Value {
    let time = DateTime::parse_from_rfc3339(text).expect("a time is RFC 3339");
    let millis = time.to_utc().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    assert_eq!(text, millis, "times are in UTC with milliseconds");
    "[time]".into()
}
