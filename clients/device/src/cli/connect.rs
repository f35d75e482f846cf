//! `tidegate-device connect`.

use std::process::ExitCode;

use clap::Args;
use tidegate_device::settings::Settings;
use tokio_util::sync::CancellationToken;

use crate::cli::{Common, drive};

#[derive(Debug, Args)]
pub(crate) struct Connect {
    #[command(flatten)]
    common: Common,
    /// Heartbeat interval to ask for, seconds (10 to 300).
    #[arg(long)]
    heartbeat_s: Option<i64>,
}

pub(crate) async fn run(connect: Connect) -> anyhow::Result<ExitCode> {
    let done = CancellationToken::new();
    let settings = Settings { heartbeat_s: connect.heartbeat_s, ..Settings::default() };
    let device = connect.common.builder(done.clone()).settings(settings).build().await?;
    drive(device, &connect.common, done).await
}
