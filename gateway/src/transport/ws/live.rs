//! A live session: one loop that delivers, listens and keeps time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tidegate_entity::device;
use tidegate_protocol::code::CloseReason;
use tidegate_protocol::command::Channel;
use tidegate_protocol::id::{Seq, UserId};
use tidegate_protocol::limits::PAGE_ENTRIES;
use tidegate_protocol::server::{AuthOk, Drain, Ping, ServerMessage};
use tidegate_protocol::time::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::ApiError;
use crate::hub::presence::Presence;
use crate::hub::signal::{Order, Signal};
use crate::journal::frame::EventsFrame;
use crate::journal::{Attempt, Viewer};
use crate::metrics::label::{FrameOut, SocketEnd};
use crate::session::stream::Head as _;
use crate::session::{Due, Moment, ReadPlan, Session};
use crate::state::AppState;
use crate::store::device::DeviceKey;
use crate::transport::open;
use crate::transport::read::{Fed, Found, Reader, SentSnapshot};
use crate::transport::ws::end::End;
use crate::transport::ws::socket::{Incoming, Socket};
use crate::transport::ws::work::{Parsed, Work};

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

/// A session with its socket.
pub(super) struct Live {
    pub(super) state: AppState,
    pub(super) socket: Socket,
    pub(super) session: Session,
    pub(super) signal: Arc<Signal>,
    pub(super) viewer: Viewer,
    /// Commands delivered and not acked, by their position; bounded by the
    /// window, and by the commands a user may have pending. Takes no memory
    /// while everything is acked.
    pub(super) unacked: VecDeque<(Seq, Attempt)>,
    /// Frames that are not answered yet.
    pub(super) work: Work,
    presence: Presence,
    id: Uuid,
}

impl Live {
    /// A session that has said `welcome`.
    pub(super) fn new(
        state: AppState,
        socket: Socket,
        session: Session,
        signal: Arc<Signal>,
        presence: Presence,
        device: &device::Model,
        id: Uuid,
    ) -> Box<Self> {
        let viewer = Viewer {
            device_id: presence.key().device_id.clone(),
            capabilities: device.capabilities.clone(),
        };
        Box::new(Self {
            state,
            socket,
            session,
            signal,
            viewer,
            unacked: VecDeque::new(),
            work: Work::default(),
            presence,
            id,
        })
    }

    /// Whose session it is.
    pub(super) const fn user_id(&self) -> &UserId {
        &self.presence.key().user_id
    }

    /// The device as the store knows it. Made when it is needed: an idle
    /// session need not keep it.
    pub(super) fn device(&self) -> DeviceKey {
        let key = self.presence.key();
        open::device_key(&key.user_id, &key.device_id)
    }

    /// Lives until the end and closes. What is awaited here and in
    /// [`Self::live`] is memory of every idle session: rare work is boxed.
    pub(super) async fn run(mut self: Box<Self>) {
        self.state.metrics.sessions.inc();
        let end = self.live().await;
        self.state.metrics.sessions.dec();
        Box::pin(self.finish(end)).await;
    }

    async fn finish(self: Box<Self>, end: End) {
        let device = self.device();
        let Self { state, socket, presence, session, id, .. } = *self;
        // The next session of the device must not find this one any more.
        drop((presence, session));
        state.ingest.behind().seen(&device);
        let counted = match end {
            End::Close(reason) => SocketEnd::Closed(reason),
            End::Gone => SocketEnd::Peer,
            End::Lost => SocketEnd::Lost,
        };
        state.metrics.sockets_closed.of(counted).inc();
        let wait = Duration::from_millis(state.config.session.close_timeout_ms);
        match end {
            End::Close(reason) => {
                tracing::debug!(session.id = %id, %reason, "session closed");
                socket.close(reason, wait).await;
            }
            End::Gone => socket.answer_close(wait).await,
            End::Lost => {}
        }
    }

    async fn live(&mut self) -> End {
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        let mut timer_due = Instant::now();
        loop {
            let now = self.state.now();
            let mut pages = 0;
            let delivered = match self.at_hand(now, &mut pages) {
                Ok(Turn::Done) => self.socket.flush().await.map(|()| false).map_err(End::from),
                // Boxed: it is done while the session is idle.
                Ok(turn) => Box::pin(self.deliver(turn, pages)).await,
                Err(end) => Err(end),
            };
            let more = match delivered {
                Ok(more) => more,
                Err(end) => return end,
            };
            let due_ms = now.mono_ms.saturating_add(self.session.due_in_ms(now));
            let due = self.state.started + Duration::from_millis(due_ms);
            // Firing early is harmless, so the timer moves only forward in
            // time when something became due sooner.
            if due < timer_due || timer.is_elapsed() {
                timer.as_mut().reset(due);
                timer_due = due;
            }
            let listens = self.work.has_room();
            if !listens {
                // It is not the client that is silent.
                self.session.excuse(now);
            }
            let turn = tokio::select! {
                // An order comes before what the client says: a replaced
                // session must not act any more. Then what was said before,
                // and the client, so that acks open the window. Then time, and
                // then what else there is to send: a long snapshot must not
                // keep the session from hearing.
                biased;
                () = self.signal.woken() => match self.signal.order() {
                    None => Ok(()),
                    Some(order) => Box::pin(self.obey(order)).await,
                },
                next = self.work.next() => Box::pin(self.go_on(next)).await,
                incoming = self.socket.next(), if listens => match self.hear(incoming) {
                    Ok(None) => Ok(()),
                    // Boxed: an idle session must not have room for it.
                    Ok(Some(frame)) => Box::pin(self.act(*frame)).await,
                    Err(end) => Err(end),
                },
                () = &mut timer => Box::pin(self.keep_time()).await,
                () = std::future::ready(()), if more => Ok(()),
            };
            if let Err(end) = turn {
                return end;
            }
        }
    }

    /// Acts on an order: every one ends the session.
    async fn obey(&mut self, order: Order) -> Result<(), End> {
        match order {
            Order::Close(CloseReason::Drain) => {
                let window_ms = self.state.config.drain.reconnect_window_ms;
                let reconnect_after_ms = rand::rng().random_range(0..=window_ms);
                let drain = ServerMessage::Drain(Drain { reconnect_after_ms });
                self.socket.feed_message(&drain, None).await?;
                Err(CloseReason::Drain.into())
            }
            Order::Close(reason) => Err(reason.into()),
        }
    }

    /// Takes what the client said; a frame that is still to be acted on.
    fn hear(&mut self, incoming: Incoming) -> Result<Option<Box<Parsed>>, End> {
        if !matches!(incoming, Incoming::Gone) && !self.session.heard(self.state.now()) {
            return Err(CloseReason::TooManyFrames.into());
        }
        match incoming {
            Incoming::Frame(text) => self.frame(&text),
            Incoming::Alive => Ok(None),
            Incoming::Refused(reason) => Err(reason.into()),
            Incoming::Gone => Err(End::Gone),
        }
    }

    async fn keep_time(&mut self) -> Result<(), End> {
        while let Some(due) = self.session.due(self.state.now()) {
            match due {
                Due::Heartbeat => self.heartbeat().await?,
                Due::AuthExpiring => {
                    let expires_at = self.session.token_ends();
                    let warning = ServerMessage::AuthExpiring(AuthOk { expires_at });
                    self.socket.feed_message(&warning, None).await?;
                    self.socket.flush().await?;
                }
                Due::Close(reason) => return Err(reason.into()),
            }
        }
        Ok(())
    }

    /// Catches up with the heads known before, announces what was read
    /// silently, and names those heads.
    async fn heartbeat(&mut self) -> Result<(), End> {
        let heads: Vec<Seq> =
            self.session.streams().iter().map(|stream| stream.watch.head()).collect();
        for (head, stream) in heads.iter().zip(self.session.streams()) {
            let lag = head.get().saturating_sub(stream.read.get());
            #[expect(clippy::cast_precision_loss, reason = "a figure for a histogram")]
            self.state.metrics.journal_lag_entries.observe(lag.max(0) as f64);
        }
        let mut pages = 0;
        let turn = self.at_hand(self.state.now(), &mut pages)?;
        self.deliver(turn, pages).await?;
        // Entries kept ready were read by now: thousands of idle users must
        // not keep them. Another session of the user reads the database.
        for stream in self.session.streams().iter().filter(|s| s.id.name.owner().is_some()) {
            stream.watch.topic().ring().clear();
        }
        for (id, prev, seq) in self.session.announce() {
            let empty = EventsFrame::build(&id, prev, seq, &[]);
            self.socket.feed(FrameOut::Events, &empty.frame).await?;
        }
        let streams = self.session.streams().iter();
        let named = heads
            .into_iter()
            .zip(streams)
            .map(|(head, stream)| (stream.id.name.clone(), stream.head_to_name(head)));
        let ping = ServerMessage::Ping(Ping { heads: named.collect() });
        self.socket.feed_message(&ping, None).await?;
        self.socket.flush().await?;
        Ok(())
    }

    /// Queues the pages that memory holds; what is to be done then. Not async:
    /// most turns need nothing more, and an idle session no memory for it.
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
    async fn deliver(&mut self, mut turn: Turn, mut pages: usize) -> Result<bool, End> {
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
    }
}
