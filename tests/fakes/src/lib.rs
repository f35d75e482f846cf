//! Faithful fakes of the services the gateway calls: HTTP servers on
//! loopback that check what the real ones check and answer what the real ones
//! answer, or what a test has scripted.
//!
//! Own nothing but memory; everything ends when the value is dropped. They
//! share no code with the clients they test, so that a rule misread there is
//! not misread here too. For tests and as a local sandbox, never for
//! production: they accept anyone who asks.

pub mod answer;
pub mod atom;
pub mod fcm;
pub mod feed;
pub mod fixtures;
pub mod google;
mod jwt;
pub mod provider;
pub mod record;
pub mod script;
mod server;
pub mod webpush;
