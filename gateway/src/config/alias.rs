//! Variables of the marketplace's origin system that settings are read from
//! too, so that a deployment can move over with its environment as it is.
//!
//! They count more than the file and less than `TIDEGATE_…`. Where two of them
//! mean the same setting, the later one of this table counts.

use toml::Value;

/// A variable and the setting it stands for.
pub(super) struct Alias {
    pub(super) variable: &'static str,
    pub(super) key: &'static str,
    /// What its text must be.
    pub(super) expected: &'static str,
    pub(super) read: fn(&str) -> Option<Value>,
}

const fn text(variable: &'static str, key: &'static str) -> Alias {
    Alias { variable, key, expected: "a text", read: |text| Some(Value::String(text.to_owned())) }
}

const fn number(variable: &'static str, key: &'static str) -> Alias {
    let read = |text: &str| text.trim().parse().ok().map(Value::Integer);
    Alias { variable, key, expected: "a whole number", read }
}

const fn minutes(variable: &'static str, key: &'static str) -> Alias {
    let read = |text: &str| {
        let minutes: i64 = text.trim().parse().ok()?;
        minutes.checked_mul(60).map(Value::Integer)
    };
    Alias { variable, key, expected: "a whole number of minutes", read }
}

const fn flag(variable: &'static str, key: &'static str) -> Alias {
    let read = |text: &str| match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(Value::Boolean(true)),
        "false" | "0" | "no" | "off" => Some(Value::Boolean(false)),
        _ => None,
    };
    Alias { variable, key, expected: "true or false", read }
}

const fn word(variable: &'static str, key: &'static str) -> Alias {
    let read = |text: &str| Some(Value::String(text.trim().to_ascii_lowercase()));
    Alias { variable, key, expected: "a word", read }
}

/// Settings under another name than they once had; the old one is understood.
/// Where both are given in the same place, the present name counts.
const RENAMED: &[(&str, &str)] = &[("push.ack_timeout_ms", "push.result_timeout_ms")];

/// The present name of a setting.
pub(super) fn present(key: String) -> String {
    let renamed = RENAMED.iter().find(|(old, _)| *old == key);
    renamed.map_or(key, |(_, present)| (*present).to_owned())
}

/// All of them.
pub(super) const ALL: &[Alias] = &[
    flag("MARKETPLACE_ENABLED", "marketplace.enabled"),
    flag("ATOM_SAAS_ENABLED", "marketplace.enabled"),
    text("ATOM_SAAS_API_URL", "marketplace.base_url"),
    text("ATOM_SAAS_API_TOKEN", "marketplace.token"),
    text("ATOM_INSTANCE_ID", "marketplace.instance_id"),
    text("ATOM_SAAS_URL", "marketplace.ws_url"),
    text("ATOM_SAAS_WS_URL", "marketplace.ws_url"),
    flag("ATOM_SAAS_WS_ENABLED", "marketplace.ws_enabled"),
    number("ATOM_SAAS_WS_HEARTBEAT_INTERVAL", "marketplace.ws_heartbeat_s"),
    number("ATOM_SAAS_WS_RECONNECT_ATTEMPTS", "marketplace.ws_attempts"),
    minutes("ATOM_SAAS_SYNC_INTERVAL_MINUTES", "marketplace.interval_s"),
    minutes("ATOM_SAAS_RATING_SYNC_INTERVAL_MINUTES", "marketplace.rating_interval_s"),
    word("ATOM_SAAS_CONFLICT_STRATEGY", "marketplace.strategy"),
    number("ATOM_SAAS_TIMEOUT", "marketplace.timeout_s"),
    number("ATOM_SAAS_API_TIMEOUT_SECONDS", "marketplace.timeout_s"),
    number("ATOM_SAAS_CACHE_TTL", "marketplace.ttl_s"),
];
