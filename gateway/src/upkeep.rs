//! The gateway's own recurring work: expiry and retries, what is written
//! late, retention, and the hints that heal a lost wake-up.
//!
//! Each task ends with the token it is given. An error is logged and the next
//! round tries again: nothing here is needed for correctness of a single
//! answer.

use std::time::Duration;

use sea_orm::DbErr;
use tidegate_protocol::code::ErrorCode;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits::{STREAMS_PER_STEP, SWEEP_COMMANDS, TRIM_POSITIONS};
use crate::state::AppState;
use crate::store;
use crate::store::head::Trimmable;

/// How often due commands are looked for: an expiry is journalled within 1 s.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

/// How often the heads of followed streams are read again. Well below the
/// shortest heartbeat (10 s), so that a heartbeat names true heads.
const HEADS_INTERVAL: Duration = Duration::from_secs(4);

/// How often the write-ahead log is folded into the database.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// Rows one retention step removes.
const RETENTION_ROWS: u64 = 500;

/// Starts all recurring work.
pub fn start(state: &AppState, tasks: &TaskTracker, stop: &CancellationToken) {
    let behind = Duration::from_millis(state.config.session.behind_ms);
    let trim = Duration::from_secs(state.config.journal.trim_interval_s);
    tasks.spawn(every(SWEEP_INTERVAL, stop.clone(), state.clone(), "sweep", sweep));
    tasks.spawn(every(behind, stop.clone(), state.clone(), "write behind", flush));
    tasks.spawn(every(HEADS_INTERVAL, stop.clone(), state.clone(), "heads", refresh_heads));
    tasks.spawn(every(CHECKPOINT_INTERVAL, stop.clone(), state.clone(), "checkpoint", checkpoint));
    tasks.spawn(every(trim, stop.clone(), state.clone(), "retention", retain));
    let auth = state.auth.clone();
    let auth_stop = stop.clone();
    tasks.spawn(async move { auth.keep_fresh(auth_stop).await });
}

async fn every<F>(
    interval: Duration,
    stop: CancellationToken,
    state: AppState,
    what: &'static str,
    work: impl Fn(AppState) -> F,
) where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // Not cancelled half-way: each step is short, and a write that was
        // submitted should be waited for.
        if let Err(error) = work(state.clone()).await {
            tracing::warn!(%error, work = what, "recurring work failed; it is tried again");
        }
    }
}

/// Ends and retries commands whose time has come.
async fn sweep(state: AppState) -> anyhow::Result<()> {
    loop {
        let now = state.clock.now().millis();
        let due = store::command::due(state.store.readers(), now, SWEEP_COMMANDS).await?;
        let is_last = due.len() < usize::try_from(SWEEP_COMMANDS)?;
        if !due.is_empty() {
            state.ingest.sweep(due).await?;
        }
        if is_last {
            return Ok(());
        }
    }
}

async fn flush(state: AppState) -> anyhow::Result<()> {
    Ok(state.ingest.flush_behind().await?)
}

async fn checkpoint(state: AppState) -> anyhow::Result<()> {
    Ok(state.store.checkpoint().await?)
}

/// Reads the heads of all streams followed here. A wake-up that was lost, or
/// that another node's commit never gave, is only late.
async fn refresh_heads(state: AppState) -> anyhow::Result<()> {
    let watched = state.hub.watched_streams();
    for names in watched.chunks(usize::try_from(STREAMS_PER_STEP)?) {
        for (name, head) in store::head::load(state.store.readers(), names).await? {
            state.hub.advance(&name, tidegate_protocol::id::Seq::new(head.seq));
        }
    }
    Ok(())
}

/// Removes what had its time.
async fn retain(state: AppState) -> anyhow::Result<()> {
    trim(&state).await?;
    forget_commands(&state).await?;
    forget_devices(&state).await?;
    let now = state.clock.now().millis();
    let stale_ms = i64::from(state.config.push.stale_after_d) * DAY_MS;
    store::device::mark_stale(state.store.writer(), now - stale_ms).await?;
    store::idempotency::remove_expired(state.store.writer(), now).await?;
    Ok(())
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Trims journals by age and by count, oldest first.
async fn trim(state: &AppState) -> Result<(), DbErr> {
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
    state: &AppState,
    stream: &Trimmable,
    cutoff: i64,
    kept: i64,
) -> Result<(), DbErr> {
    let by_count = stream.seq - kept;
    let by_age = last_before(state, stream, cutoff).await?;
    let upto = by_count.max(by_age);
    let mut trimmed = stream.trimmed;
    while trimmed < upto {
        let tx = state.store.begin_write().await?;
        let (reached, removed) =
            store::journal::remove_upto(&tx, &stream.stream, trimmed, upto, TRIM_POSITIONS).await?;
        store::head::set_trimmed(&tx, &stream.stream, reached).await?;
        tx.commit().await?;
        state.metrics.entries_trimmed.inc_by(removed);
        trimmed = reached;
    }
    Ok(())
}

/// The last position older than `cutoff`, by bisection: times do not fall
/// along a stream.
async fn last_before(state: &AppState, stream: &Trimmable, cutoff: i64) -> Result<i64, DbErr> {
    let (mut older, mut newer) = (stream.trimmed, stream.seq + 1);
    while newer - older > 1 {
        let middle = older + (newer - older) / 2;
        let at = store::journal::time_at(state.store.readers(), &stream.stream, middle).await?;
        if at.is_some_and(|at| at < cutoff) {
            older = middle;
        } else {
            newer = middle;
        }
    }
    Ok(older)
}

/// Forgets commands closed long ago, with their timelines.
async fn forget_commands(state: &AppState) -> Result<(), DbErr> {
    let days = i64::from(state.config.journal.command_retention_d);
    let before = state.clock.now().millis() - days * DAY_MS;
    loop {
        let db = state.store.readers();
        let ids = store::command::closed_before(db, before, RETENTION_ROWS).await?;
        if ids.is_empty() {
            return Ok(());
        }
        let tx = state.store.begin_write().await?;
        store::event::remove_of(&tx, &ids).await?;
        store::outcome::remove_of(&tx, &ids).await?;
        store::command::remove(&tx, &ids).await?;
        tx.commit().await?;
    }
}

/// Removes devices that were not seen for long; what was addressed to them is
/// cancelled.
async fn forget_devices(state: &AppState) -> anyhow::Result<()> {
    let days = i64::from(state.config.journal.device_retention_d);
    let before = state.clock.now().millis() - days * DAY_MS;
    loop {
        let db = state.store.readers();
        let unseen = store::device::unseen_since(db, before, RETENTION_ROWS).await?;
        if unseen.is_empty() {
            return Ok(());
        }
        for device in unseen {
            if state.hub.is_online(&device.user_id, &device.device_id) {
                // It is here, only silent: pongs are not stored.
                let now = state.clock.now();
                let batch = std::slice::from_ref(&device);
                store::device::touch(state.store.writer(), batch, now.millis()).await?;
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
