//! Write transactions that are durable when they say so.
//!
//! Owns the one door to a database through which the gateway and the device SDK
//! write: [`Connections::begin`] starts a transaction that is outermost,
//! [`WriteTransaction::commit`] answers only when it ended, and a connection
//! whose transaction did not end cleanly never serves again. Owns the deadlines
//! of all statements, and what a database's error means ([`Fault`]). Knows no
//! table and no query.
//!
//! Why a door: when a COMMIT fails, SQLite has already rolled back, and the
//! driver (sqlx 0.9) goes on counting an open transaction. Its next BEGIN is a
//! SAVEPOINT, and every later COMMIT releases a savepoint and writes nothing.

mod connections;
mod deadline;
mod fault;
mod guard;
mod health;
mod pool;
mod transaction;

pub use connections::{Connections, Deadlines};
pub use fault::Fault;
pub use health::Health;
pub use transaction::WriteTransaction;

#[cfg(test)]
mod tests;
