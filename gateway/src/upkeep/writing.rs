//! Whether writing works: told once per change, and tried when nobody writes.

use std::time::Duration;

use sea_orm::DbErr;
use tidegate_durable::{Fault, Health};
use tidegate_entity::write_probe;
use tokio_util::sync::CancellationToken;

use crate::store::{self, Store};
use crate::upkeep::Handles;
use crate::upkeep::turns::Turns;

/// How often it is looked whether a row must be written.
const LOOK: Duration = Duration::from_secs(1);

/// Rows of nodes that wrote none for this long are removed. They come back from
/// a longer absence as new ones, which announced nothing lately.
const FORGOTTEN_MS: i64 = 30 * 24 * 3_600_000;

/// Tells of changes, and tries whether writing works: at the start, now and
/// then while nothing else is written, and at every look while it does not work.
pub(super) async fn watch(state: Handles, stop: CancellationToken) {
    let idle = Duration::from_secs(state.config.database.write_probe_s);
    let mut changes = state.store.health_changes();
    let mut told = Health::default();
    state.metrics.database_writable.set(1);
    let mut is_known = false;
    let mut turns = Turns::every(LOOK, stop);
    loop {
        tokio::select! {
            biased;
            Ok(()) = changes.changed() => {}
            goes_on = turns.next() => {
                if !goes_on {
                    return;
                }
                let must_try = match state.store.health() {
                    Health::Writing => !is_known || state.store.since_commit() >= idle,
                    Health::Failing(_) => true,
                    Health::Stopped => false,
                };
                is_known = true;
                if must_try {
                    // What came of it is in the store's health.
                    let _ = probe(&state).await;
                }
            }
        }
        let now = *changes.borrow_and_update();
        if now != told {
            tell(&state, now);
            told = now;
        }
    }
}

/// Writes the node's row.
async fn probe(state: &Handles) -> Result<(), DbErr> {
    write_row(state, None).await
}

/// Writes the node's row, with the history it saw: `None` leaves the one noted
/// before.
pub(super) async fn write_row(state: &Handles, history: Option<String>) -> Result<(), DbErr> {
    let at = state.clock.now().millis();
    let row = &write_probe::Model { node: state.node.clone(), at, history };
    let written = state
        .store
        .write(|tx| async move { store::probe::write(&tx, row.clone(), at - FORGOTTEN_MS).await });
    Ok(written.await?)
}

/// An embedded database is left in order, with everything on disk: a reboot in
/// between is no other history.
pub async fn leave(store: &Store, node: &str) -> Result<(), DbErr> {
    if !store.is_embedded() || store.waits_for_disk() {
        return Ok(());
    }
    let forgotten = store.write(|tx| async move { store::probe::forget_history(&tx, node).await });
    Ok(forgotten.await?)
}

fn tell(state: &Handles, health: Health) {
    let metrics = &state.metrics;
    metrics.database_writable.set(i64::from(health == Health::Writing));
    match health {
        Health::Writing => tracing::info!("writing to the database works again"),
        Health::Failing(fault) => {
            metrics.database_faults.of(fault).inc();
            tracing::error!(%fault, "writing to the database does not work; writes answer 503");
        }
        Health::Stopped => {
            metrics.database_faults.of(Fault::Corrupt).inc();
            tracing::error!(
                "THE DATABASE IS DAMAGED: nothing is written any more; restore a backup, or mend \
                 the file, and start again"
            );
        }
    }
}
