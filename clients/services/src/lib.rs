//! Clients of the services that the gateway calls: Firebase Cloud Messaging
//! and Web Push to wake devices, the Google tokens the former needs, the
//! `Atom SaaS` marketplace, over HTTP and its socket, and the services that
//! keep health data of users.
//!
//! Owns what is said to those services and what their answers mean: every
//! failure comes back as a value that says what to do about it, an
//! [`outcome::Action`], an [`atom::error::Retry`] or a
//! [`provider::ProviderError`]. It never retries on its
//! own schedule, keeps no database and reads no wall clock of its own; base
//! addresses and time are passed in, so that fakes on loopback need no tricks.
//! Device tokens, subscriptions, keys, bodies and access tokens stand in no
//! error, no log line and no `Debug` output.

pub mod atom;
pub mod fcm;
pub mod limits;
pub mod oauth;
pub mod outcome;
pub mod provider;
mod reason;
pub mod retry_after;
pub mod transport;
pub mod wake;
pub mod webpush;
