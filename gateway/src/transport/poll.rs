//! The poll: the same session machine, driven for one answer.
//!
//! The opaque cursor carries the machine from one poll to the next: the
//! gateway keeps nothing for a device that polls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::command::Channel;
use tidegate_protocol::cursor::Cursor;
use tidegate_protocol::id::{DeviceId, Seq, StreamName, UserId};
use tidegate_protocol::rest::PollAnswer;
use tidegate_protocol::server::{ResetReason, StreamStatus, Verdict};
use tidegate_protocol::time::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::{ApiError, ApiResult};
use crate::hub::signal::Signal;
use crate::journal::frame::StreamId;
use crate::journal::{Viewer, read};
use crate::limits::POLL_ANSWER_BYTES;
use crate::session::stream::{Head as _, Phase};
use crate::session::verdict::Beginning;
use crate::session::window::Window;
use crate::session::{ReadWhat, Session};
use crate::state::AppState;
use crate::store;
use crate::store::device::DeviceKey;
use crate::store::head::Heads;
use crate::transport::open::{self, Wanted};
use crate::transport::read::{Fed, Reader};

mod cursor;

pub use cursor::{PollCursor, Position};

/// A checked poll.
#[derive(Clone, Debug)]
pub struct PollRequest {
    /// Whose device.
    pub user_id: UserId,
    /// Which device.
    pub device_id: DeviceId,
    /// How long to wait for something.
    pub wait: Duration,
    /// Entries and items in the answer at most.
    pub limit: usize,
    /// Shared streams.
    pub subscribe: Vec<StreamName>,
    /// What the device holds.
    pub position: Position,
    /// Cancelled when the device sends nothing more: it may have gone, and
    /// must not keep its place among the polls.
    pub finished: CancellationToken,
}

/// Answers a poll.
pub async fn poll(state: &AppState, request: PollRequest) -> ApiResult<PollAnswer> {
    let device = open::device_key(&request.user_id, &request.device_id);
    let mut viewer = viewer(state, &device).await?;
    let _place = Poller::enter(state, &request.user_id)?;
    let deadline = Instant::now() + request.wait;
    loop {
        let polling = Polling::open(state, &request, device.clone(), viewer.clone()).await?;
        let answer = polling.wait(deadline, &request.finished).await?;
        // What was read was judged by what the device could do then. If that
        // changed, the cursor may have passed what now concerns it: read again.
        let now = self::viewer(state, &device).await?;
        if now == viewer {
            state.metrics.polls.inc();
            return Ok(answer);
        }
        viewer = now;
    }
}

async fn viewer(state: &AppState, device: &DeviceKey) -> ApiResult<Viewer> {
    let row = store::device::get(state.store.readers(), &device.user_id, &device.device_id);
    let row = row.await.map_err(|error| ApiError::internal(&error))?;
    let missing = || ApiError::new(ErrorCode::DeviceNotFound, "register the device first");
    open::viewer(&row.ok_or_else(missing)?)
}

/// One poll being answered.
struct Polling<'a> {
    state: &'a AppState,
    session: Session,
    statuses: BTreeMap<StreamName, StreamStatus>,
    signal: Arc<Signal>,
    viewer: Viewer,
    user_id: UserId,
    device: DeviceKey,
    frames: Vec<Box<RawValue>>,
    bytes: usize,
    left: usize,
}

impl<'a> Polling<'a> {
    async fn open(
        state: &'a AppState,
        request: &PollRequest,
        device: DeviceKey,
        viewer: Viewer,
    ) -> ApiResult<Self> {
        let signal = Arc::new(Signal::default());
        let mut names = vec![StreamName::of_user(&request.user_id)];
        names.extend(request.subscribe.iter().cloned());
        let wanted = Wanted::sort(state, &request.user_id, &names);
        let watches = open::watch(&state.hub, &wanted.open, &signal);
        let heads = heads(state, &wanted.open).await?;
        let opened = open::begin(watches, &heads, &request.position.cursors())?;
        // Nothing is due by time in a poll.
        let never = Timestamp::from_millis(i64::MAX / 2);
        let session = Session::new(Arc::clone(&state.session_options), 0, never, state.now());
        let mut polling = Self {
            state,
            session,
            statuses: wanted.refused,
            signal,
            viewer,
            user_id: request.user_id.clone(),
            device,
            frames: Vec::new(),
            bytes: 0,
            left: request.limit,
        };
        let now = state.clock.now();
        state.ingest.behind().seen(&polling.device);
        for one in opened {
            polling.follow(one, &request.position, now);
        }
        Ok(polling)
    }

    /// Waits until there is something, at most so long.
    async fn wait(
        mut self,
        deadline: Instant,
        finished: &CancellationToken,
    ) -> ApiResult<PollAnswer> {
        loop {
            self.collect().await?;
            if !self.frames.is_empty() || Instant::now() >= deadline {
                break;
            }
            tokio::select! {
                biased;
                () = self.state.draining.cancelled() => break,
                () = finished.cancelled() => break,
                () = self.signal.woken() => {}
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
        Ok(self.answer())
    }

    fn follow(&mut self, opened: open::Opened, position: &Position, now: Timestamp) {
        let open::Opened { mut state, mut status, beginning } = opened;
        let name = state.id.name.clone();
        let progress = position.progress(&name, &state.id.epoch);
        if let Some((at, seq)) = progress {
            state.phase = Phase::Snapshot { at: Box::new(at), seq };
            (status.verdict, status.reason) = (Verdict::Resumed, None);
        } else if let Beginning::Resumed(seq) = beginning {
            // Judged by what was read: nothing before it is missing. The device
            // holds, and `prev` names, what was sent.
            state.sent = position.sent(&name, seq);
            let cursor = Cursor { epoch: state.id.epoch.clone(), seq: state.sent };
            self.state.ingest.behind().ack(&self.device, &name, cursor, now);
        }
        state.window = Window::unbounded();
        self.statuses.insert(name, status);
        self.session.follow(state);
    }

    /// Collects what there is, up to the bounds of the answer.
    async fn collect(&mut self) -> ApiResult<()> {
        while self.left > 0 && self.bytes < POLL_ANSWER_BYTES {
            let Some(mut plan) = self.session.next_read(self.state.now()) else { break };
            if let ReadWhat::Events(room) = &mut plan.what {
                room.entries = room.entries.min(self.left);
            }
            let reader = Reader {
                store: &self.state.store,
                behind: self.state.ingest.behind(),
                metrics: &self.state.metrics,
                user_id: &self.user_id,
                viewer: &self.viewer,
                channel: Channel::Poll,
                now: self.state.clock.now(),
                items: self.left,
                days: self.state.config.health.snapshot_d,
            };
            // From the database: entries in memory are of the epoch that those
            // follow who are told when it ends.
            let fed = reader.step(&mut self.session, &plan, false).await;
            match fed.map_err(|error| ApiError::internal(&error))? {
                Fed::Events(frame) => {
                    self.push(frame.entries.len(), frame.frame.text().to_owned());
                }
                Fed::Snapshot(page) => self.push(page.items, page.message.write(None)),
                Fed::Silent => {}
                Fed::Nothing => break,
                Fed::Overtaken => self.begin_anew(plan.index).await?,
            }
        }
        Ok(())
    }

    /// The journal was trimmed past the position, or the epoch is new.
    async fn begin_anew(&mut self, index: usize) -> ApiResult<()> {
        let id = self.session.streams()[index].id.clone();
        let heads = heads(self.state, std::slice::from_ref(&id.name)).await?;
        let row = heads.get(id.name.as_str()).ok_or_else(|| ApiError::internal(&"no head"))?;
        let epoch = read::epoch(&row.epoch).map_err(|error| ApiError::internal(&error))?;
        let reason =
            if epoch == id.epoch { ResetReason::Trimmed } else { ResetReason::EpochChanged };
        let id = StreamId { name: id.name, epoch };
        let head = Seq::new(row.seq);
        let status = Beginning::Reset(reason).status(&id, head);
        self.statuses.insert(id.name.clone(), status);
        self.session.begin_anew(index, id, head, Window::unbounded());
        Ok(())
    }

    /// Appends a frame with so many entries or items.
    fn push(&mut self, count: usize, text: String) {
        self.left = self.left.saturating_sub(count);
        self.bytes += text.len();
        match RawValue::from_string(text) {
            Ok(frame) => self.frames.push(frame),
            Err(error) => tracing::error!(%error, "a frame is not JSON"),
        }
    }

    fn answer(mut self) -> PollAnswer {
        let more = self.session.next_read(self.state.now()).is_some();
        for stream in self.session.streams() {
            if let Some(status) = self.statuses.get_mut(&stream.id.name) {
                status.head = Some(stream.watch.head());
            }
        }
        let cursor = PollCursor::of(self.session.streams()).encode();
        PollAnswer { streams: self.statuses, frames: self.frames, cursor, more }
    }
}

/// The heads of these streams, made where they do not exist.
async fn heads(state: &AppState, names: &[StreamName]) -> ApiResult<Heads> {
    let keys: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
    let heads = store::head::load(state.store.readers(), &keys).await;
    let heads = heads.map_err(|error| ApiError::internal(&error))?;
    if heads.len() == keys.len() { Ok(heads) } else { state.ingest.ensure(names.to_vec()).await }
}

/// A place among the polls of a user.
struct Poller<'a> {
    state: &'a AppState,
    user_id: UserId,
}

impl<'a> Poller<'a> {
    fn enter(state: &'a AppState, user_id: &UserId) -> ApiResult<Self> {
        let most = state.config.limits.pollers_per_user;
        let mut polls = state.pollers.entry(user_id.clone()).or_insert(0);
        if *polls >= most {
            let message = format!("the user has {most} polls waiting");
            return Err(ApiError::new(ErrorCode::TooManyPollers, message).with_retry_after(5));
        }
        *polls += 1;
        state.metrics.poll_waiters.inc();
        Ok(Self { state, user_id: user_id.clone() })
    }
}

impl Drop for Poller<'_> {
    fn drop(&mut self) {
        self.state.metrics.poll_waiters.dec();
        if let Some(mut polls) = self.state.pollers.get_mut(&self.user_id) {
            *polls -= 1;
        }
        self.state.pollers.remove_if(&self.user_id, |_, polls| *polls == 0);
    }
}
