//! `tidegate-device poll`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tidegate_device::settings::{Settings, Transport};
use tidegate_protocol::limits::POLL_WAIT_S;
use tokio_util::sync::CancellationToken;

use crate::cli::{Common, drive};

#[derive(Debug, Args)]
pub(crate) struct Poll {
    #[command(flatten)]
    common: Common,
    /// How long the gateway may hold an answer, seconds.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(0..=i64::from(POLL_WAIT_S)))]
    wait_s: u32,
    /// Poll until nothing more waits, carry out what came, report it, and exit.
    #[arg(long)]
    once: bool,
}

pub(crate) async fn run(poll: Poll) -> anyhow::Result<ExitCode> {
    let done = CancellationToken::new();
    let settings = Settings {
        transport: Transport::PollOnly,
        poll_wait_s: poll.wait_s,
        ..Settings::default()
    };
    let device = poll.common.builder(done.clone()).settings(settings).build().await?;
    if !poll.once {
        return drive(device, &poll.common, done).await;
    }
    let synced = device.sync_once(poll.wait_s).await;
    let is_complete = device.handler().is_complete();
    device.close().await.context("closing the store")?;
    synced?;
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
