//! The providers of health data by HTTP, as a client meets them.

#![expect(clippy::unwrap_used, reason = "in tests, a failure is a panic")]

mod fitbit;
mod google_health;
mod hooks;
mod load;
mod oura;
mod stage;
mod strava;
