//! The marketplace by HTTP and WebSocket, as a client meets it.

#![expect(clippy::unwrap_used, reason = "in tests, a failure is a panic")]

mod faults;
mod http;
mod ratings;
mod socket;
mod stage;
