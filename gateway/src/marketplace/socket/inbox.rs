//! Messages on their way to the writer: counted, limited, and repaired by a
//! poll where one was left out.

use std::time::Duration;

use tidegate_entity::market_item::Kind;
use tidegate_services::atom::message::Message;
use tidegate_services::atom::rate::SlidingWindow;
use tidegate_services::atom::socket::SocketEvent;
use tokio::time::Instant;

use crate::ingest::market::{Fact, Observed, Said};
use crate::marketplace::Work;
use crate::marketplace::facts;
use crate::marketplace::lead::Leader;
use crate::marketplace::listing::Failure;
use crate::marketplace::status::{change, request};
use crate::metrics::label::UpstreamMessage;

/// Messages stored with one commit: what came while the last one was under
/// way.
const MESSAGES: usize = 100;

/// Between two polls that repair: an upstream that says too much all the time
/// is not listed without a pause.
const REPAIR_GAP: Duration = Duration::from_secs(30);

/// Messages on their way to the writer.
pub(super) struct Inbox<'a> {
    leader: &'a Leader,
    window: SlidingWindow,
    started: Instant,
    facts: Vec<Fact>,
    /// Whether something was left out, so that a poll must repair it.
    lost: bool,
    repaired_at: Option<Instant>,
    /// Whether anything came at all.
    pub(super) is_alive: bool,
}

impl<'a> Inbox<'a> {
    pub(super) fn new(leader: &'a Leader) -> Self {
        let per_second = usize::try_from(leader.settings().ws_messages_per_s);
        let per_second = per_second.unwrap_or(usize::MAX);
        Self {
            leader,
            window: SlidingWindow::new(per_second, Duration::from_secs(1)),
            started: Instant::now(),
            facts: Vec::new(),
            lost: false,
            repaired_at: None,
            is_alive: false,
        }
    }

    /// Takes one event; why the socket ended, if it did.
    pub(super) fn take(&mut self, event: SocketEvent) -> Option<&'static str> {
        if let SocketEvent::Closed(reason) = event {
            return Some(reason.as_str());
        }
        self.is_alive = true;
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
        self.leader.market.metrics.upstream_messages.of(counted).inc();
        None
    }

    fn fact(&mut self, message: Message) -> UpstreamMessage {
        let as_of = self.leader.market.clock.now();
        let read = match message {
            Message::SkillUpdate { data, .. } => facts::skill(&data, as_of, true),
            Message::CategoryUpdate { data, .. } => facts::category(&data, as_of, true),
            Message::SkillDelete { skill_id, deleted_at } => {
                Ok(facts::gone(Kind::Skill, skill_id, as_of, deleted_at))
            }
            Message::RatingUpdate {
                skill_id,
                average_rating,
                rating_count,
                updated_at,
                rating: _,
            } => {
                let rating_count = rating_count.and_then(|count| i64::try_from(count).ok());
                let said = Said::Rated { average_rating, rating_count, updated_at };
                Ok(Fact { key: (Kind::Skill, skill_id), as_of, said })
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

    /// Whether more fits into the next commit.
    pub(super) fn has_room(&self) -> bool {
        self.facts.len() < MESSAGES
    }

    /// Stores what was taken. What could not be is repaired by a poll.
    pub(super) async fn store(&mut self) {
        let facts = std::mem::take(&mut self.facts);
        if facts.is_empty() {
            return;
        }
        let observed = Observed {
            fence: self.leader.term.fence.clone(),
            facts,
            confirmed: None,
            checkpoint: None,
            message_at: Some(self.leader.market.clock.now()),
        };
        match facts::commit(self.leader, observed).await {
            Ok(_) | Err(Failure::Over) => {}
            Err(_) => self.lost = true,
        }
    }

    /// Asks for a poll where something was left out.
    pub(super) async fn repair(&mut self) {
        let is_early = self.repaired_at.is_some_and(|at| at.elapsed() < REPAIR_GAP);
        if !self.lost || is_early {
            return;
        }
        let now = self.leader.market.clock.now().millis();
        let asked = change(self.leader, |row| request(row, now)).await;
        self.lost = asked.is_err();
        self.repaired_at = Some(Instant::now());
        self.leader.hints.work.hasten(Work::Run, Instant::now());
    }
}
