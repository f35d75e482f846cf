//! What carries a session: the socket and the poll. Both drive the same
//! machine and read through the same functions.
//!
//! Never sees SQL.

pub mod open;
pub mod poll;
pub mod read;
pub mod ws;
