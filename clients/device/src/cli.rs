//! Arguments of `tidegate-device` and which command runs.

mod connect;
mod console;
mod health;
mod poll;
mod push;
mod simulate;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tidegate_device::device::{Builder, Device};
use tidegate_device::state::StopReason;
use tidegate_device::token::{StaticToken, Token};
use tidegate_protocol::id::{DeviceId, StreamName};
use tokio_util::sync::CancellationToken;

use crate::cli::console::Console;

/// A Tidegate device on the command line.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Connect by socket, show every frame, and carry out commands.
    ///
    /// One line per frame: `gateway -> events {…}` or `device -> ack {…}`.
    /// Ctrl-C ends cleanly: what is held is acked first.
    Connect(connect::Connect),
    /// The same by long polling, without a socket.
    Poll(poll::Poll),
    /// Handle one push as an app would: carry out the command in it, or catch up
    /// by a poll. Exits 1 when the map is ignored.
    Push(push::Push),
    /// Put load on a gateway with simulated devices and account for every
    /// command: fails when one is missing, comes twice, or comes out of order.
    Simulate(simulate::Simulate),
}

/// What `connect`, `poll` and `push` have in common.
#[derive(Debug, Args)]
struct Common {
    /// The gateway's base URL.
    #[arg(long, env = "TIDEGATE_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The user's token (a JWT with role `device`).
    #[arg(long, env = "TIDEGATE_TOKEN", hide_env_values = true)]
    token: String,
    /// The device's id, a UUID; by default the one in the store,
    /// made at the first start.
    #[arg(long, value_parser = DeviceId::parse)]
    device_id: Option<DeviceId>,
    /// The store; `:memory:` keeps nothing.
    #[arg(long, default_value = "./tidegate-device.db")]
    data: PathBuf,
    /// Shared streams to follow, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = StreamName::parse)]
    subscribe: Vec<StreamName>,
    /// What commands this device can carry out; may be given several times.
    #[arg(long = "capability")]
    capabilities: Vec<String>,
    /// How to answer commands; `none` leaves them unanswered.
    #[arg(long, value_enum, default_value_t)]
    answer: console::Answer,
    /// Stop after so many seconds.
    #[arg(long)]
    for_s: Option<u64>,
    /// Exit 0 once so many commands are carried out and confirmed (with
    /// `--answer none`: received).
    #[arg(long)]
    until_commands: Option<usize>,
}

pub(crate) async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Connect(connect) => connect::run(connect).await,
        Command::Poll(poll) => poll::run(poll).await,
        Command::Push(push) => push::run(push).await,
        Command::Simulate(simulate) => simulate::run(simulate).await,
    }
}

impl Common {
    fn builder(&self, done: CancellationToken) -> Builder<Console, StaticToken> {
        let tokens = StaticToken(Token::new(self.token.trim()));
        let console = Console::new(self.answer, self.until_commands, done);
        let mut builder = Device::builder(&self.url, tokens, console)
            .store(&self.data)
            .name("tidegate-device")
            .app_version(env!("CARGO_PKG_VERSION"))
            .subscribe(self.subscribe.iter().cloned());
        if !self.capabilities.is_empty() {
            builder = builder.capabilities(self.capabilities.iter().cloned());
        }
        if let Some(id) = &self.device_id {
            builder = builder.device_id(id.clone());
        }
        builder
    }
}

/// Runs the device until it is told to stop, and says how that went.
async fn drive(
    device: Device<Console, StaticToken>,
    common: &Common,
    done: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let ended = run_until(&device, common.for_s, &done).await;
    let is_complete = device.handler().is_complete();
    let closed = device.close().await;
    // First why the run ended: a store that is damaged may not close either.
    ended?;
    closed.context("closing the store")?;
    if !is_complete {
        tracing::error!("stopped before the commands asked for had come");
    }
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run_until(
    device: &Device<Console, StaticToken>,
    for_s: Option<u64>,
    done: &CancellationToken,
) -> Result<(), StopReason> {
    let run = device.run(done.clone());
    tokio::pin!(run);
    tokio::select! {
        ended = &mut run => return ended,
        () = stop_signal(for_s) => done.cancel(),
    }
    run.await
}

/// Ends at Ctrl-C, SIGTERM, or after this many seconds.
async fn stop_signal(for_s: Option<u64>) {
    let time = async {
        match for_s {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated() => {}
        () = time => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be watched");
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending::<()>().await;
}
