//! Carries out the commands of the inbox, one at a time.
//!
//! Runs beside the connection and does not depend on it: a command that is
//! durable here is carried out although the network went away, and its outcome
//! waits in the outbox.

use tokio_util::sync::CancellationToken;

use crate::device::Device;
use crate::handler::{Command, Handler};
use crate::retry::Delays;
use crate::store::StoreError;
use crate::token::TokenProvider;

/// Works until cancelled. An execution that is cut off by the cancellation
/// runs again at the next start, marked as resumed.
pub(crate) async fn run<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    cancel: &CancellationToken,
) {
    let settings = device.settings();
    let mut delays = Delays::new(settings.retry_initial, settings.retry_longest);
    cancel
        .run_until_cancelled(async {
            loop {
                match drain(device).await {
                    Ok(()) => {
                        delays.reset();
                        device.work().notified().await;
                    }
                    Err(error) => {
                        let delay = delays.next_delay();
                        tracing::error!(%error, delay_ms = delay.as_millis(), "commands have to wait");
                        tokio::time::sleep(delay).await;
                    }
                }
            }
        })
        .await;
}

/// Carries out everything that waits.
pub(crate) async fn drain<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
) -> Result<(), StoreError> {
    while let Some(command) = device.store().take_next(device.clock().gateway_now()).await? {
        execute(device, &command).await?;
    }
    Ok(())
}

async fn execute<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    command: &Command,
) -> Result<(), StoreError> {
    let attempt = command.attempt.unwrap_or_default();
    tracing::debug!(command.id = %command.id, attempt, command.resumed, "command begins");
    let outcome = device.handler().execute(command).await;
    device.store().finish(&command.id, &outcome).await?;
    device.results().notify_one();
    Ok(())
}
