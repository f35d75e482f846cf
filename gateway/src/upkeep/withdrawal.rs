//! Items of the marketplace that upstream has not confirmed for too long are
//! taken back from devices: HTTP does not serve them either. Every node looks,
//! also without an upstream; the writer decides, so that it happens once.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::ingest::market::Overdue;
use crate::state::AppState;
use crate::store;
use crate::upkeep::turns::Turns;

/// How often the time is looked at. The database is asked only when an item can
/// be overdue, which is once in days.
const LOOK: Duration = Duration::from_secs(1);

/// Items taken back with one commit.
const ITEMS: u64 = 100;

/// Takes items back whose time is over, until `stop`.
pub(super) async fn withdrawal(state: AppState, stop: CancellationToken) {
    let mut next = i64::MIN;
    let mut turns = Turns::every(LOOK, stop);
    while turns.next().await {
        let now = state.clock.now().millis();
        if now < next {
            continue;
        }
        match take_back(&state, now).await {
            Ok(due) => next = due,
            Err(error) => {
                tracing::warn!(%error, "unconfirmed items were not taken back; tried again");
            }
        }
    }
}

/// Takes back what is overdue now; when the next item can be. Confirmations only
/// move that later.
async fn take_back(state: &AppState, now: i64) -> anyhow::Result<i64> {
    let settings = &state.config.marketplace;
    let kept_ms = (i64::from(settings.ttl_s) + i64::from(settings.stale_max_s)) * 1000;
    let since = now - kept_ms + 1;
    let db = state.store.readers();
    loop {
        let keys = store::market::overdue(db, since, ITEMS).await?;
        if keys.is_empty() {
            break;
        }
        tracing::warn!(items = keys.len(), "items that nobody confirms are taken back");
        state.ingest.withdraw(Overdue { keys, since }).await?;
    }
    let oldest = store::market::oldest_confirmed(db).await?;
    Ok(oldest.map_or(now, |oldest| oldest.min(now)) + kept_ms)
}
