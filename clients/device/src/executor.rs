//! Carries out the commands of the inbox, one at a time.
//!
//! Runs beside the connection and does not depend on it, once the gateway has
//! said its time to this process: a command that is durable here is carried
//! out although the network went away, and its outcome waits in the outbox.
//! Before that nobody knows whether a command's life has ended, for the
//! device's own clock may be wrong: none is begun, and none expires. Where the
//! gateway's answers lack its time, those are begun that live by the device's
//! own, and still none expires.

use tidegate_protocol::id::CommandId;
use tidegate_protocol::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::device::Device;
use crate::handler::{Command, Handler, Outcome};
use crate::retry::Delays;
use crate::state::StopReason;
use crate::store::StoreError;
use crate::token::TokenProvider;

/// Works until cancelled, or until the store fails for good. An execution that
/// is cut off by the cancellation runs again at the next start, marked as
/// resumed.
pub(crate) async fn run<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    cancel: &CancellationToken,
) -> Result<(), StopReason> {
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
                        if let Some(reason) = error.stops() {
                            return Err(reason);
                        }
                        let delay = delays.next_delay();
                        tracing::error!(%error, delay_ms = delay.as_millis(), "commands have to wait");
                        tokio::time::sleep(delay).await;
                    }
                }
            }
        })
        .await
        .unwrap_or(Ok(()))
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
    while let Some(now) = device.clock().gateway_now_or_guess() {
        if let Some(known) = device.clock().gateway_now() {
            expire(device, known).await?;
        }
        let Some(command) = device.store().take_next(now).await? else { break };
        let outcome = execute(device, &command).await;
        *unstored = Some((command.id, outcome));
        store(device, unstored).await?;
    }
    Ok(())
}

/// Tells the app of commands whose life has ended, and queues their reports.
async fn expire<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    gateway_now: Timestamp,
) -> Result<(), StoreError> {
    loop {
        let expired = device.store().expired(gateway_now).await?;
        if expired.is_empty() {
            return Ok(());
        }
        // Told only when it holds: a store that fails is asked again and again,
        // and a clock that is put right may give a command its life back.
        for command in device.store().expire(expired).await? {
            tracing::warn!(command.id = %command.id, "command expired before it was carried out");
            device.handler().on_expired(&command);
        }
        device.results().notify_one();
    }
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
