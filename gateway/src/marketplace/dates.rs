//! Times in rows that a clock wrote which was wrong and was set right: nothing
//! waits for the time that it showed.

use sea_orm::DbErr;
use tidegate_entity::sync_state;
use tidegate_protocol::time::Timestamp;

use crate::config::marketplace::Marketplace;
use crate::leader::TermError;
use crate::marketplace::lead::Leader;
use crate::marketplace::status::request;
use crate::store;
use crate::store::device::skewed;
use crate::store::write::Transaction;

/// Ratings that one step makes due.
const RATINGS_PER_STEP: u64 = 500;

/// Sets right what lies farther ahead than anything is put off.
pub(super) async fn set_right(leader: &Leader) -> Result<(), TermError> {
    let (settings, now) = (leader.settings(), leader.market.clock.now());
    let set = |tx| async move { set(&tx, settings, now).await };
    match leader.term.write(&leader.market.store, set).await {
        // The term ends anyway.
        Err(TermError::Over) => Ok(()),
        written => written,
    }
}

async fn set(tx: &Transaction, settings: &Marketplace, now: Timestamp) -> Result<(), DbErr> {
    if mend(&mut store::sync_state::read(tx).await?, settings, now) {
        let mut row = store::sync_state::lock(tx).await?;
        if mend(&mut row, settings, now) {
            store::sync_state::write(tx, row).await?;
            tracing::warn!("the sync state lay in the future: was a clock set back?");
        }
    }
    let now = now.millis();
    let latest = skewed(now + i64::from(settings.rating_interval_s) * 1000);
    let redated = store::rating::redate(tx, now, latest, RATINGS_PER_STEP).await?;
    if redated > 0 {
        tracing::warn!(redated, "uploads of ratings lay in the far future");
    }
    Ok(())
}

/// Whether something was wrong. A run is asked for then: when what was read last
/// was read cannot be said.
fn mend(row: &mut sync_state::Model, settings: &Marketplace, now: Timestamp) -> bool {
    let now = now.millis();
    let latest = skewed(now);
    let is_ahead = |at: Option<i64>| at.is_some_and(|at| at > latest);
    let mut is_mended = false;
    if is_ahead(row.last_sync_at) || is_ahead(row.last_successful_sync_at) {
        let not_later = |at: Option<i64>| at.map(|at| at.min(now));
        row.last_sync_at = not_later(row.last_sync_at);
        row.last_successful_sync_at = not_later(row.last_successful_sync_at);
        row.listed_at = row.listed_at.min(now);
        request(row, now);
        is_mended = true;
    }
    let held_off = skewed(now + i64::from(settings.ws_fallback_s) * 1000);
    if row.next_attempt_at.is_some_and(|at| at > held_off) {
        row.next_attempt_at = None;
        is_mended = true;
    }
    is_mended
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000;

    fn mended(change: impl FnOnce(&mut sync_state::Model)) -> (bool, sync_state::Model) {
        let settings = crate::config::load::load(None, []).unwrap().marketplace;
        let mut row = store::sync_state::initial();
        change(&mut row);
        (mend(&mut row, &settings, Timestamp::from_millis(NOW)), row)
    }

    #[test]
    fn a_run_in_the_future_ended_now_and_another_one_is_due() {
        let (is_mended, row) = mended(|row| row.last_sync_at = Some(skewed(NOW) + 1));
        assert!(is_mended && row.requested_at == Some(NOW) && row.run_id.is_some());
        assert_eq!(row.last_sync_at, Some(NOW));
        assert!(!mended(|row| row.last_sync_at = Some(skewed(NOW))).0, "another node's clock");
    }

    #[test]
    fn the_socket_is_not_held_off_for_longer_than_it_ever_is() {
        let wait = |ms: i64| mended(|row| row.next_attempt_at = Some(skewed(NOW + ms)));
        assert_eq!(wait(3_600_001).1.next_attempt_at, None);
        assert!(!wait(3_600_000).0);
    }
}
