//! Tidegate: a WebSocket-first realtime sync gateway.

pub mod auth;
pub mod clock;
pub mod config;
pub mod error;
pub mod http;
pub mod metrics;
pub mod retry;
