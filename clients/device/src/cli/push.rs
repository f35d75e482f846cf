//! `tidegate-device push`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tidegate_device::push::PushHandled;
use tokio_util::sync::CancellationToken;

use crate::cli::Common;

/// Longest map read. Push services carry 4 KiB; escaped as JSON and indented
/// it is still far shorter.
const MAP_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Push {
    #[command(flatten)]
    common: Common,
    /// The data map as a JSON object of texts; by default it is read from
    /// standard input.
    #[arg(long, value_name = "JSON")]
    map: Option<String>,
}

pub(crate) async fn run(push: Push) -> anyhow::Result<ExitCode> {
    let text = match push.map {
        Some(text) => text,
        None => read_input()?,
    };
    let map: BTreeMap<String, String> =
        serde_json::from_str(&text).context("the map is not a JSON object of texts")?;
    let device = push.common.builder(CancellationToken::new()).build().await?;
    let handled = device.handle_push(map).await;
    let is_complete = device.handler().is_complete();
    device.close().await.context("closing the store")?;
    let handled = handled?;
    writeln!(std::io::stdout(), "push: {handled}")?;
    let is_followed = !matches!(handled, PushHandled::Ignored(_));
    Ok(if is_followed && is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read_input() -> anyhow::Result<String> {
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(MAP_BYTES_MAX);
    input.read_to_string(&mut text).context("reading the map from standard input")?;
    Ok(text)
}
