//! The gateway as its clients see it: real sockets and real HTTP against a
//! gateway started in this process, on SQLite or, with `DATABASE_URL`, on
//! PostgreSQL. What needs PostgreSQL starts one where it is installed. A file for
//! each behaviour.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod seed;
mod support;

mod acks;
mod attempts;
mod backup;
mod bad_input;
mod batch;
mod command_list;
mod commands;
mod compression;
mod crash;
mod decoders;
mod devices;
mod disk;
mod drain;
mod eligible;
mod ending;
mod envelopes;
mod epochs;
mod events;
mod health;
mod heartbeat;
mod hello;
mod idempotency;
mod in_hand;
mod integrations;
mod limits;
mod market;
mod marketplace;
mod openapi;
mod operation;
mod poll;
mod poll_wait;
mod postgres;
mod properties;
mod publish;
mod push;
mod push_tokens;
mod reading;
mod replacement;
mod results;
mod results_http;
mod sdk;
mod secrets;
mod simulation;
mod snapshots;
mod subscribe;
mod tidy;
mod token_life;
mod versions;
mod who_connects;
mod window;
