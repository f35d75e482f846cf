//! The clients against the fakes, over loopback.

#![expect(clippy::unwrap_used, reason = "in tests, a failure is a panic")]

mod atom;
mod fcm;
mod oauth;
mod provider;
mod stage;
mod webpush;
