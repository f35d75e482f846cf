//! The Tidegate wire protocol, version 1: what devices, app backends and the
//! gateway say to each other.
//!
//! Owns the names on the wire: frames, HTTP bodies, ids, error and close
//! codes, limits, and the frame encodings. It never does I/O and holds no
//! state; the gateway, the device SDK and the tests all read it, and the
//! golden frames in `fixtures/` keep it honest for clients in other languages.
//!
//! Conventions: times are RFC 3339 UTC with milliseconds, sequence numbers and
//! integer ids stay at or below 2^53 − 1 so that JavaScript can hold them, and
//! unknown fields are ignored so that either side may be newer.

pub mod client;
pub mod code;
pub mod command;
pub mod cursor;
pub mod encoding;
pub mod entry;
pub mod id;
pub mod json;
pub mod limits;
pub mod patch;
pub mod rest;
pub mod retry_after;
#[cfg(feature = "rows")]
pub mod rows;
pub mod server;
pub mod time;

/// The protocol version that `hello.protocol` must name.
pub const VERSION: u32 = 1;

/// The WebSocket subprotocol a client must offer.
pub const SUBPROTOCOL: &str = "tidegate.v1";
