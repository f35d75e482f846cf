//! Changes of the sync state: each a short transaction of its own.

use tidegate_entity::sync_state;
use uuid::Uuid;

use crate::marketplace::listing::Failure;
use crate::state::AppState;
use crate::store;
use crate::store::lease::Fence;

/// `status` while nothing runs and the last run ended well.
pub(super) const IDLE: &str = "idle";
/// `status` while a run is under way.
pub(super) const SYNCING: &str = "syncing";
/// `status` after a run that failed.
pub(super) const ERROR: &str = "error";

/// Asks for a run, unless one is asked for.
pub(super) fn request(row: &mut sync_state::Model, now: i64) {
    if row.requested_at.is_none() {
        row.requested_at = Some(now);
        row.run_id = Some(Uuid::now_v7().to_string());
    }
}

/// Changes the state on behalf of the node that leads; nothing when it does
/// not any more.
pub(super) async fn change<T>(
    state: &AppState,
    fence: &Fence,
    change: impl Fn(&mut sync_state::Model) -> T + Send + Sync,
) -> Result<T, Failure> {
    let change = &change;
    let changed = state.store.write_unless_refused(|tx| async move {
        if !store::lease::holds(&tx, fence).await? {
            return Ok(Err(Failure::Over));
        }
        let mut row = store::sync_state::lock(&tx).await?;
        let before = row.clone();
        let out = change(&mut row);
        if row != before {
            store::sync_state::write(&tx, row).await?;
        }
        Ok(Ok(out))
    });
    match changed.await {
        Ok(changed) => changed,
        Err(error) => {
            tracing::warn!(%error, "the sync state was not written");
            Err(Failure::Store)
        }
    }
}
