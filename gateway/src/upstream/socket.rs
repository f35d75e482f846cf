//! The upstream socket: kept up with growing waits, given up for a while when
//! it cannot be had, and repaired by a poll, because it has no replay.

use std::time::Duration;

use futures_util::FutureExt;
use tidegate_entity::sync_state;
use tidegate_protocol::time::Timestamp;
use tidegate_services::atom::message::Message;
use tidegate_services::atom::rate::SlidingWindow;
use tidegate_services::atom::socket::{AtomSocket, SocketEvent, SocketOptions};

use crate::ingest::market::{Fact, Observed, Said};
use crate::metrics::label::UpstreamMessage;
use crate::store;
use crate::store::market::SKILL;
use crate::upstream::facts;
use crate::upstream::lead::{LOOK, Leader};
use crate::upstream::listing::{Failure, jittered};
use crate::upstream::status::{change, request};

/// Messages stored with one commit: what came while the last one was under
/// way.
const MESSAGES: usize = 100;

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
    let mut waits = Waits::default();
    while !leader.over.is_cancelled() {
        let Ok(row) = store::sync_state::read(leader.state.store.readers()).await else {
            leader.wait(LOOK).await;
            continue;
        };
        let now = leader.state.clock.now();
        let is_held = row.next_attempt_at.is_some_and(|at| now.millis() < at);
        if !row.socket_enabled || is_held {
            pause(leader, LOOK).await;
            continue;
        }
        // Whoever was connected before may have missed something.
        let was_up = row.socket_connected_at.is_some();
        leader.state.metrics.upstream_attempts.inc();
        match leader.atom.connect(options(leader)).await {
            Ok(socket) => {
                waits = Waits::default();
                if note(leader, |row| up(row, now, was_up)).await.is_err() {
                    continue;
                }
                leader.state.metrics.upstream_connected.set(1);
                leader.hints.runs.notify_one();
                let reason = serve(leader, socket).await;
                leader.state.metrics.upstream_connected.set(0);
                tracing::info!(reason, "the marketplace's socket is down");
                let _ = note(leader, |row| down(row, reason)).await;
                if reason == RECONNECT {
                    continue;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the marketplace's socket cannot be had");
                let settings = leader.settings();
                let (attempts, fallback_s) = (settings.ws_attempts, settings.ws_fallback_s);
                let failed = move |row: &mut sync_state::Model| {
                    failed(row, error.as_str(), attempts, now, fallback_s);
                };
                let _ = note(leader, failed).await;
            }
        }
        pause(leader, waits.next(&leader.settings().backoff_ms)).await;
    }
    let _ = note(leader, |row| down(row, OVER)).await;
}

/// The waits between attempts: the last one over and over.
#[derive(Debug, Default)]
struct Waits(usize);

impl Waits {
    fn next(&mut self, schedule_ms: &[u64]) -> Duration {
        let wait_ms = schedule_ms.get(self.0).or(schedule_ms.last()).copied();
        self.0 += 1;
        jittered(wait_ms.unwrap_or(1_000))
    }
}

/// Waits, unless an operator changes what the socket may do.
async fn pause(leader: &Leader, time: Duration) {
    tokio::select! {
        biased;
        () = leader.over.cancelled() => {}
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
    work: impl FnOnce(&mut sync_state::Model) + Send,
) -> Result<(), Failure> {
    change(&leader.state, &leader.fence, work).await
}

fn up(row: &mut sync_state::Model, now: Timestamp, was_up: bool) {
    row.socket_connected = true;
    row.socket_connected_at = Some(now.millis());
    row.socket_attempts = 0;
    row.socket_failures = 0;
    row.fallback_to_polling = false;
    row.next_attempt_at = None;
    row.socket_reason = None;
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

fn failed(
    row: &mut sync_state::Model,
    reason: &str,
    attempts: u32,
    now: Timestamp,
    fallback_s: u32,
) {
    row.socket_connected = false;
    row.socket_attempts += 1;
    row.socket_failures += 1;
    row.socket_reason = Some(format!("connection_error: {reason}"));
    if row.socket_failures >= i64::from(attempts) {
        row.fallback_to_polling = true;
        row.socket_failures = 0;
        row.next_attempt_at = Some(now.millis() + i64::from(fallback_s) * 1000);
    }
}

/// Takes in what the socket brings, until it ends; why it did.
async fn serve(leader: &Leader, mut socket: AtomSocket) -> &'static str {
    let mut inbox = Inbox::new(leader);
    loop {
        let event = tokio::select! {
            biased;
            () = leader.over.cancelled() => {
                socket.close().await;
                return OVER;
            }
            () = leader.hints.socket.notified() => {
                match told(leader).await {
                    Some(reason) => {
                        socket.close().await;
                        return reason;
                    }
                    None => continue,
                }
            }
            event = socket.next() => event,
        };
        if let Some(reason) = inbox.take(event) {
            return reason;
        }
        // What came in the meantime goes into the same commit.
        let mut ended = None;
        while ended.is_none() && inbox.facts.len() < MESSAGES {
            let Some(event) = socket.next().now_or_never() else { break };
            ended = inbox.take(event);
        }
        if inbox.store().await.is_err() && !leader.over.is_cancelled() {
            // What was not stored is repaired by the poll.
            inbox.lost = true;
        }
        inbox.repair().await;
        if let Some(reason) = ended {
            return reason;
        }
    }
}

/// Why an operator wants the socket to end; `None` when nothing changed.
async fn told(leader: &Leader) -> Option<&'static str> {
    let row = store::sync_state::read(leader.state.store.readers()).await.ok()?;
    Some(if row.socket_enabled { RECONNECT } else { DISABLED })
}

/// Messages on their way to the writer.
struct Inbox<'a> {
    leader: &'a Leader,
    window: SlidingWindow,
    started: tokio::time::Instant,
    facts: Vec<Fact>,
    /// Whether something was left out, so that a poll must repair it.
    lost: bool,
}

impl<'a> Inbox<'a> {
    fn new(leader: &'a Leader) -> Self {
        let per_second = usize::try_from(leader.settings().ws_messages_per_s);
        let per_second = per_second.unwrap_or(usize::MAX);
        Self {
            leader,
            window: SlidingWindow::new(per_second, Duration::from_secs(1)),
            started: tokio::time::Instant::now(),
            facts: Vec::new(),
            lost: false,
        }
    }

    /// Takes one event; why the socket ended, if it did.
    fn take(&mut self, event: SocketEvent) -> Option<&'static str> {
        if let SocketEvent::Closed(reason) = event {
            return Some(reason.as_str());
        }
        let at_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let counted = match event {
            _ if !self.window.accept(at_ms) => {
                self.lost = true;
                UpstreamMessage::Limited
            }
            SocketEvent::Message(message) => self.fact(message),
            SocketEvent::Invalid(error) => {
                tracing::warn!(%error, "a message of the marketplace is not valid");
                UpstreamMessage::Invalid
            }
            SocketEvent::Closed(_) => UpstreamMessage::Passed,
        };
        self.leader.state.metrics.upstream_messages.of(counted).inc();
        None
    }

    fn fact(&mut self, message: Message) -> UpstreamMessage {
        let as_of = self.leader.state.clock.now();
        let read = match message {
            Message::SkillUpdate { data, .. } => facts::skill(&data, as_of, true),
            Message::CategoryUpdate { data, .. } => facts::category(&data, as_of, true),
            Message::SkillDelete { skill_id, deleted_at } => {
                Ok(facts::gone(SKILL, skill_id, as_of, deleted_at))
            }
            Message::RatingUpdate { skill_id, average_rating, rating_count, .. } => {
                let rating_count = rating_count.and_then(|count| i64::try_from(count).ok());
                let said = Said::Rated { average_rating, rating_count };
                Ok(Fact { key: (SKILL.to_owned(), skill_id), as_of, said })
            }
            Message::Ping | Message::Pong | Message::Unknown => return UpstreamMessage::Passed,
        };
        match read {
            Ok(fact) => {
                self.facts.push(fact);
                UpstreamMessage::Taken
            }
            Err(error) => {
                tracing::warn!(%error, "a message of the marketplace is not valid");
                UpstreamMessage::Invalid
            }
        }
    }

    async fn store(&mut self) -> Result<(), Failure> {
        let facts = std::mem::take(&mut self.facts);
        if facts.is_empty() {
            return Ok(());
        }
        let observed = Observed {
            fence: self.leader.fence.clone(),
            facts,
            checkpoint: None,
            message_at: Some(self.leader.state.clock.now()),
        };
        facts::submit(self.leader, observed).await.map(drop)
    }

    /// Asks for a poll where something was left out.
    async fn repair(&mut self) {
        if !std::mem::take(&mut self.lost) {
            return;
        }
        let now = self.leader.state.clock.now().millis();
        if note(self.leader, |row| request(row, now)).await.is_err() {
            self.lost = true;
        }
        self.leader.hints.runs.notify_one();
    }
}
