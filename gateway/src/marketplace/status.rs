//! Changes of the sync state: each a short transaction of its own.

use tidegate_entity::sync_state;
use uuid::Uuid;

use crate::leader::TermError;
use crate::marketplace::lead::Leader;
use crate::marketplace::listing::Failure;
use crate::store;

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
    leader: &Leader,
    change: impl Fn(&mut sync_state::Model) -> T + Send + Sync,
) -> Result<T, Failure> {
    let change = &change;
    let changed = leader.term.write(&leader.market.store, |tx| async move {
        let mut row = store::sync_state::lock(&tx).await?;
        let before = row.clone();
        let out = change(&mut row);
        if row != before {
            store::sync_state::write(&tx, row).await?;
        }
        Ok(out)
    });
    match changed.await {
        Ok(out) => Ok(out),
        Err(TermError::Over) => Err(Failure::Over),
        Err(TermError::Store(error)) => {
            tracing::warn!(%error, "the sync state was not written");
            Err(Failure::Store)
        }
    }
}
