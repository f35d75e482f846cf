//! What settings may be: ranges of numbers, shapes of texts, pairs that
//! contradict each other, and pairs that are only risky.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use reqwest::Url;
use tidegate_protocol::id::StreamName;
use tracing_subscriber::EnvFilter;

use crate::config::marketplace::Marketplace;
use crate::config::{Auth, Config, Environment, Http, Push, Synchronous};

mod health;

/// Shortest HS256 secret in bytes: the length of the hash (RFC 7518, 3.2).
pub const SECRET_BYTES_MIN: usize = 32;

/// The shared stream that no backend publishes to.
pub const MARKETPLACE: &str = "marketplace";

/// The range of every number; `gateway.default.toml` says the same in words.
pub(crate) const RANGES: &[(&str, RangeInclusive<i64>)] = &[
    ("database.connections", 1..=1_000),
    ("database.acquire_timeout_ms", 100..=60_000),
    ("database.statement_timeout_ms", 100..=60_000),
    ("database.lock_timeout_ms", 10..=60_000),
    ("database.write_probe_s", 1..=3_600),
    ("database.check_s", 0..=3_600),
    ("auth.jwks_refresh_s", 10..=86_400),
    ("auth.leeway_s", 0..=300),
    ("journal.retention_h", 1..=87_600),
    ("journal.retention_entries", 100..=100_000_000),
    ("journal.trim_interval_s", 1..=86_400),
    ("journal.device_retention_d", 1..=3_650),
    ("journal.command_retention_d", 1..=3_650),
    ("push.result_timeout_ms", 100..=600_000),
    ("push.device_burst", 1..=180),
    ("push.device_refill_s", 1..=86_400),
    ("push.project_per_minute", 1..=6_000_000),
    ("push.ramp_s", 0..=3_600),
    ("push.concurrency", 1..=1_000),
    ("push.circuit_ms", 100..=3_600_000),
    ("push.delta_interval_ms", 100..=3_600_000),
    ("push.stale_after_d", 1..=270),
    ("marketplace.interval_s", 300..=3_600),
    ("marketplace.page_size", 1..=1_000),
    ("marketplace.timeout_s", 1..=300),
    ("marketplace.retry_after_max_s", 1..=3_600),
    ("marketplace.ttl_s", 1..=2_592_000),
    ("marketplace.stale_max_s", 0..=31_536_000),
    ("marketplace.rating_interval_s", 60..=7_200),
    ("marketplace.rating_attempts", 1..=100),
    ("marketplace.ws_heartbeat_s", 10..=120),
    ("marketplace.ws_pong_timeout_s", 1..=60),
    ("marketplace.ws_attempts", 1..=100),
    ("marketplace.ws_fallback_s", 1..=86_400),
    ("marketplace.ws_messages_per_s", 1..=10_000),
    ("marketplace.lease_s", 5..=300),
    ("conflicts.retention_d", 31..=3_650),
    ("health.items_per_call", 1..=10_000),
    ("health.body_bytes", 65_536..=104_857_600),
    ("health.format_body_bytes", 65_536..=268_435_456),
    ("health.snapshot_d", 1..=3_650),
    ("providers.interval_s", 1..=86_400),
    ("providers.refresh_interval_s", 1..=86_400),
    ("providers.refresh_before_s", 1..=86_400),
    ("providers.reread_d", 0..=365),
    ("providers.first_sync_d", 1..=3_650),
    ("providers.timeout_s", 1..=300),
    ("providers.reserve_percent", 0..=90),
    ("audit.retention_d", 1..=3_650),
    ("session.hello_timeout_ms", 100..=60_000),
    ("session.ack_timeout_ms", 1_000..=600_000),
    ("session.write_timeout_ms", 100..=60_000),
    ("session.close_timeout_ms", 100..=60_000),
    ("session.auth_warning_ms", 0..=3_600_000),
    ("session.behind_ms", 10..=10_000),
    ("limits.connections_total", 1..=1_000_000),
    ("limits.connections_per_user", 1..=100_000),
    ("limits.connections_per_address", 1..=1_000_000),
    ("limits.sockets_before_hello", 1..=1_000_000),
    ("limits.sockets_before_hello_per_address", 1..=1_000_000),
    ("limits.devices_per_user", 1..=10_000),
    ("limits.pollers_per_user", 1..=10_000),
    ("limits.streams_per_session", 1..=1_024),
    ("limits.pending_per_user", 1..=10_000_000),
    ("limits.body_bytes", 1_024..=104_857_600),
    ("limits.device_body_bytes", 1_024..=1_048_576),
    ("limits.bodies_total_bytes", 65_536..=17_179_869_184),
    ("limits.bodies_per_user_bytes", 65_536..=1_073_741_824),
    ("limits.bodies_per_backend_bytes", 65_536..=1_073_741_824),
    ("limits.answers_total_bytes", 65_536..=17_179_869_184),
    ("limits.answers_per_user_bytes", 65_536..=1_073_741_824),
    ("limits.answers_per_backend_bytes", 65_536..=17_179_869_184),
    ("limits.frames_per_second", 1..=100_000),
    ("limits.frames_burst", 1..=100_000),
    ("limits.write_queue", 1..=1_000_000),
    ("limits.commit_batch", 1..=10_000),
    ("http.header_timeout_ms", 100..=60_000),
    ("http.first_byte_timeout_ms", 100..=60_000),
    ("http.keep_alive_timeout_ms", 100..=3_600_000),
    ("http.body_stall_ms", 100..=30_000),
    ("drain.spread_ms", 0..=10_000),
    ("drain.deadline_ms", 1_000..=300_000),
    ("drain.reconnect_window_ms", 0..=600_000),
];

/// The range of a number among the settings.
pub fn range_of(key: &str) -> RangeInclusive<i64> {
    let found = RANGES.iter().find(|(name, _)| *name == key);
    found.map_or(0..=i64::MAX, |(_, range)| range.clone())
}

/// Keys whose value cannot be used, each with what it should be.
pub(crate) fn contradictions(config: &Config) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let mut refuse = |key: &'static str, reason: &str| found.push((key, reason.to_owned()));
    auth(&config.auth, config.environment, &mut refuse);
    http(&config.http, &mut refuse);
    shared_streams(config, &mut refuse);
    push(&config.push, &mut refuse);
    marketplace(&config.marketplace, &mut refuse);
    health::sealing(&config.sealing, &mut refuse);
    health::providers(config, &mut refuse);
    if config.data_dir.as_os_str().is_empty() {
        refuse("data_dir", "a folder is needed");
    }
    let url = &config.database.url;
    let schemes = ["sqlite:", "postgres://", "postgresql://"];
    if !url.is_empty() && !schemes.iter().any(|scheme| url.starts_with(scheme)) {
        refuse("database.url", "begins with `sqlite:`, `postgres://` or `postgresql://`");
    } else if !url.is_empty() && Url::parse(url).is_err() {
        // Said here: the driver would repeat it with its password.
        refuse(
            "database.url",
            "is no URL; in a password `/` is written `%2F`, `?` `%3F`, `#` `%23`",
        );
    }
    match (config.tls.cert_file.is_empty(), config.tls.key_file.is_empty()) {
        (false, true) => refuse("tls.key_file", "needed with `tls.cert_file`"),
        (true, false) => refuse("tls.cert_file", "needed with `tls.key_file`"),
        _ => {}
    }
    if config.limits.frames_burst < config.limits.frames_per_second {
        refuse("limits.frames_burst", "must not be below `limits.frames_per_second`");
    }
    if config.drain.deadline_ms <= config.drain.spread_ms {
        refuse("drain.deadline_ms", "must be more than `drain.spread_ms`");
    }
    if let Err(error) = EnvFilter::try_new(&config.log.filter) {
        refuse("log.filter", &error.to_string());
    }
    found
}

fn auth(auth: &Auth, environment: Environment, refuse: &mut impl FnMut(&'static str, &str)) {
    if environment == Environment::Production && !auth.is_configured() {
        refuse(
            "environment",
            "needs `auth.hs256_secret`, `auth.jwks_file` or `auth.jwks_url` to be set",
        );
    }
    if !auth.hs256_secret.is_empty() && auth.hs256_secret.len() < SECRET_BYTES_MIN {
        refuse("auth.hs256_secret", "must be at least 32 bytes long");
    }
    if !auth.jwks_file.is_empty() && !auth.jwks_url.is_empty() {
        refuse("auth.jwks_url", "cannot be set together with `auth.jwks_file`");
    }
    if !auth.jwks_url.is_empty() && !is_web_url(&auth.jwks_url) {
        refuse("auth.jwks_url", "must be an `https://` or `http://` URL");
    }
}

fn http(http: &Http, refuse: &mut impl FnMut(&'static str, &str)) {
    if http.cors_origins.iter().any(|origin| origin == "*") {
        if http.cors_origins.len() > 1 {
            refuse("http.cors_origins", "`*` stands alone");
        }
    } else if !http.cors_origins.iter().all(|origin| is_origin(origin)) {
        refuse("http.cors_origins", "an origin is written `https://app.example.org`, no path");
    }
}

fn shared_streams(config: &Config, refuse: &mut impl FnMut(&'static str, &str)) {
    let shared = &config.streams.shared;
    if shared.iter().any(|stream| stream.owner().is_some()) {
        refuse("streams.shared", "`user:` begins the names of users' own streams");
    } else if !shared.iter().all(StreamName::is_shared_name) {
        refuse("streams.shared", "1 to 64 of [a-z0-9._-], beginning with a letter or digit");
    }
    if shared.iter().any(|stream| stream.as_str() == MARKETPLACE) {
        refuse("streams.shared", "`marketplace` is filled by the gateway itself");
    }
    if shared.iter().collect::<BTreeSet<_>>().len() < shared.len() {
        refuse("streams.shared", "a name stands there twice");
    }
}

fn push(push: &Push, refuse: &mut impl FnMut(&'static str, &str)) {
    let waits = &push.backoff_ms;
    if !(1..=10).contains(&waits.len()) || !waits.iter().all(|w| (10..=3_600_000).contains(w)) {
        refuse("push.backoff_ms", "1 to 10 waits, each 10 to 3600000");
    }
    let waits = &push.refusal_backoff_ms;
    if !(1..=20).contains(&waits.len()) || !waits.iter().all(|w| (10..=86_400_000).contains(w)) {
        refuse("push.refusal_backoff_ms", "1 to 20 waits, each 10 to 86400000");
    }
    if !is_web_url(&push.fcm.base_url) {
        refuse("push.fcm.base_url", "must be an `https://` or `http://` URL");
    }
    let subject = &push.webpush.subject;
    let has_subject = subject.starts_with("mailto:") || subject.starts_with("https://");
    if !push.webpush.private_key_file.is_empty() && !has_subject {
        refuse("push.webpush.subject", "must be `mailto:…` or `https://…` for Web Push");
    }
}

fn marketplace(marketplace: &Marketplace, refuse: &mut impl FnMut(&'static str, &str)) {
    let waits = &marketplace.backoff_ms;
    if !(1..=10).contains(&waits.len()) || !waits.iter().all(|w| (10..=3_600_000).contains(w)) {
        refuse("marketplace.backoff_ms", "1 to 10 waits, each 10 to 3600000");
    }
    if !marketplace.base_url.is_empty() && !is_web_url(&marketplace.base_url) {
        refuse("marketplace.base_url", "must be an `https://` or `http://` URL");
    }
    let is_socket_url = |text: &str| {
        Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "wss" | "ws") && url.has_host())
    };
    if !marketplace.ws_url.is_empty() && !is_socket_url(&marketplace.ws_url) {
        refuse("marketplace.ws_url", "must be a `wss://` or `ws://` URL");
    }
}

/// Settings that can be used and that an operator should know the price of.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let mut warn = |sentence: &str| found.push(sentence.to_owned());
    let production = config.environment == Environment::Production;
    if !production && !config.listen.ip().is_loopback() {
        warn("`environment` is development and `listen` is reachable from other machines");
    }
    if production && config.database.synchronous == Synchronous::Normal {
        warn("`database.synchronous` is normal: a power cut may take writes that were accepted");
    }
    if has_unknown_parameter(&config.database.url) {
        // Which one is not said: it may be a piece of a password.
        warn("`database.url` has a parameter that is not known, and is ignored");
    }
    if production && config.http.cors_origins.iter().any(|origin| origin == "*") {
        warn("`http.cors_origins` lets every web page call the gateway");
    }
    if production && config.auth.jwks_url.starts_with("http://") {
        warn("`auth.jwks_url` is fetched without TLS: who can change it can make tokens");
    }
    let market = &config.marketplace;
    if production && market.is_on() && market.base_url.starts_with("http://") {
        warn("`marketplace.base_url` is called without TLS: its token can be read on the way");
    }
    if production && health::has_open_address(&config.providers) {
        warn("a provider is called without TLS: users' tokens can be read on the way");
    }
    if config.http.trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
        warn("`http.trusted_proxies` lets every client choose its own address");
    }
    found
}

/// Parameters of PostgreSQL's URLs that the driver heeds.
const POSTGRES_PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

fn has_unknown_parameter(url: &str) -> bool {
    let Some(url) = Url::parse(url).ok().filter(|url| url.scheme().starts_with("postgres")) else {
        return false;
    };
    let is_known = |name: &str| POSTGRES_PARAMETERS.contains(&name) || name.starts_with("options[");
    url.query_pairs().any(|(name, _)| !is_known(&name))
}

fn is_web_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
}

fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == text)
}

/// A web URL to which paths can be appended as text.
fn is_origin_and_path(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let is_bare = url.query().is_none() && url.fragment().is_none();
        let is_plain = url.username().is_empty() && url.password().is_none();
        is_bare && is_plain && is_web_url(text) && !text.ends_with('/')
    })
}
