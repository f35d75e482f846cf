//! Removes what had its time: entries of journals, closed commands, decided
//! conflicts, rows of the audit log, devices that never came back, keys of
//! callers. In small transactions, so that commits get in between.

use sea_orm::DbErr;
use tidegate_protocol::code::ErrorCode;

use crate::limits::{STREAMS_PER_STEP, TRIM_POSITIONS};
use crate::store;
use crate::store::head::Trimmable;
use crate::upkeep::Handles;

mod providers;

/// Rows one step removes.
const RETENTION_ROWS: u64 = 500;

/// Removes what had its time.
pub(super) async fn retain(state: Handles) -> anyhow::Result<()> {
    trim(&state).await?;
    forget_commands(&state).await?;
    forget_conflicts(&state).await?;
    forget_audit(&state).await?;
    forget_devices(&state).await?;
    mark_stale_tokens(&state).await?;
    providers::forget(&state).await?;
    Ok(forget_keys(&state).await?)
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Trims journals by age and by count, oldest first.
async fn trim(state: &Handles) -> Result<(), DbErr> {
    let journal = &state.config.journal;
    let cutoff = state.clock.now().millis() - i64::from(journal.retention_h) * HOUR_MS;
    let kept = i64::from(journal.retention_entries);
    let mut after = String::new();
    loop {
        let db = state.store.readers();
        let found = store::head::trimmable(db, &after, cutoff, kept, STREAMS_PER_STEP).await?;
        let Some(last) = found.last() else { return Ok(()) };
        after.clone_from(&last.stream);
        for stream in &found {
            trim_stream(state, stream, cutoff, kept).await?;
        }
    }
}

async fn trim_stream(
    state: &Handles,
    stream: &Trimmable,
    cutoff: i64,
    kept: i64,
) -> Result<(), DbErr> {
    let by_count = stream.seq - kept;
    let by_age = last_before(state, stream, cutoff).await?;
    let upto = by_count.max(by_age);
    let mut trimmed = stream.trimmed;
    while trimmed < upto {
        let trim = state.store.write(|tx| async move {
            let name = &stream.stream;
            store::head::lock(&tx, std::slice::from_ref(name)).await?;
            let (reached, removed) =
                store::journal::remove_upto(&tx, name, trimmed, upto, TRIM_POSITIONS).await?;
            store::head::set_trimmed(&tx, name, reached).await?;
            Ok((reached, removed))
        });
        let (reached, removed) = trim.await?;
        state.metrics.entries_trimmed.inc_by(removed);
        trimmed = reached;
    }
    Ok(())
}

/// The last position with an entry older than `cutoff`, by bisection: times
/// hardly ever fall along a stream. Where they do, because a clock was set back,
/// it finds one of several such positions, and trims by that.
async fn last_before(state: &Handles, stream: &Trimmable, cutoff: i64) -> Result<i64, DbErr> {
    let (mut older, mut newer) = (stream.trimmed, stream.seq + 1);
    while newer - older > 1 {
        let middle = older + (newer - older) / 2;
        let at = store::journal::time_from(state.store.readers(), &stream.stream, middle).await?;
        if at.is_some_and(|at| at < cutoff) {
            older = middle;
        } else {
            newer = middle;
        }
    }
    Ok(older)
}

/// Finds what had its time and removes it, until nothing is found. Finding
/// needs no lock; each removal is a transaction of its own.
async fn in_steps<K, Find, Remove>(
    find: impl Fn() -> Find,
    remove: impl Fn(Vec<K>) -> Remove,
) -> Result<(), DbErr>
where
    Find: Future<Output = Result<Vec<K>, DbErr>>,
    Remove: Future<Output = Result<(), DbErr>>,
{
    loop {
        let found = find().await?;
        if found.is_empty() {
            return Ok(());
        }
        remove(found).await?;
    }
}

/// So many days ago.
fn days_ago(state: &Handles, days: u32) -> i64 {
    state.clock.now().millis() - i64::from(days) * DAY_MS
}

/// Forgets commands closed long ago, with their timelines.
async fn forget_commands(state: &Handles) -> Result<(), DbErr> {
    let before = days_ago(state, state.config.journal.command_retention_d);
    let store = &state.store;
    in_steps(
        || store::command::closed_before(store.readers(), before, RETENTION_ROWS),
        |ids| async move {
            let ids = &ids;
            let removed = store.write(|tx| async move {
                store::command::remove(&tx, ids).await?;
                store::outcome::remove_of(&tx, ids).await?;
                store::delivery::remove_of(&tx, ids).await?;
                store::event::remove_of(&tx, ids).await
            });
            Ok(removed.await?)
        },
    )
    .await
}

/// Forgets conflicts decided long ago. Open ones wait for their decision, and
/// what lost can be brought back for as long as
/// [`RESTORE_MS`](crate::resolve::person::RESTORE_MS).
async fn forget_conflicts(state: &Handles) -> Result<(), DbErr> {
    let before = days_ago(state, state.config.conflicts.retention_d);
    let store = &state.store;
    in_steps(
        || store::conflict::resolved_before(store.readers(), before, RETENTION_ROWS),
        |ids| async move {
            let ids = &ids;
            let removed = store.write(|tx| async move { store::conflict::remove(&tx, ids).await });
            Ok(removed.await?)
        },
    )
    .await
}

/// Shortens the audit log.
async fn forget_audit(state: &Handles) -> Result<(), DbErr> {
    let before = days_ago(state, state.config.audit.retention_d);
    let store = &state.store;
    in_steps(
        || store::audit::before(store.readers(), before, RETENTION_ROWS),
        |ids| async move {
            let ids = &ids;
            let removed = store.write(|tx| async move { store::audit::remove(&tx, ids).await });
            Ok(removed.await?)
        },
    )
    .await
}

/// Marks push tokens that were not refreshed for long.
async fn mark_stale_tokens(state: &Handles) -> Result<(), DbErr> {
    let before = days_ago(state, state.config.push.stale_after_d);
    let store = &state.store;
    in_steps(
        || store::device::not_refreshed_since(store.readers(), before, RETENTION_ROWS),
        |devices| async move {
            let devices = &devices;
            let marked = store
                .write(|tx| async move { store::device::mark_stale(&tx, devices, before).await });
            Ok(marked.await?)
        },
    )
    .await
}

/// Forgets Idempotency-Keys that had their time.
async fn forget_keys(state: &Handles) -> Result<(), DbErr> {
    let now = state.clock.now().millis();
    let store = &state.store;
    in_steps(
        || store::idempotency::expired(store.readers(), now, RETENTION_ROWS),
        |keys| async move {
            let keys = &keys;
            let removed = store.write(|tx| async move {
                store::idempotency::remove_expired(&tx, keys, now).await
            });
            Ok(removed.await?)
        },
    )
    .await
}

/// Removes devices that were not seen for long; what was addressed to them is
/// cancelled.
async fn forget_devices(state: &Handles) -> anyhow::Result<()> {
    let before = days_ago(state, state.config.journal.device_retention_d);
    loop {
        let db = state.store.readers();
        let unseen = store::device::unseen_since(db, before, RETENTION_ROWS).await?;
        if unseen.is_empty() {
            return Ok(());
        }
        for device in unseen {
            if state.hub.is_online(&device.user_id, &device.device_id) {
                // It is here, and noted to be so only now and then.
                let now = state.clock.now();
                let batch = std::slice::from_ref(&device);
                let touched = state.store.write(|tx| async move {
                    store::device::touch(&tx, batch, now.millis()).await
                });
                touched.await?;
                continue;
            }
            match state.ingest.remove_device(device).await {
                Ok(()) => {}
                // Another node, or its user, was faster.
                Err(error) if error.code == ErrorCode::DeviceNotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
