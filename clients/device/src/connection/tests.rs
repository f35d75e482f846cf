//! The drivers against a scripted gateway on loopback.

mod plan;
mod polls;
mod script;
mod sessions;
