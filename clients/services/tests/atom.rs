//! The marketplace's client against a small server that says exactly what a
//! test scripts, down to the byte.

mod http;
mod socket;
pub(crate) mod stage;
