//! The drivers against a scripted gateway on loopback.

mod plan;
mod polls;
mod pushes;
mod script;
mod sessions;
mod time;
mod tokens;
mod waits;
