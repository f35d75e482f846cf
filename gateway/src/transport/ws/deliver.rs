//! What a live session sends: pages from memory at once, others from the
//! database, a share at a time.

use tidegate_protocol::code::CloseReason;
use tidegate_protocol::command::Channel;
use tidegate_protocol::limits::PAGE_ENTRIES;
use tidegate_protocol::time::Timestamp;

use crate::error::ApiError;
use crate::hub::presence::Presence;
use crate::hub::signal::Order;
use crate::journal::Viewer;
use crate::journal::frame::EventsFrame;
use crate::metrics::label::FrameOut;
use crate::session::{Moment, ReadPlan};
use crate::state::AppState;
use crate::transport::read::{Fed, Found, Reader, SentSnapshot};
use crate::transport::ws::end::End;
use crate::transport::ws::live::Live;

/// Pages sent before the session listens again.
const PAGES_PER_TURN: usize = 8;

/// What a turn still has to do after the pages in memory.
enum Turn {
    /// Nothing.
    Done,
    /// To listen first.
    More,
    /// To write what was queued first.
    Write,
    /// To ask the database.
    Ask(ReadPlan),
}

/// The rest of a turn that has queued so many pages.
pub(super) struct Rest {
    turn: Turn,
    pages: usize,
}

impl Live {
    /// Queues the pages that memory holds. Most turns need no more than that to
    /// be written.
    pub(super) fn turn(&mut self, now: Moment) -> Result<Option<Box<Rest>>, End> {
        let mut pages = 0;
        let turn = self.at_hand(now, &mut pages)?;
        Ok((!matches!(turn, Turn::Done)).then(|| Box::new(Rest { turn, pages })))
    }

    /// Queues the pages that memory holds; what is to be done then.
    fn at_hand(&mut self, now: Moment, pages: &mut usize) -> Result<Turn, End> {
        while let Some(plan) = self.session.next_read(now) {
            // An answer goes before the entries that follow from it.
            if *pages >= PAGES_PER_TURN || self.work.has_answer() {
                return Ok(Turn::More);
            }
            if self.socket.is_full() {
                return Ok(Turn::Write);
            }
            *pages += 1;
            let Some(found) = self.reader(now.wall).ready(&self.session, &plan) else {
                return Ok(Turn::Ask(plan));
            };
            if matches!(self.take(&plan, found, now.wall)?, Fed::Nothing) {
                break;
            }
        }
        Ok(Turn::Done)
    }

    /// Sends what may be sent, up to a turn's share, and writes it in one go;
    /// whether there is more.
    pub(super) async fn deliver(&mut self, rest: Rest) -> Result<bool, End> {
        let Rest { mut turn, mut pages } = rest;
        let more = loop {
            match turn {
                Turn::Done => break false,
                Turn::More => break true,
                Turn::Write => self.socket.flush().await?,
                Turn::Ask(plan) => {
                    let found = self.stored(&plan).await?;
                    match self.take(&plan, found, self.state.clock.now())? {
                        Fed::Snapshot(page) => {
                            self.send_snapshot(*page).await?;
                            break true;
                        }
                        Fed::Nothing => break false,
                        Fed::Events(_) | Fed::Silent | Fed::Overtaken => {}
                    }
                }
            }
            turn = self.at_hand(self.state.now(), &mut pages)?;
        };
        self.socket.flush().await?;
        Ok(more)
    }

    /// Moves past what was found, and queues what of it is entries.
    fn take(&mut self, plan: &ReadPlan, found: Found, now: Timestamp) -> Result<Fed, End> {
        if self.signal.order() == Some(Order::Close(CloseReason::Overtaken)) {
            // It may pass over what the device has become eligible for.
            return Err(CloseReason::Overtaken.into());
        }
        let reader = reader(&self.state, &self.viewer, &self.presence, now);
        let fed = reader.feed(&mut self.session, plan, found);
        match &fed {
            Fed::Events(frame) => self.queue(frame),
            Fed::Nothing => tracing::warn!("a head was announced that is not stored"),
            Fed::Overtaken => return Err(CloseReason::Overtaken.into()),
            Fed::Snapshot(_) | Fed::Silent => {}
        }
        Ok(fed)
    }

    fn reader(&self, now: Timestamp) -> Reader<'_> {
        reader(&self.state, &self.viewer, &self.presence, now)
    }

    /// Reads from the database. What waits is written first: the read may take
    /// its time.
    async fn stored(&mut self, plan: &ReadPlan) -> Result<Found, End> {
        self.socket.flush().await?;
        let stream = &self.session.streams()[plan.index];
        let found = self.reader(self.state.clock.now()).stored(stream, &plan.what).await;
        found.map_err(|error| self.broken(&error))
    }

    fn queue(&mut self, frame: &EventsFrame) {
        self.socket.push(FrameOut::Events, &frame.frame);
        if let Some(committed) = frame.committed {
            self.state.metrics.delivery_seconds.observe(committed.elapsed().as_secs_f64());
        }
        self.unacked
            .extend(frame.commands.iter().map(|command| (command.seq, command.attempt.clone())));
    }

    /// Writes a page of current state: the next one is read when it is written.
    async fn send_snapshot(&mut self, page: SentSnapshot) -> Result<(), End> {
        self.socket.feed_message(&page.message, None).await?;
        self.socket.flush().await?;
        let at_head = page.commands.into_iter().map(|attempt| (page.seq, attempt));
        self.unacked.extend(at_head);
        Ok(())
    }

    /// The database failed: the client comes back and resumes.
    fn broken<E: std::fmt::Display + 'static>(&self, error: &E) -> End {
        tracing::debug!(session.id = %self.id, "session could not read the journal");
        ApiError::internal(error).close_reason().into()
    }
}

/// Reads for the device of a session.
fn reader<'a>(
    state: &'a AppState,
    viewer: &'a Viewer,
    presence: &'a Presence,
    now: Timestamp,
) -> Reader<'a> {
    Reader {
        store: &state.store,
        behind: state.ingest.behind(),
        metrics: &state.metrics,
        user_id: &presence.key().user_id,
        viewer,
        channel: Channel::Socket,
        now,
        items: PAGE_ENTRIES,
        days: state.config.health.snapshot_d,
    }
}
