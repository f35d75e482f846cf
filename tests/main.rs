//! The gateway as its clients see it: real sockets and real HTTP against a
//! gateway started in this process, on SQLite or, with `DATABASE_URL`, on
//! PostgreSQL. A file for each behaviour.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod seed;
mod support;

mod acks;
mod attempts;
mod bad_input;
mod batch;
mod command_list;
mod commands;
mod crash;
mod devices;
mod eligible;
mod ending;
mod events;
mod hello;
mod idempotency;
mod push_tokens;
mod results;
mod results_http;
mod snapshots;
mod subscribe;
mod tidy;
mod who_connects;
mod window;
