//! A device and its session: the machine, driven as a socket drives it, with
//! a network in between that loses what is on its way.

use std::collections::VecDeque;
use std::sync::Arc;

use rand::Rng as _;
use rand::rngs::StdRng;
use tidegate::hub::SessionKey;
use tidegate::hub::presence::Presence;
use tidegate::hub::signal::Signal;
use tidegate::ingest::devices::Registration;
use tidegate::journal::frame::EventsFrame;
use tidegate::journal::{Attempt, Viewer};
use tidegate::session::stream::Phase;
use tidegate::session::verdict::Beginning;
use tidegate::session::{Moment, ReadWhat, Session};
use tidegate::store;
use tidegate::store::device::DeviceKey;
use tidegate::transport::open;
use tidegate::transport::read::{Fed, Reader};
use tidegate_protocol::client::HelloDevice;
use tidegate_protocol::code::CloseReason;
use tidegate_protocol::command::{Channel, Platform, PushProvider, PushRegistration};
use tidegate_protocol::cursor::{Cursor, Cursors};
use tidegate_protocol::id::{DeviceId, Seq, StreamName, UserId};
use tidegate_protocol::time::Timestamp;

use crate::simulation::client::{Client, Mismatch};
use crate::simulation::node::Node;

/// The shared stream of the simulation.
pub(super) fn news() -> StreamName {
    StreamName::parse("news").unwrap()
}

/// The stream of the marketplace.
pub(super) fn market() -> StreamName {
    StreamName::parse("marketplace").unwrap()
}

/// Sockets of a user: more than there are devices.
const SESSIONS_MAX: usize = 100;

/// A device with what it holds, and its session while it has one.
pub(super) struct Device {
    pub(super) user: UserId,
    pub(super) id: DeviceId,
    capabilities: Vec<String>,
    /// Where it can be woken.
    pub(super) token: Option<String>,
    pub(super) client: Client,
    /// The cursor of its last poll, if nothing came to it since.
    pub(super) polled: Option<String>,
    pub(super) session: Option<Connection>,
}

/// A session and the network to its device.
pub(super) struct Connection {
    pub(super) machine: Session,
    /// Orders to the session, such as to begin anew.
    signal: Arc<Signal>,
    _presence: Presence,
    viewer: Viewer,
    /// Sent, and not yet received.
    flying: VecDeque<String>,
    /// Acks that the device made; any may arrive, again and in any order.
    acks: Vec<Cursors>,
    /// Commands delivered and not acked, by their position.
    unacked: VecDeque<(Seq, Attempt)>,
}

impl Device {
    pub(super) fn new(user: &str, capabilities: &[&str]) -> Self {
        Self {
            user: UserId::parse(user).unwrap(),
            id: DeviceId::generate(),
            capabilities: capabilities.iter().map(|&name| name.to_owned()).collect(),
            token: None,
            client: Client::default(),
            polled: None,
            session: None,
        }
    }

    /// It can be woken under this token.
    pub(super) fn with_token(self, token: String) -> Self {
        Self { token: Some(token), ..self }
    }

    pub(super) fn key(&self) -> DeviceKey {
        open::device_key(&self.user, &self.id)
    }

    pub(super) fn own_stream(&self) -> StreamName {
        StreamName::of_user(&self.user)
    }

    /// The streams it follows.
    pub(super) fn streams(&self) -> [StreamName; 3] {
        [self.own_stream(), news(), market()]
    }

    /// What it says of itself.
    pub(super) fn registration(&self, has_socket: bool) -> Registration {
        let push = self.token.clone();
        let push = push.map(|token| PushRegistration { provider: PushProvider::Fcm, token });
        let device = HelloDevice {
            id: self.id.clone(),
            platform: Platform::Android,
            name: None,
            app_version: None,
            capabilities: Some(Some(self.capabilities.clone())),
            push: Some(push),
            wants_delta_push: Some(Some(self.token.is_some())),
        };
        let (user_id, streams) = (self.user.clone(), self.streams().to_vec());
        Registration { user_id, device, streams, has_socket }
    }

    /// Says hello; an older session of the device is gone.
    pub(super) async fn connect(&mut self, node: &Node, now: Moment) {
        self.session = None;
        self.polled = None;
        self.client.begin();
        let signal = Arc::new(Signal::default());
        let watches = open::watch(&node.hub, &self.streams(), &signal);
        let key = SessionKey { user_id: self.user.clone(), device_id: self.id.clone() };
        let presence = node.hub.enter(key, &signal, SESSIONS_MAX).ok().unwrap();
        let registered = node.ingest.register(self.registration(true)).await.unwrap();
        let never = Timestamp::from_millis(i64::MAX / 2);
        let mut connection = Connection {
            machine: Session::new(Arc::clone(&node.session_options), 30_000, never, now),
            signal,
            _presence: presence,
            viewer: open::viewer(&registered.device).unwrap(),
            flying: VecDeque::new(),
            acks: Vec::new(),
            unacked: VecDeque::new(),
        };
        let cursors = self.client.cursors();
        for opened in open::begin(watches, &registered.heads, &cursors).unwrap() {
            let (name, epoch) = (opened.state.id.name.clone(), opened.state.id.epoch.clone());
            if let Beginning::Resumed(seq) = opened.beginning {
                let cursor = Cursor { epoch, seq };
                node.ingest.behind().ack(&self.key(), &name, cursor, now.wall);
            }
            connection.machine.follow(opened.state);
        }
        self.session = Some(connection);
    }

    /// Sends up to so many pages, from the ring or the database as `rng` says.
    pub(super) async fn deliver(
        &mut self,
        node: &Node,
        now: Moment,
        pages: usize,
        rng: &mut StdRng,
    ) {
        for _ in 0..pages {
            let Some(connection) = &mut self.session else { return };
            if connection.signal.order().is_some() {
                self.session = None;
                return;
            }
            let Some(mut plan) = connection.machine.next_read(now) else { return };
            if let ReadWhat::Events(room) = &mut plan.what
                && rng.random_bool(0.7)
            {
                // Small pages, so that the device lags.
                room.entries = room.entries.min(rng.random_range(1..4));
            }
            let reader = Reader {
                store: &node.store,
                behind: node.ingest.behind(),
                metrics: &node.metrics,
                user_id: &self.user,
                viewer: &connection.viewer,
                channel: Channel::Socket,
                now: now.wall,
                items: rng.random_range(1..6),
                days: 90,
            };
            let from_ring = rng.random_bool(0.5);
            match reader.step(&mut connection.machine, &plan, from_ring).await.unwrap() {
                Fed::Events(frame) => {
                    for command in &frame.commands {
                        let id = command.attempt.id.as_str();
                        let row = store::command::get(node.store.readers(), id).await;
                        let row = row.unwrap().unwrap();
                        let is_over = !row.open || row.expires_at <= now.wall.millis();
                        assert!(!is_over, "{id} is over, and is sent all the same");
                    }
                    let commands = frame.commands.iter();
                    connection.unacked.extend(commands.map(|c| (c.seq, c.attempt.clone())));
                    connection.flying.push_back(frame.frame.text().to_owned());
                }
                Fed::Snapshot(page) => {
                    let commands = page.commands.into_iter();
                    connection.unacked.extend(commands.map(|attempt| (page.seq, attempt)));
                    connection.flying.push_back(page.message.write(None));
                }
                Fed::Silent => {}
                Fed::Nothing => panic!("the head promised more"),
                // Overtaken by trimming: closed 4410.
                Fed::Overtaken => self.session = None,
            }
        }
    }

    /// Receives up to so many frames and makes an ack of what it holds.
    pub(super) fn receive(&mut self, frames: usize) {
        let Some(connection) = &mut self.session else { return };
        let mut received = 0;
        while received < frames
            && let Some(frame) = connection.flying.pop_front()
        {
            received += 1;
            if let Err(Mismatch(stream)) = self.client.take(&frame) {
                self.client.forget(&stream);
                self.session = None;
                return;
            }
        }
        if received > 0 {
            let mut cursors = self.client.cursors();
            // What was held before a reset is not acked in this session.
            let machine = &connection.machine;
            cursors.retain(|name, cursor| {
                let index = machine.position(name).unwrap();
                let stream = &machine.streams()[index];
                stream.phase == Phase::Live && cursor.seq <= stream.sent
            });
            connection.acks.push(cursors);
        }
    }

    /// One of its acks arrives; it may arrive again.
    pub(super) fn ack(&mut self, node: &Node, now: Moment, rng: &mut StdRng) {
        let key = self.key();
        let Some(connection) = self.session.as_mut().filter(|c| !c.acks.is_empty()) else { return };
        let at = rng.random_range(0..connection.acks.len());
        let cursors = connection.acks[at].clone();
        if rng.random_bool(0.7) {
            connection.acks.swap_remove(at);
        }
        let counted = connection.machine.ack(cursors).expect("it was sent");
        for (stream, cursor) in counted {
            let passed =
                if stream.owner().is_some() { connection.passed(cursor.seq) } else { Vec::new() };
            node.ingest.behind().ack_delivered(&key, &stream, cursor, passed, now.wall);
        }
    }

    /// An ack beyond what was sent, or of a stream in reset, ends the session
    /// and moves nothing.
    pub(super) fn bad_ack(&mut self) {
        let Some(connection) = &mut self.session else { return };
        let stream = &connection.machine.streams()[0];
        let seq = match stream.phase {
            Phase::Live => stream.sent.next(),
            Phase::Snapshot { .. } => Seq::ZERO,
        };
        let before = stream.window.acked();
        let cursor = Cursor { epoch: stream.id.epoch.clone(), seq };
        let cursors = Cursors::from([(stream.id.name.clone(), cursor)]);
        assert_eq!(connection.machine.ack(cursors), Err(CloseReason::AckBeyondSent));
        assert_eq!(connection.machine.streams()[0].window.acked(), before);
        self.session = None;
    }

    /// Announces what was read silently.
    pub(super) fn heartbeat(&mut self) {
        let Some(connection) = &mut self.session else { return };
        for (id, prev, seq) in connection.machine.announce() {
            let frame = EventsFrame::build(&id, prev, seq, &[]);
            connection.flying.push_back(frame.frame.text().to_owned());
        }
    }

    /// Whether something addressed like this is for the device.
    pub(super) fn is_concerned(&self, device_id: Option<&str>, requires: Option<&str>) -> bool {
        device_id.is_none_or(|id| id == self.id.as_str())
            && requires.is_none_or(|needed| self.capabilities.iter().any(|has| has == needed))
    }

    /// Whether everything that there is has come.
    pub(super) fn is_idle(&self) -> bool {
        self.session.as_ref().is_some_and(|connection| connection.flying.is_empty())
    }
}

impl Connection {
    /// Takes the commands delivered up to a position.
    fn passed(&mut self, upto: Seq) -> Vec<Attempt> {
        let mut passed = Vec::new();
        while let Some((_, attempt)) = self.unacked.pop_front_if(|(seq, _)| *seq <= upto) {
            passed.push(attempt);
        }
        passed
    }
}
