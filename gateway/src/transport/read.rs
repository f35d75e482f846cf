//! From what a session wants read to what is to be sent: the one way, for the
//! socket, the poll and the simulation.

use std::sync::Arc;

use sea_orm::DbErr;
use tidegate_protocol::command::Channel;
use tidegate_protocol::id::{Seq, UserId};
use tidegate_protocol::server::{ServerMessage, Snapshot};
use tidegate_protocol::time::Timestamp;

use crate::ingest::behind::Behind;
use crate::journal::frame::EventsFrame;
use crate::journal::read::{self, Page, Read};
use crate::journal::ring::Stretch;
use crate::journal::snapshot::{self, Reading, SnapshotPage};
use crate::journal::{Attempt, Viewer};
use crate::metrics::Metrics;
use crate::metrics::label::JournalSource;
use crate::session::stream::{Phase, StreamState};
use crate::session::{ReadPlan, ReadWhat, Session};
use crate::store::Store;
use crate::store::portion::Cost;
use crate::transport::open;

/// Reads for one device.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// The database.
    pub store: &'a Store,
    /// Where it is noted what was sent.
    pub behind: &'a Behind,
    /// Figures.
    pub metrics: &'a Metrics,
    /// Whose device.
    pub user_id: &'a UserId,
    /// Which device, and what it can carry out.
    pub viewer: &'a Viewer,
    /// What carries what is read.
    pub channel: Channel,
    /// Now.
    pub now: Timestamp,
    /// Items on a page of current state at most.
    pub items: usize,
    /// Days of health data that are current.
    pub days: u32,
}

/// What was found where a plan said to look. The session has not moved yet.
#[derive(Debug)]
pub enum Found {
    /// A stretch of the journal.
    Page(Page),
    /// A page of current state.
    Snapshot(SnapshotPage),
    /// The client must begin anew.
    Overtaken,
}

/// What is to be done after the session has moved.
#[derive(Debug)]
pub enum Fed {
    /// This is to be sent.
    Events(Arc<EventsFrame>),
    /// This is to be sent.
    Snapshot(Box<SentSnapshot>),
    /// Nothing in the stretch concerns the device.
    Silent,
    /// A head was announced that is not stored.
    Nothing,
    /// The client must begin anew.
    Overtaken,
}

/// A page of current state to be sent.
#[derive(Debug)]
pub struct SentSnapshot {
    /// The frame.
    pub message: ServerMessage,
    /// How many items it has.
    pub items: usize,
    /// Commands among them.
    pub commands: Vec<Attempt>,
    /// The position as of which it is.
    pub seq: Seq,
}

impl Reader<'_> {
    /// Looks among the entries just committed; `None` if the database has to be
    /// asked.
    pub fn ready(&self, session: &Session, plan: &ReadPlan) -> Option<Found> {
        let stream = &session.streams()[plan.index];
        let ReadWhat::Events(room) = plan.what else { return None };
        let stretch = Stretch { stream: &stream.id, sent: stream.sent, after: stream.read, room };
        let page = stream.watch.topic().ring().read(&stretch, self.viewer, self.now)?;
        self.metrics.journal_reads.of(JournalSource::Ring).inc();
        Some(Found::Page(page))
    }

    /// Asks the database.
    pub async fn stored(&self, stream: &StreamState, what: &ReadWhat) -> Result<Found, DbErr> {
        let (found, cost) = match what {
            ReadWhat::Events(room) => {
                self.metrics.journal_reads.of(JournalSource::Database).inc();
                let (sent, after) = (stream.sent, stream.read);
                let stretch = Stretch { stream: &stream.id, sent, after, room: *room };
                match read::stretch(self.store, &stretch, self.viewer, self.now).await? {
                    Read::Page(page) => {
                        stream.watch.advance(page.head);
                        let cost = page.cost;
                        (Found::Page(page), cost)
                    }
                    Read::Overtaken => (Found::Overtaken, Cost::default()),
                }
            }
            ReadWhat::Snapshot(at) => {
                let reading = Reading {
                    store: self.store,
                    stream: &stream.id,
                    viewer: self.viewer,
                    now: self.now,
                    days: self.days,
                };
                let page = snapshot::snapshot(reading, at, self.items).await?;
                let cost = page.cost;
                (Found::Snapshot(page), cost)
            }
        };
        open::count(self.metrics, cost);
        Ok(found)
    }

    /// Moves the session past what was found, and notes what will be sent.
    pub fn feed(&self, session: &mut Session, plan: &ReadPlan, found: Found) -> Fed {
        match found {
            Found::Page(page) if page.upto <= session.streams()[plan.index].read => Fed::Nothing,
            Found::Page(page) => {
                session.read(plan.index, page.upto, page.frame.as_deref());
                let Some(frame) = page.frame else { return Fed::Silent };
                if !frame.commands.is_empty() {
                    self.note(frame.commands.iter().map(|command| command.attempt.clone()));
                }
                Fed::Events(frame)
            }
            Found::Snapshot(page) => {
                let stream = &session.streams()[plan.index];
                let Phase::Snapshot { seq, .. } = stream.phase else { return Fed::Silent };
                let SnapshotPage { items, commands, next, .. } = page;
                let count = items.len();
                let (last, id) = (next.is_none(), stream.id.clone());
                let snapshot = Snapshot { stream: id.name, epoch: id.epoch, seq, items, last };
                self.note(commands.iter().cloned());
                session.read_snapshot(plan.index, next);
                let message = ServerMessage::Snapshot(snapshot);
                Fed::Snapshot(Box::new(SentSnapshot { message, items: count, commands, seq }))
            }
            Found::Overtaken => Fed::Overtaken,
        }
    }

    /// Reads what the plan names, and moves the session past it.
    pub async fn step(
        &self,
        session: &mut Session,
        plan: &ReadPlan,
        try_ring: bool,
    ) -> Result<Fed, DbErr> {
        let ready = if try_ring { self.ready(session, plan) } else { None };
        let found = match ready {
            Some(found) => found,
            None => self.stored(&session.streams()[plan.index], &plan.what).await?,
        };
        Ok(self.feed(session, plan, found))
    }

    fn note(&self, commands: impl Iterator<Item = Attempt>) {
        let device = open::device_key(self.user_id, &self.viewer.device_id);
        self.behind.sent(&device, commands, self.channel, self.now);
    }
}
