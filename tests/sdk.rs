//! Proves that the device SDK and the gateway keep their promises together:
//! commands carried out once, resumed, by socket or by poll, and a replica
//! that equals what was published.

use crate::support::Setup;

mod commands;
mod health;
mod network;
mod phone;
mod replica;
mod session;
mod time;
mod versions;

/// Phones come back from a drain at once.
fn setup() -> Setup {
    Setup::new().set("drain.reconnect_window_ms", "20")
}
