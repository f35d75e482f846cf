//! The gateway as its clients see it: real sockets and real HTTP against a
//! gateway started in this process, on SQLite or, with `DATABASE_URL`, on
//! PostgreSQL. A file for each behaviour.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod seed;
mod support;

mod crash;
mod hello;
mod tidy;
