//! Tidegate: a WebSocket-first realtime sync gateway.

pub mod app;
pub mod auth;
pub mod budget;
pub mod cli;
pub mod config;
pub mod error;
pub mod file;
pub mod http;
pub mod hub;
pub mod ingest;
pub mod journal;
pub mod leader;
pub mod limits;
pub mod log;
pub mod marketplace;
pub mod metrics;
pub mod push;
pub mod resolve;
pub mod retry;
pub mod schedule;
pub mod serve;
pub mod session;
pub mod state;
pub mod store;
pub mod transport;
pub mod upkeep;
