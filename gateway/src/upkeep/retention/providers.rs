//! What is kept of cloud providers for a while: authorizations, rate windows, and
//! events of webhooks.

use sea_orm::DbErr;

use crate::limits::WEBHOOK_MEMORY_D;
use crate::store;
use crate::upkeep::Handles;
use crate::upkeep::retention::{DAY_MS, RETENTION_ROWS, days_ago, in_steps};

pub(super) async fn forget(state: &Handles) -> Result<(), DbErr> {
    forget_states(state).await?;
    forget_windows(state).await?;
    forget_events(state).await
}

/// Forgets authorizations that nobody came back from.
async fn forget_states(state: &Handles) -> Result<(), DbErr> {
    let now = state.clock.now().millis();
    let store = &state.store;
    in_steps(
        || store::oauth_state::expired(store.readers(), now, RETENTION_ROWS),
        |hashes| async move {
            let hashes = &hashes;
            let removed =
                store.write(|tx| async move { store::oauth_state::remove(&tx, hashes).await });
            Ok(removed.await?)
        },
    )
    .await
}

/// Forgets the windows of single users who were not asked about for a day.
async fn forget_windows(state: &Handles) -> Result<(), DbErr> {
    let before = state.clock.now().millis() - DAY_MS;
    let store = &state.store;
    in_steps(
        || store::rate_window::ended(store.readers(), before, RETENTION_ROWS),
        |users| async move {
            let users = &users;
            let removed = store
                .write(|tx| async move { store::rate_window::remove(&tx, users, before).await });
            Ok(removed.await?)
        },
    )
    .await
}

/// Forgets events that nobody sends again.
async fn forget_events(state: &Handles) -> Result<(), DbErr> {
    let before = days_ago(state, WEBHOOK_MEMORY_D);
    let store = &state.store;
    in_steps(
        || store::webhook_event::before(store.readers(), before, RETENTION_ROWS),
        |keys| async move {
            let keys = &keys;
            let removed = store
                .write(|tx| async move { store::webhook_event::remove(&tx, keys, before).await });
            Ok(removed.await?)
        },
    )
    .await
}
