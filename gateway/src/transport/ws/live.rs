//! A live session: one loop that delivers, listens and keeps time.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rand::Rng;
use tidegate_entity::device;
use tidegate_protocol::code::CloseReason;
use tidegate_protocol::id::{Seq, UserId};
use tidegate_protocol::server::{AuthOk, Drain, Ping, ServerMessage};
use tokio::time::Sleep;
use uuid::Uuid;

use crate::hub::presence::Presence;
use crate::hub::signal::{Order, Signal};
use crate::journal::frame::EventsFrame;
use crate::journal::{Attempt, Viewer};
use crate::metrics::label::{FrameOut, SocketEnd};
use crate::session::stream::Head as _;
use crate::session::{Due, Moment, Session};
use crate::state::AppState;
use crate::store::device::DeviceKey;
use crate::transport::open;
use crate::transport::ws::end::End;
use crate::transport::ws::socket::{Incoming, Socket};
use crate::transport::ws::work::{Next, Parsed, Work};

/// What a session waited for.
enum Event {
    /// Something may be new, or an order was given.
    Woken,
    /// A frame is to be answered or acted on.
    Next(Box<Next>),
    /// The client said something.
    Heard(Incoming),
    /// Something is due by time.
    Due,
    /// There was more to send all the time.
    More,
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
    pub(super) presence: Presence,
    pub(super) id: Uuid,
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

    /// Lives until the end and closes. What is held over an await here and in
    /// [`Self::live`] is memory of every idle session: what is rare is boxed.
    pub(super) async fn run(mut self: Box<Self>) {
        self.state.metrics.sessions.inc();
        let end = self.live().await;
        self.state.metrics.sessions.dec();
        self.finish(end).boxed().await;
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
        let mut timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        loop {
            let now = self.state.now();
            let delivered = match self.turn(now) {
                Ok(None) => {
                    self.set_timer(timer.as_mut(), now);
                    self.socket.flush().await.map(|()| false).map_err(End::from)
                }
                Ok(Some(rest)) => {
                    let delivered = self.deliver(*rest).boxed().await;
                    self.set_timer(timer.as_mut(), self.state.now());
                    delivered
                }
                Err(end) => Err(end),
            };
            let more = match delivered {
                Ok(more) => more,
                Err(end) => return end,
            };
            if !self.work.has_room() {
                // It is not the client that is silent.
                self.session.excuse(self.state.now());
            }
            let event = poll_fn(|context| self.poll(timer.as_mut(), more, context)).await;
            let acted = match self.begin(event) {
                Ok(None) => Ok(()),
                Ok(Some(acting)) => acting.await,
                Err(end) => Err(end),
            };
            if let Err(end) = acted {
                return end;
            }
        }
    }

    /// Sets the timer. Firing early is harmless, so it is moved only where
    /// something became due sooner, or when it has fired.
    fn set_timer(&self, timer: Pin<&mut Sleep>, now: Moment) {
        let due_ms = now.mono_ms.saturating_add(self.session.due_in_ms(now));
        let due = self.state.started + Duration::from_millis(due_ms);
        if due < timer.deadline() || timer.is_elapsed() {
            timer.reset(due);
        }
    }

    /// An order comes before what the client says: a replaced session must not
    /// act any more. Then what was said before, and the client, so that acks
    /// open the window. Then time, and then what else there is to send: a long
    /// snapshot must not keep the session from hearing.
    ///
    /// One function and no `select!`, whose futures would be memory of every
    /// idle session.
    fn poll(
        &mut self,
        timer: Pin<&mut Sleep>,
        more: bool,
        context: &mut Context<'_>,
    ) -> Poll<Event> {
        if self.signal.poll_woken(context).is_ready() {
            return Poll::Ready(Event::Woken);
        }
        if let Poll::Ready(next) = self.work.poll(context) {
            return Poll::Ready(Event::Next(next));
        }
        if self.work.has_room()
            && let Poll::Ready(incoming) = self.socket.poll_next(context)
        {
            return Poll::Ready(Event::Heard(incoming));
        }
        if timer.poll(context).is_ready() {
            return Poll::Ready(Event::Due);
        }
        if more { Poll::Ready(Event::More) } else { Poll::Pending }
    }

    /// Takes what was waited for; what is still to be done about it.
    fn begin(&mut self, event: Event) -> Result<Option<BoxFuture<'_, Result<(), End>>>, End> {
        Ok(match event {
            Event::Woken => self.signal.order().map(|order| self.obey(order).boxed()),
            Event::Next(next) => Some(self.go_on(*next).boxed()),
            Event::Heard(incoming) => self.hear(incoming)?.map(|frame| self.act(*frame).boxed()),
            Event::Due => Some(self.keep_time().boxed()),
            Event::More => None,
        })
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
        if let Some(rest) = self.turn(self.state.now())? {
            self.deliver(*rest).await?;
        }
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
}
