//! The upstream socket: kept up with growing waits, given up for a while when
//! it cannot be had, and repaired by a poll, because it has no replay.

use std::time::Duration;

use futures_util::FutureExt;
use rand::Rng as _;
use tidegate_entity::sync_state;
use tidegate_protocol::time::Timestamp;
use tidegate_services::atom::socket::{AtomSocket, SocketOptions};
use tokio::time::{Instant, MissedTickBehavior};

use crate::marketplace::Work;
use crate::marketplace::lead::{LOOK, Leader};
use crate::marketplace::listing::{Failure, waits};
use crate::marketplace::socket::inbox::Inbox;
use crate::marketplace::status::{change, request};
use crate::retry::Waits;
use crate::store;

mod inbox;

/// After this a socket has shown that it can be had. One that ends before it
/// brought anything counts as an attempt that failed.
const PROVEN: Duration = Duration::from_secs(30);

/// Why the socket went down, as operators read it.
const DISABLED: &str = "disabled_by_admin";
const RECONNECT: &str = "manual_reconnect";
const OVER: &str = "node_stopped";
const NODE_LOST: &str = "node_lost";

/// Keeps the socket up while this node leads.
pub(super) async fn keep_up(leader: &Leader) {
    // A node that was killed could not say so.
    let _ = note(leader, |row| down(row, NODE_LOST)).await;
    if leader.settings().ws_url.is_empty() || !leader.settings().ws_enabled {
        return;
    }
    let mut attempts = Attempts::default();
    while !leader.term.over.is_cancelled() {
        let Ok(row) = store::sync_state::read(leader.market.store.readers()).await else {
            leader.wait(LOOK).await;
            continue;
        };
        let now = leader.market.clock.now();
        let is_held = row.next_attempt_at.is_some_and(|at| now.millis() < at)
            || !leader.patience_left().is_zero();
        if !row.socket_enabled || is_held {
            pause(leader, LOOK).await;
            continue;
        }
        // Whoever was connected before may have missed something.
        let was_up = row.socket_connected_at.is_some();
        let wait = attempt(leader, &mut attempts, was_up).await;
        pause(leader, wait).await;
    }
    let _ = note(leader, |row| down(row, OVER)).await;
}

/// Attempts that brought nothing, in a row.
#[derive(Debug, Default)]
struct Attempts(u32);

impl Attempts {
    /// The wait before the next one, at least `floor`: the last of the list over
    /// and over.
    fn wait(&self, waits: &Waits, floor: Duration) -> Duration {
        let before = usize::try_from(self.0.saturating_sub(1)).unwrap_or(usize::MAX);
        waits.wait_or_last(before, floor, rand::rng().random_range(0.0..1.0))
    }
}

/// One attempt, and the life of the socket if it can be had; how long to wait
/// before the next one.
async fn attempt(leader: &Leader, attempts: &mut Attempts, was_up: bool) -> Duration {
    let waits = &waits(leader.settings());
    leader.market.metrics.upstream_attempts.inc();
    let connected = tokio::select! {
        biased;
        () = leader.term.over.cancelled() => return Duration::ZERO,
        connected = leader.atom.connect(options(leader)) => connected,
    };
    let socket = match connected {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!(%error, "the marketplace's socket cannot be had");
            missed(leader, attempts, &format!("connection_error: {}", error.as_str())).await;
            leader.heed(error.retry).await;
            return attempts.wait(waits, Duration::ZERO);
        }
    };
    let now = leader.market.clock.now();
    if note(leader, |row| up(row, now, was_up)).await.is_err() {
        return attempts.wait(waits, LOOK);
    }
    leader.market.metrics.upstream_connected.set(1);
    leader.hints.work.hasten(Work::Run, Instant::now());
    let life = serve(leader, socket).await;
    leader.market.metrics.upstream_connected.set(0);
    tracing::info!(reason = life.reason, "the marketplace's socket is down");
    let is_wanted = [DISABLED, RECONNECT, OVER].contains(&life.reason);
    if life.is_proven || is_wanted {
        *attempts = Attempts::default();
        let _ = note(leader, |row| down(row, life.reason)).await;
    } else {
        missed(leader, attempts, life.reason).await;
    }
    if is_wanted { Duration::ZERO } else { attempts.wait(waits, Duration::ZERO) }
}

/// Notes an attempt that brought nothing; too many in a row, and only polling
/// is used for a while.
async fn missed(leader: &Leader, attempts: &mut Attempts, reason: &str) {
    attempts.0 += 1;
    let (settings, count) = (leader.settings(), attempts.0);
    let until = leader.market.clock.now().plus_millis(i64::from(settings.ws_fallback_s) * 1000);
    let falls_back = count >= settings.ws_attempts;
    let noted = note(leader, |row| failed(row, reason, count, falls_back.then_some(until)));
    if noted.await.is_ok() && falls_back {
        *attempts = Attempts::default();
    }
}

/// Waits, unless an operator changes what the socket may do.
async fn pause(leader: &Leader, time: Duration) {
    tokio::select! {
        biased;
        () = leader.term.over.cancelled() => {}
        () = leader.hints.socket.notified() => {}
        () = tokio::time::sleep(time) => {}
    }
}

fn options(leader: &Leader) -> SocketOptions {
    let settings = leader.settings();
    SocketOptions {
        heartbeat: Duration::from_secs(settings.ws_heartbeat_s),
        pong_timeout: Duration::from_secs(settings.ws_pong_timeout_s),
        ..SocketOptions::default()
    }
}

async fn note(
    leader: &Leader,
    work: impl Fn(&mut sync_state::Model) + Send + Sync,
) -> Result<(), Failure> {
    change(leader, work).await
}

fn up(row: &mut sync_state::Model, now: Timestamp, was_up: bool) {
    row.socket_connected = true;
    row.socket_connected_at = Some(now.millis());
    row.socket_attempts = 0;
    row.socket_failures = 0;
    row.fallback_to_polling = false;
    row.next_attempt_at = None;
    row.socket_reason = None;
    row.reconnect_requested_at = None;
    if was_up {
        request(row, now.millis());
    }
}

fn down(row: &mut sync_state::Model, reason: &str) {
    if row.socket_connected {
        row.socket_connected = false;
        row.socket_reason = Some(reason.to_owned());
    }
}

fn failed(row: &mut sync_state::Model, reason: &str, count: u32, until: Option<Timestamp>) {
    row.socket_connected = false;
    row.socket_attempts += 1;
    row.socket_failures = i64::from(count);
    row.socket_reason = Some(reason.to_owned());
    if let Some(until) = until {
        row.fallback_to_polling = true;
        row.socket_failures = 0;
        row.next_attempt_at = Some(until.millis());
    }
}

/// How a socket ended.
struct Life {
    reason: &'static str,
    is_proven: bool,
}

/// Takes in what the socket brings, until it ends.
async fn serve(leader: &Leader, mut socket: AtomSocket) -> Life {
    let (mut inbox, began) = (Inbox::new(leader), Instant::now());
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let reason = loop {
        let event = tokio::select! {
            biased;
            () = leader.term.over.cancelled() => break OVER,
            () = leader.hints.socket.notified() => None,
            _ = look.tick() => None,
            event = socket.next() => Some(event),
        };
        let Some(event) = event else {
            // Another node's operator cannot knock here.
            match told(leader).await {
                Some(reason) => break reason,
                None => inbox.repair().await,
            }
            continue;
        };
        let mut ended = inbox.take(event);
        // What came in the meantime goes into the same commit.
        while ended.is_none() && inbox.has_room() {
            let Some(event) = socket.next().now_or_never() else { break };
            ended = inbox.take(event);
        }
        inbox.store().await;
        inbox.repair().await;
        if let Some(reason) = ended {
            break reason;
        }
    };
    if [DISABLED, RECONNECT, OVER].contains(&reason) {
        socket.close().await;
    }
    Life { reason, is_proven: inbox.is_alive || began.elapsed() >= PROVEN }
}

/// Why an operator wants the socket to end; `None` when nothing changed, or
/// cannot be read: it is looked at again soon.
async fn told(leader: &Leader) -> Option<&'static str> {
    let row = store::sync_state::read(leader.market.store.readers()).await.ok()?;
    if !row.socket_enabled {
        return Some(DISABLED);
    }
    row.reconnect_requested_at.map(|_| RECONNECT)
}
