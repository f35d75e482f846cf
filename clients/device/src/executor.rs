//! Carries out the commands of the inbox, one at a time.
//!
//! Runs beside the connection and does not depend on it: a command that is
//! durable here is carried out although the network went away, and its outcome
//! waits in the outbox.

use tidegate_protocol::id::CommandId;
use tokio_util::sync::CancellationToken;

use crate::device::Device;
use crate::handler::{Command, Handler, Outcome};
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
            let mut unstored = None;
            loop {
                match drain_keeping(device, &mut unstored).await {
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
    drain_keeping(device, &mut None).await
}

/// An outcome that could not be stored is kept in `unstored` and stored by the
/// next call: the command was carried out and must not be again.
async fn drain_keeping<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    unstored: &mut Option<(CommandId, Outcome)>,
) -> Result<(), StoreError> {
    store(device, unstored).await?;
    while let Some(command) = device.store().take_next(device.clock().gateway_now()).await? {
        let outcome = execute(device, &command).await;
        *unstored = Some((command.id, outcome));
        store(device, unstored).await?;
    }
    Ok(())
}

async fn execute<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    command: &Command,
) -> Outcome {
    let attempt = command.attempt.unwrap_or_default();
    tracing::debug!(command.id = %command.id, attempt, command.resumed, "command begins");
    device.handler().execute(command).await
}

async fn store<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    unstored: &mut Option<(CommandId, Outcome)>,
) -> Result<(), StoreError> {
    if let Some((id, outcome)) = unstored {
        device.store().finish(id, outcome).await?;
        *unstored = None;
        device.results().notify_one();
    }
    Ok(())
}
