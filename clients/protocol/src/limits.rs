//! Bounds that both sides of the wire must know. Deployment settings may
//! lower some of them; `welcome.limits` tells a client the ones in force.

/// Largest frame in bytes, before and after decompression (256 KiB).
pub const FRAME_BYTES: usize = 256 * 1024;

/// Largest journal entry in bytes (128 KiB): a page of one entry fits a frame.
pub const ENTRY_BYTES: usize = 128 * 1024;

/// Most entries in one `events` frame.
pub const PAGE_ENTRIES: usize = 200;

/// Page target in bytes: a page ends at the entry that reaches it.
pub const PAGE_BYTES: usize = 64 * 1024;

/// Most delivered entries of one stream that a session may leave unacked.
pub const WINDOW_ENTRIES: usize = 500;

/// Most delivered bytes of one stream that a session may leave unacked.
pub const WINDOW_BYTES: usize = 1024 * 1024;

/// Frames shorter than this are always sent as text: compressing them costs
/// more than it saves.
pub const COMPRESS_FROM_BYTES: usize = 512;

/// Deepest JSON nesting accepted anywhere.
pub const JSON_DEPTH: usize = 64;

/// Largest integer that JavaScript holds exactly: 2^53 − 1.
pub const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

/// Most results in one `results` frame or call.
pub const RESULTS_PER_FRAME: usize = 100;

/// Most commands in one batch call.
pub const COMMANDS_PER_BATCH: usize = 500;

/// Most attempts of one command; the fifth ignores `retryable`.
pub const COMMAND_ATTEMPTS: i32 = 5;

/// Shortest and longest life of a command in seconds (1 s to 4 weeks).
pub const COMMAND_TTL_S: std::ops::RangeInclusive<i64> = 1..=2_419_200;

/// Life of a command that names none: 24 h.
pub const COMMAND_TTL_DEFAULT_S: i64 = 86_400;

/// Heartbeat interval in seconds: the range a client may ask for; other
/// values are clamped into it.
pub const HEARTBEAT_S: std::ops::RangeInclusive<u32> = 10..=300;

/// Heartbeat interval when `hello` asks for none.
pub const HEARTBEAT_DEFAULT_S: u32 = 30;

/// Longest long poll in seconds.
pub const POLL_WAIT_S: u32 = 55;

/// Entries and items in one poll answer: default and most.
pub const POLL_LIMIT_DEFAULT: usize = 200;
/// See [`POLL_LIMIT_DEFAULT`].
pub const POLL_LIMIT_MAX: usize = 500;

/// Longest short text (names, versions, data types, capabilities), in bytes.
pub const SHORT_TEXT_BYTES: usize = 255;

/// Longest push token or Web Push subscription, in bytes.
pub const PUSH_TOKEN_BYTES: usize = 4096;

/// Longest error text a device may report, in bytes.
pub const RESULT_ERROR_BYTES: usize = 2000;

/// Most capabilities one device may name.
pub const CAPABILITIES: usize = 64;
