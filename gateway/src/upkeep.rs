//! The gateway's own recurring work: expiry and retries, what is written
//! late, retention, and the hints that heal a lost wake-up.
//!
//! Each task ends with the token it is given. An error is logged and the next
//! round tries again: nothing here is needed for correctness of a single
//! answer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tidegate_protocol::id::{Seq, StreamName};
use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::config::Config;
use crate::hub::Hub;
use crate::ingest::Ingest;
use crate::limits::{STREAMS_PER_STEP, SWEEP_COMMANDS};
use crate::metrics::Metrics;
use crate::store::device::DeviceKey;
use crate::store::{self, Store};
use crate::upkeep::turns::Turns;
use tidegate_clock::Clock;

pub mod history;
mod retention;
mod turns;
mod withdrawal;
pub mod writing;

/// How often due commands are looked for: an expiry is journalled within 1 s.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

/// How often the heads of followed streams are read again. Well below the
/// shortest heartbeat (10 s), so that a heartbeat names true heads.
const HEADS_INTERVAL: Duration = Duration::from_secs(4);

/// How often it is noted that devices with a live session are here: pongs are
/// not stored, and after a crash nothing else tells who was here last.
const PRESENCE_INTERVAL: Duration = Duration::from_mins(5);

/// How often the write-ahead log is folded into the database.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// What recurring work works with. Cloning copies one pointer.
#[derive(Clone)]
pub struct Handles(Arc<Parts>);

/// The handles.
pub struct Parts {
    /// The name of this node, the same after a restart.
    pub node: String,
    /// Settings.
    pub config: Config,
    /// The database.
    pub store: Store,
    /// The writer.
    pub ingest: Ingest,
    /// Who is connected.
    pub hub: Arc<Hub>,
    /// Wall time.
    pub clock: Clock,
    /// Figures.
    pub metrics: Metrics,
    /// Whose keys are kept fresh.
    pub auth: Authenticator,
}

impl Handles {
    /// Wraps the handles.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl std::ops::Deref for Handles {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// All recurring work, by name; each ends with `stop` and not before.
pub fn tasks(
    state: &Handles,
    stop: &CancellationToken,
) -> Vec<(&'static str, BoxFuture<'static, ()>)> {
    let behind = Duration::from_millis(state.config.session.behind_ms);
    let trim = Duration::from_secs(state.config.journal.trim_interval_s);
    let (auth, auth_stop) = (state.auth.clone(), stop.clone());
    let of = || (stop.clone(), state.clone());
    vec![
        ("sweep", every(SWEEP_INTERVAL, of(), "sweep", sweep).boxed()),
        ("write behind", every(behind, of(), "write behind", flush).boxed()),
        ("heads", every(HEADS_INTERVAL, of(), "heads", refresh_heads).boxed()),
        ("presence", every(PRESENCE_INTERVAL, of(), "presence", note_presence).boxed()),
        ("checkpoint", every(CHECKPOINT_INTERVAL, of(), "checkpoint", checkpoint).boxed()),
        ("withdrawal", withdrawal::withdrawal(state.clone(), stop.clone()).boxed()),
        ("retention", every(trim, of(), "retention", retention::retain).boxed()),
        ("history", history::watch(state.clone(), stop.clone()).boxed()),
        ("write probe", writing::watch(state.clone(), stop.clone()).boxed()),
        ("keys", async move { auth.keep_fresh(auth_stop).await }.boxed()),
    ]
}

async fn every<F>(
    interval: Duration,
    (stop, state): (CancellationToken, Handles),
    what: &'static str,
    work: impl Fn(Handles) -> F,
) where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut turns = Turns::every(interval, stop);
    let mut is_failing = false;
    while turns.next().await {
        // Not cancelled half-way: each step is short, and a write that was
        // submitted should be waited for.
        match work(state.clone()).await {
            // The first of a row: a full disk fails every round, and has no
            // room for as many lines.
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::warn!(%error, work = what, "recurring work fails; it is tried again");
            }
            Ok(()) if is_failing => {
                is_failing = false;
                tracing::info!(work = what, "recurring work goes on");
            }
            Err(_) | Ok(()) => {}
        }
    }
}

/// Ends and retries commands whose time has come.
async fn sweep(state: Handles) -> anyhow::Result<()> {
    loop {
        let now = state.clock.now().millis();
        let due = store::command::due(state.store.readers(), now, SWEEP_COMMANDS).await?;
        let is_last = due.len() < usize::try_from(SWEEP_COMMANDS)?;
        if !due.is_empty() {
            state.ingest.settle_due(due).await?;
        }
        if is_last {
            return Ok(());
        }
    }
}

async fn flush(state: Handles) -> anyhow::Result<()> {
    Ok(state.ingest.flush_behind().await?)
}

/// Notes that the devices with a live session here were seen.
async fn note_presence(state: Handles) -> anyhow::Result<()> {
    for online in state.hub.online_devices() {
        let (user_id, device_id) = (online.user_id.to_string(), online.device_id.to_string());
        state.ingest.behind().seen(&DeviceKey { user_id, device_id });
    }
    Ok(())
}

async fn checkpoint(state: Handles) -> anyhow::Result<()> {
    Ok(state.store.checkpoint().await?)
}

/// Reads the heads of all streams followed here. A wake-up that was lost, or
/// that another node's commit never gave, is only late.
async fn refresh_heads(state: Handles) -> anyhow::Result<()> {
    let watched = state.hub.watched_streams();
    let mut behind = Vec::new();
    for names in watched.chunks(usize::try_from(STREAMS_PER_STEP)?) {
        for (name, head) in store::head::load(state.store.readers(), names).await? {
            // Where it is another process, its history may have gone back; or
            // a commit came between. The writer looks closer.
            if !state.store.is_embedded()
                && state.hub.head(&name).is_some_and(|known| known > head.seq)
            {
                behind.push(StreamName::parse(&name)?);
                continue;
            }
            state.hub.observe(&name, &head.epoch, Seq::new(head.seq));
        }
    }
    if !behind.is_empty() {
        state.ingest.ensure(behind).await?;
    }
    Ok(())
}
