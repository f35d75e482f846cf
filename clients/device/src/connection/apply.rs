//! The one path by which pages become durable, whatever brought them.

use tidegate_protocol::id::StreamName;

use crate::device::Device;
use crate::handler::{Handler, HandlerError};
use crate::machine::streams::Page;
use crate::store::{Planned, StoreError};
use crate::token::TokenProvider;

/// Why a page is not durable.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    /// A patch does not fit: the stream has to begin with a snapshot.
    #[error("a patch on `{0}` does not fit what is held")]
    Mismatch(StreamName),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The app refused.
    #[error(transparent)]
    Handler(#[from] HandlerError),
}

/// Hands a page to the app and commits it. Only then may it be acked.
pub(super) async fn apply<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    page: Page,
) -> Result<(), ApplyError> {
    let (store, handler) = (device.store(), device.handler());
    let has_commands = match page {
        Page::Events(page) => {
            let stream = page.stream.clone();
            let Planned::Ready(plan) = store.plan(page).await? else {
                return Err(ApplyError::Mismatch(stream));
            };
            if !plan.changes().is_empty() {
                handler.on_changes(&stream, plan.changes()).await?;
            }
            store.commit(&plan).await?;
            plan.has_commands()
        }
        Page::Snapshot(page) => {
            store.stage(&page).await?;
            if !page.last {
                return Ok(());
            }
            let items = store.staged_items(&page.stream).await?;
            handler.on_snapshot(&page.stream, &items).await?;
            store.finish_snapshot(&page.stream, &page.cursor).await?
        }
    };
    if has_commands {
        device.work().notify_one();
        // A repeat may have been answered from the store.
        device.results().notify_one();
    }
    Ok(())
}

/// Makes the stream begin with a snapshot at the next connect.
pub(super) async fn begin_anew<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    stream: &StreamName,
) {
    tracing::warn!(%stream, "stream begins anew");
    if let Err(error) = device.store().forget_cursor(stream).await {
        tracing::error!(%stream, %error, "the cursor could not be forgotten");
    }
}
