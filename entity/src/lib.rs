//! SeaORM entities of the Tidegate database, one file per table.
//!
//! Owns the Rust shape of rows and nothing else: no rules, no hooks, no clock.
//! Times are milliseconds since the Unix epoch, ids are lower-case text, JSON
//! is text, so that SQLite and PostgreSQL behave alike. Words of a table are
//! text there and a type here: a wrong one cannot be written, and one that this
//! version does not know is an error of the query that reads it.

pub mod activity;
pub mod activity_raw;
pub mod audit_log;
pub mod body_metric;
pub mod command;
pub mod command_delivery;
pub mod command_event;
pub mod command_outcome;
pub mod conflict;
pub mod conflict_editor;
pub mod daily_entry;
pub mod day_sample;
pub mod device;
pub mod device_cursor;
pub mod health_profile;
pub mod idempotency_key;
pub mod integration;
pub mod journal_entry;
pub mod lease;
pub mod market_item;
pub mod oauth_state;
pub mod push_wake;
pub mod rate_window;
pub mod shared_record;
pub mod skill_rating;
pub mod sleep_record;
pub mod stream_head;
pub mod sync_state;
pub mod webhook_event;
mod word;
pub mod write_probe;
