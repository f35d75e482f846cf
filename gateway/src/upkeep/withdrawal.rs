//! Items of the marketplace that upstream has not confirmed for too long are
//! taken back from devices: HTTP does not serve them either. Every node looks,
//! also without an upstream; the writer decides, so that it happens once.
//!
//! What was confirmed under a clock that was wrong would be held until that time
//! has come: it counts as confirmed when that is noticed.

use std::time::Duration;

use tidegate_protocol::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::config::check::MARKETPLACE;
use crate::ingest::market::Overdue;
use crate::store;
use crate::store::device::skewed;
use crate::upkeep::Handles;
use crate::upkeep::turns::Turns;

/// How often the time is looked at. The database is asked when an item can be
/// overdue, which is once in days.
const LOOK: Duration = Duration::from_secs(1);

/// How long the database is not asked at most, milliseconds: another node's
/// clock may have been wrong. A time that lies farther ahead is of a clock that
/// was set back.
const ASK_AGAIN_MS: i64 = 10 * 60 * 1000;

/// Items taken back with one commit.
const ITEMS: u64 = 100;

/// Takes items back whose time is over, until `stop`.
pub(super) async fn withdrawal(state: Handles, stop: CancellationToken) {
    let mut next = i64::MIN;
    let mut turns = Turns::every(LOOK, stop);
    while turns.next().await {
        let now = state.clock.now().millis();
        if now < next && next <= now.saturating_add(ASK_AGAIN_MS) {
            continue;
        }
        match take_back(&state, now).await {
            Ok(due) => next = due.min(now + ASK_AGAIN_MS),
            Err(error) => {
                tracing::warn!(%error, "unconfirmed items were not taken back; tried again");
            }
        }
    }
}

/// Takes back what is overdue now; when the next item can be. Confirmations only
/// move that later.
async fn take_back(state: &Handles, now: i64) -> anyhow::Result<i64> {
    let settings = &state.config.marketplace;
    let since = settings.served_since(Timestamp::from_millis(now));
    let db = state.store.readers();
    redate(state, now).await?;
    loop {
        let keys = store::market::overdue(db, since, ITEMS).await?;
        if keys.is_empty() {
            break;
        }
        tracing::warn!(items = keys.len(), "items that nobody confirms are taken back");
        state.ingest.withdraw(Overdue { keys, since }).await?;
    }
    let oldest = store::market::oldest_confirmed(db).await?;
    Ok(oldest.map_or(now, |oldest| oldest.min(now)) + settings.kept_ms())
}

/// Makes items confirmed now that were confirmed in the future.
async fn redate(state: &Handles, now: i64) -> anyhow::Result<()> {
    let latest = skewed(now);
    if !store::market::is_any_misdated(state.store.readers(), latest).await? {
        return Ok(());
    }
    let redate = state.store.write(|tx| async move {
        store::head::lock(&tx, &[MARKETPLACE.to_owned()]).await?;
        store::market::redate(&tx, now, latest).await
    });
    let redated = redate.await?;
    tracing::warn!(redated, "items were confirmed in the future: was a clock set back?");
    Ok(())
}
