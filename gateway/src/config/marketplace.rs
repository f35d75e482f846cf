//! Settings of the marketplace, of conflicts, and of the audit log.

use serde::{Deserialize, Serialize};
use tidegate_protocol::time::Timestamp;
use tidegate_services::atom::contract::Contract;

use crate::config::mask;
use crate::resolve::rules::Strategy;

/// The marketplace; off while `base_url` is empty.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Marketplace {
    /// Whether it is synchronised.
    pub enabled: bool,
    /// Which generation of upstream's interface is spoken.
    pub contract: Contract,
    /// Where upstream is.
    #[serde(serialize_with = "mask::url")]
    pub base_url: String,
    /// Where its socket is; empty: polling only.
    #[serde(serialize_with = "mask::url")]
    pub ws_url: String,
    /// The token that upstream gave.
    #[serde(serialize_with = "mask::secret")]
    pub token: String,
    /// Who this installation is to upstream; empty: derived from the token.
    pub instance_id: String,
    /// Seconds between two polls.
    pub interval_s: u32,
    /// Skills asked for at once.
    pub page_size: u32,
    /// How long one request may take, seconds.
    pub timeout_s: u64,
    /// Waits before a request that failed is tried again, and before the
    /// socket is, milliseconds.
    pub backoff_ms: Vec<u64>,
    /// Longest time that a `Retry-After` of upstream is heeded, seconds.
    pub retry_after_max_s: u32,
    /// How long an item is fresh after upstream confirmed it, seconds.
    pub ttl_s: u32,
    /// How much longer it is served, marked as stale; seconds.
    pub stale_max_s: u32,
    /// How conflicts of skills and categories are decided.
    pub strategy: Strategy,
    /// Seconds between two uploads of ratings.
    pub rating_interval_s: u32,
    /// Failed uploads after which a rating is a dead letter.
    pub rating_attempts: u32,
    /// Whether the socket is used.
    pub ws_enabled: bool,
    /// Seconds between two pings on it.
    pub ws_heartbeat_s: u64,
    /// How long a pong may take, seconds.
    pub ws_pong_timeout_s: u64,
    /// Failed attempts in a row after which only polling is used.
    pub ws_attempts: u32,
    /// For how long, seconds.
    pub ws_fallback_s: u32,
    /// Messages taken in within a second; the rest is repaired by a poll.
    pub ws_messages_per_s: u32,
    /// How long a node may be silent before another one takes over, seconds.
    pub lease_s: u32,
}

impl std::fmt::Debug for Marketplace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Marketplace").field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

impl Marketplace {
    /// Whether there is an upstream to synchronise with.
    pub fn is_on(&self) -> bool {
        self.enabled && !self.base_url.is_empty()
    }

    /// For how long an item is served after it was confirmed, milliseconds.
    pub fn kept_ms(&self) -> i64 {
        (i64::from(self.ttl_s) + i64::from(self.stale_max_s)) * 1000
    }

    /// From when on an item must be confirmed to be served, milliseconds.
    pub fn served_since(&self, now: Timestamp) -> i64 {
        now.millis() - self.kept_ms() + 1
    }
}

/// How conflicts are judged.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Conflicts {
    /// TOML file with rules of item kinds and collections. Empty: the
    /// built-in ones.
    pub rules_file: String,
    /// Days a conflict is kept after it was resolved.
    pub retention_d: u32,
}

/// Who did what.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Days a row is kept.
    pub retention_d: u32,
}
