//! Settings: their shape. Reading and checking them is [`load`].
//!
//! Nothing below this module reads a file or a variable to find a setting.
//!
//! The file `gateway.default.toml` holds every key with its default and its
//! meaning; it is the documentation.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_protocol::id::StreamName;
use tidegate_services::webpush::address::Policy;

use crate::config::health::{Health, Providers, Sealing};
use crate::config::marketplace::{Audit, Conflicts, Marketplace};

mod alias;
pub mod check;
pub mod health;
pub mod load;
pub mod marketplace;
pub mod mask;

/// All settings.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// What is allowed and what is required.
    pub environment: Environment,
    /// Folder of the embedded database and of the development secret.
    pub data_dir: PathBuf,
    /// Where data is kept.
    pub database: Database,
    /// Who may call.
    pub auth: Auth,
    /// Shared streams.
    pub streams: Streams,
    /// How long entries are kept.
    pub journal: Journal,
    /// The fallback from socket to push to poll.
    pub push: Push,
    /// The marketplace.
    pub marketplace: Marketplace,
    /// How conflicts are judged.
    pub conflicts: Conflicts,
    /// What senders of health data may send.
    pub health: Health,
    /// Keys for what is stored sealed.
    pub sealing: Sealing,
    /// Cloud providers of health data.
    pub providers: Providers,
    /// Who did what.
    pub audit: Audit,
    /// How sessions are kept.
    pub session: Session,
    /// Bounds.
    pub limits: Limits,
    /// HTTP particulars.
    pub http: Http,
    /// Certificate and key.
    pub tls: Tls,
    /// How a node goes away.
    pub drain: Drain,
    /// Logs.
    pub log: Log,
}

impl Config {
    /// Which Web Push endpoints may be contacted. Devices choose them: in
    /// production only public https ones.
    pub const fn endpoint_policy(&self) -> Policy {
        match self.environment {
            Environment::Production => Policy::PublicHttps,
            Environment::Development => Policy::AllowInsecure,
        }
    }
}

/// What is allowed and what is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// A secret is made when none is configured; dev endpoints are on.
    Development,
    /// Auth must be configured; dev endpoints answer 404.
    Production,
}

/// Where data is kept.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `sqlite://…` or `postgres://…`; empty: SQLite in `data_dir`.
    #[serde(serialize_with = "mask::url")]
    pub url: String,
    /// Whether `serve` migrates. Otherwise it refuses an old schema.
    pub auto_migrate: bool,
    /// Connections for reading.
    pub connections: u32,
    /// SQLite: what a commit waits for.
    pub synchronous: Synchronous,
    /// How long to wait for a connection, milliseconds.
    pub acquire_timeout_ms: u64,
    /// How long a statement may take, milliseconds.
    pub statement_timeout_ms: u64,
    /// PostgreSQL: how long a write waits for a locked row, milliseconds.
    pub lock_timeout_ms: u64,
    /// After how long without a commit writing is tried, seconds.
    pub write_probe_s: u64,
    /// SQLite: how long the file is checked after an end out of order, seconds.
    pub check_s: u64,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

/// SQLite: what a commit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// The disk: an accepted write survives a power cut.
    Full,
    /// The operating system: survives a crash of the process, not a power cut.
    Normal,
}

/// Who may call.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Shared secret for HS256; at least 32 bytes. Empty: none.
    #[serde(serialize_with = "mask::secret")]
    pub hs256_secret: String,
    /// JWKS file for RS256, ES256 and `EdDSA`. Empty: none.
    pub jwks_file: String,
    /// JWKS URL. Empty: none.
    #[serde(serialize_with = "mask::url")]
    pub jwks_url: String,
    /// How often the JWKS is read again, seconds.
    pub jwks_refresh_s: u64,
    /// Required `iss`. Empty: not checked.
    pub issuer: String,
    /// Required `aud`. Empty: not checked.
    pub audience: String,
    /// Tolerance on `exp` and `nbf`, seconds.
    pub leeway_s: u64,
}

impl Auth {
    /// Whether tokens can be judged with what is configured.
    pub fn is_configured(&self) -> bool {
        [&self.hs256_secret, &self.jwks_file, &self.jwks_url].iter().any(|text| !text.is_empty())
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

/// Shared streams.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Streams {
    /// Names that backends may publish to.
    pub shared: Vec<StreamName>,
}

/// How long entries are kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Entries older than this are trimmed, hours.
    pub retention_h: u32,
    /// Entries kept per stream at most.
    pub retention_entries: u32,
    /// How often trimming runs, seconds.
    pub trim_interval_s: u64,
    /// Days after which a device that was not seen is removed.
    pub device_retention_d: u32,
    /// Days a closed command stays readable.
    pub command_retention_d: u32,
}

/// The fallback from socket to push to poll.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// How long a result may take before the next tier is tried; milliseconds.
    pub result_timeout_ms: u64,
    /// Waits before a failed send is tried again, milliseconds; their number
    /// is that of the retries.
    pub backoff_ms: Vec<u64>,
    /// Whether a single waiting command travels inside its wake-up.
    pub inline: bool,
    /// Wake-ups one device may get at once.
    pub device_burst: u32,
    /// Seconds after which one of them comes back.
    pub device_refill_s: u32,
    /// Sends of this node per minute.
    pub project_per_minute: u32,
    /// Seconds over which a node that starts comes up to that rate.
    pub ramp_s: u32,
    /// Sends under way at once.
    pub concurrency: usize,
    /// Waits after refusals of one token in a row, milliseconds: one refusal
    /// more than there are waits ends the token.
    pub refusal_backoff_ms: Vec<u64>,
    /// How long sending to a service pauses that refuses this project, before
    /// one send tries it again; milliseconds.
    pub circuit_ms: u64,
    /// How often devices that want wake-ups on data are looked for;
    /// milliseconds.
    pub delta_interval_ms: u64,
    /// Days after which a token that was not refreshed counts as stale.
    pub stale_after_d: u32,
    /// Firebase Cloud Messaging.
    pub fcm: Fcm,
    /// Web Push.
    pub webpush: WebPush,
}

/// Firebase Cloud Messaging; off while `credentials_file` is empty.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fcm {
    /// The project; empty: the one that the credentials name.
    pub project_id: String,
    /// JSON key file of a service account.
    pub credentials_file: String,
    /// Where FCM is.
    pub base_url: String,
}

/// Web Push; off while `private_key_file` is empty.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebPush {
    /// Who to contact about these pushes: `mailto:…` or `https://…`.
    pub subject: String,
    /// File with the VAPID private key, base64url.
    pub private_key_file: String,
}

/// How sessions are kept. All times in milliseconds.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// From upgrade to `hello`.
    pub hello_timeout_ms: u64,
    /// How long a full window may stay without an ack.
    pub ack_timeout_ms: u64,
    /// How long a write may make no progress.
    pub write_timeout_ms: u64,
    /// How long the peer's close frame is waited for.
    pub close_timeout_ms: u64,
    /// How long before a token's end the client is warned at most.
    pub auth_warning_ms: u64,
    /// How long a stored `sent` or `acked` may lag behind.
    pub behind_ms: u64,
}

/// Bounds.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Connections in all.
    pub connections_total: usize,
    /// Sockets of one user.
    pub connections_per_user: usize,
    /// Connections of one address; loopback is not counted.
    pub connections_per_address: usize,
    /// Sockets that have not said hello and whose header has no good token.
    pub sockets_before_hello: usize,
    /// Those of one address.
    pub sockets_before_hello_per_address: usize,
    /// Devices of one user.
    pub devices_per_user: usize,
    /// Polls of one user at once.
    pub pollers_per_user: usize,
    /// Streams of one session, the user's own included.
    pub streams_per_session: usize,
    /// Commands of one user without a final status.
    pub pending_per_user: i64,
    /// Bytes of a request body with many commands or records; of any other too.
    pub body_bytes: usize,
    /// Bytes of a body that a device sends.
    pub device_body_bytes: usize,
    /// Bytes of all bodies together.
    pub bodies_total_bytes: usize,
    /// Bytes of the bodies of one user's devices.
    pub bodies_per_user_bytes: usize,
    /// Bytes of the bodies of one backend or operator.
    pub bodies_per_backend_bytes: usize,
    /// Bytes of all large answers that wait to be read.
    pub answers_total_bytes: usize,
    /// Bytes of the answers to one user's devices.
    pub answers_per_user_bytes: usize,
    /// Bytes of the answers to one backend or operator.
    pub answers_per_backend_bytes: usize,
    /// Frames a client may send, per second and in a burst.
    pub frames_per_second: u32,
    /// See `frames_per_second`.
    pub frames_burst: u32,
    /// Writes waiting for the writer.
    pub write_queue: usize,
    /// Writes committed together at most.
    pub commit_batch: usize,
}

/// HTTP particulars.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Origins allowed by CORS; `*` for any; empty: none.
    pub cors_origins: Vec<String>,
    /// Networks whose word for a client's address is believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// The header they say it in.
    pub forwarded_header: ForwardedHeader,
    /// From the first byte to the end of the request head, milliseconds.
    pub header_timeout_ms: u64,
    /// From accept to the first byte, milliseconds.
    pub first_byte_timeout_ms: u64,
    /// Longest idle time between two requests of a connection, milliseconds.
    pub keep_alive_timeout_ms: u64,
    /// How long a body may make no progress, milliseconds.
    pub body_stall_ms: u64,
}

/// The header in which trusted proxies name the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For` where it is there, otherwise `Forwarded`.
    Auto,
    /// `X-Forwarded-For` only.
    XForwardedFor,
    /// `Forwarded` (RFC 7239) only.
    Forwarded,
}

/// Certificate and key, both or neither.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the chain. Empty: plain HTTP.
    pub cert_file: String,
    /// PEM file with the private key.
    pub key_file: String,
}

/// How a node goes away.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Window over which `drain` frames are spread, milliseconds; at most 10 s.
    pub spread_ms: u64,
    /// After this the process exits in any case, milliseconds.
    pub deadline_ms: u64,
    /// Window over which clients are told to come back, milliseconds.
    pub reconnect_window_ms: u64,
}

impl Drain {
    /// What is kept of the deadline for the last writes, after the connections.
    pub fn last_writes(&self) -> Duration {
        Duration::from_millis((self.deadline_ms / 5).min(2_000))
    }
}

/// Logs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `auto` (human in development, JSON in production), `human` or `json`.
    pub format: LogFormat,
    /// A `tracing` filter, such as `info` or `info,tidegate=debug`.
    pub filter: String,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Human in development, JSON in production.
    Auto,
    /// For people.
    Human,
    /// For machines: one JSON object a line.
    Json,
}
