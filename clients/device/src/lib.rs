//! The device SDK of Tidegate: one live socket, resumed and acknowledged, with
//! long polling behind it and a durable inbox under it.
//!
//! ```no_run
//! use tidegate_device::device::Device;
//! use tidegate_device::handler::{Command, Handler, Outcome};
//! use tidegate_device::token::{StaticToken, Token};
//! use tokio_util::sync::CancellationToken;
//!
//! struct App;
//!
//! impl Handler for App {
//!     async fn execute(&self, command: &Command) -> Outcome {
//!         // Write `command.value` into the phone's health store.
//!         Outcome::Applied
//!     }
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let tokens = StaticToken(Token::new("…"));
//! let device =
//!     Device::builder("https://gateway.example", tokens, App).store("device.db").build().await?;
//! device.run(CancellationToken::new()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Owns the client's half of the protocol. What it promises: a command is acked
//! only when it is on disk, is carried out once per id across restarts, never
//! past its expiry by the gateway's clock, and its outcome is resent until the gateway has it; by
//! socket, poll and push ([`device::Device::handle_push`]) alike. What no
//! client can promise is said at [`handler::Handler::execute`].
//!
//! In layers, lower ones first: `clock`, `retry`, `retry_after`, `hold`,
//! `settings`, `token`, `turn`, `state` · `handler` · `patch`, `replica`, `inbox`, [`push`] (pure rules) ·
//! [`machine`] (the session without I/O) · [`store`] (all SQL) · [`endpoint`],
//! [`rest`] (the network) · `executor`, [`connection`] (drivers) · [`device`].
//! **Invariant:** `machine` names nothing above it and does no I/O.

pub mod clock;
pub mod connection;
pub mod device;
pub mod endpoint;
mod executor;
pub mod handler;
mod hold;
mod inbox;
pub mod machine;
pub mod push;
mod replica;
pub mod rest;
pub mod retry;
mod retry_after;
pub mod settings;
pub mod state;
pub mod store;
pub mod token;
mod turn;
