//! Clients of the services that the gateway calls to wake devices: Firebase
//! Cloud Messaging and Web Push, and the Google tokens the former needs.
//!
//! Owns what is said to those services and what their answers mean: every
//! failure comes back as a value that names one [`outcome::Action`]. It never
//! retries on its own schedule, keeps no database and reads no clock of its
//! own; base addresses and time are passed in, so that fakes on loopback need
//! no tricks. Device tokens, subscriptions, keys, bodies and access tokens
//! stand in no error, no log line and no `Debug` output.

pub mod clock;
pub mod fcm;
pub mod limits;
pub mod oauth;
pub mod outcome;
pub mod retry_after;
pub mod transport;
pub mod wake;
pub mod webpush;
