//! The device's side of a socket session as a machine without I/O and without
//! a clock: frames in, effects out.
//!
//! Owns what the protocol asks of a client: the order of frames, gaps, acks,
//! heartbeats, results in flight. Never touches a socket, a store or a timer;
//! the driver at the edge does, and tests and the load generator drive the
//! same machine.

pub mod streams;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tidegate_protocol::client::{self, Ack, Auth, Hello, HelloDevice, Results};
use tidegate_protocol::command::{CommandResult, ResultAnswer};
use tidegate_protocol::cursor::Cursors;
use tidegate_protocol::encoding::Encoding;
use tidegate_protocol::id::{CommandId, StreamName};
use tidegate_protocol::limits::RESULTS_PER_FRAME;
use tidegate_protocol::server::{
    ErrorFrame, Ping, ResultsOk, ServerMessage, StreamStatuses, Welcome,
};
use tidegate_protocol::time::Timestamp;

use crate::machine::streams::{Applied, Fault, Overlap, Page, Streams};
use crate::state::StopReason;

/// What the device says about itself; the same at every connect.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Who connects.
    pub device: HelloDevice,
    /// Shared streams to follow.
    pub subscribe: Vec<StreamName>,
    /// Encodings this device reads, best first.
    pub encodings: Vec<Encoding>,
    /// Heartbeat interval wished, seconds.
    pub heartbeat_s: Option<i64>,
}

impl Profile {
    /// Tells whether the gateway heard of the device as it is now: a hash, so
    /// that the push token is not stored. Another version of this crate may
    /// hash differently, and then tells the gateway once more.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        serde_json::to_string(&self.device).unwrap_or_default().hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// What the driver must do, in order.
#[derive(Debug)]
pub enum Effect {
    /// Write this frame.
    Send(String),
    /// The session is open.
    Live(Live),
    /// Apply durably, then call [`Machine::applied`].
    Apply(Page),
    /// These outcomes need not be sent again.
    Confirmed(Vec<Confirmed>),
    /// The token in use ends then: ask the provider for another and send
    /// [`Machine::auth`].
    TokenWanted(Timestamp),
    /// The gateway took the token that [`Machine::auth`] showed last.
    TokenTaken,
    /// Be connected to another node after this long.
    Drain(Duration),
    /// The gateway refused a frame; the session goes on.
    Refused(ErrorFrame),
    /// Connect anew.
    Reconnect(Fault),
    /// End for good.
    Stop(StopReason),
}

/// What `welcome` settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// The user's own stream.
    pub owner: Option<StreamName>,
    /// The gateway's time.
    pub server_time: Timestamp,
    /// No frame for twice this long means the path is dead.
    pub heartbeat: Duration,
    /// Streams that begin anew: what is stored of their positions is void.
    pub resets: Vec<StreamName>,
}

/// A confirmed outcome: of which attempt, and the gateway's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The attempt that was reported.
    pub attempt: i32,
    /// The answer.
    pub answer: ResultAnswer,
}

/// How soon an ack should go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckNeed {
    /// Nothing new is held.
    None,
    /// Soon; more may come to acknowledge with it.
    Soon,
    /// At once.
    Now,
}

/// One session. Made anew for every connection from the durable cursors.
#[derive(Debug)]
pub struct Machine {
    profile: Arc<Profile>,
    streams: Streams,
    owner: Option<StreamName>,
    welcomed: bool,
    encoding: Option<Encoding>,
    /// Pings in a row that named positions the gateway had not sent although
    /// everything sent was acked.
    behind: u8,
    /// Outcomes sent and not yet confirmed: one batch at a time, so that
    /// answers are matched without ids of their own.
    in_flight: Vec<(CommandId, i32)>,
}

impl Machine {
    /// A session that resumes from `held`; `owner` is the user stream the
    /// store belongs to, where it is known.
    pub fn new(profile: Arc<Profile>, held: Cursors, owner: Option<StreamName>) -> Self {
        Self {
            profile,
            streams: Streams::new(held),
            owner,
            welcomed: false,
            encoding: None,
            behind: 0,
            in_flight: Vec::new(),
        }
    }

    /// The first frame. The token travels in the upgrade's header.
    pub fn hello(&self) -> String {
        self.hello_of(self.profile.device.clone())
    }

    /// The same for transcripts, without the push token.
    pub fn hello_blanked(&self) -> String {
        let mut device = self.profile.device.clone();
        if let Some(Some(push)) = &mut device.push {
            "[blanked]".clone_into(&mut push.token);
        }
        self.hello_of(device)
    }

    fn hello_of(&self, device: HelloDevice) -> String {
        let profile = &self.profile;
        let names = profile.encodings.iter().map(|encoding| encoding_name(*encoding).to_owned());
        let hello = Hello {
            protocol: tidegate_protocol::VERSION,
            token: None,
            device,
            cursors: self.streams.held().clone(),
            subscribe: profile.subscribe.clone(),
            encodings: names.collect(),
            heartbeat_s: profile.heartbeat_s,
        };
        client::write("hello", None, &hello)
    }

    /// Takes a text frame in.
    pub fn text(&mut self, text: &str) -> Vec<Effect> {
        match ServerMessage::parse(text) {
            Ok((message, _)) => self.message(message),
            Err(_) => vec![Effect::Reconnect(Fault::Unreadable)],
        }
    }

    /// Decompresses a binary frame into its text.
    pub fn decode(&self, bytes: &[u8]) -> Result<String, Fault> {
        let encoding = self.encoding.ok_or(Fault::Unreadable)?;
        encoding.decode(bytes).map_err(|_| Fault::Unreadable)
    }

    fn message(&mut self, message: ServerMessage) -> Vec<Effect> {
        if let ServerMessage::Welcome(welcome) = message {
            return self.welcome(&welcome);
        }
        if !self.welcomed && !matches!(message, ServerMessage::Drain(_) | ServerMessage::Error(_)) {
            return vec![Effect::Reconnect(Fault::OutOfOrder)];
        }
        match message {
            ServerMessage::Welcome(_) | ServerMessage::Unknown => Vec::new(),
            ServerMessage::AuthOk(_) => vec![Effect::TokenTaken],
            ServerMessage::Streams(streams) => {
                self.open(&streams.streams).err().into_iter().collect()
            }
            ServerMessage::Snapshot(snapshot) => page(self.streams.snapshot(snapshot)),
            ServerMessage::Events(events) => page(self.streams.events(events, Overlap::Refused)),
            ServerMessage::ResultsOk(answer) => self.results_ok(answer),
            ServerMessage::AuthExpiring(token) => vec![Effect::TokenWanted(token.expires_at)],
            ServerMessage::Ping(ping) => self.ping(&ping),
            ServerMessage::Drain(drain) => {
                vec![Effect::Drain(Duration::from_millis(drain.reconnect_after_ms))]
            }
            ServerMessage::Error(error) => vec![Effect::Refused(error)],
        }
    }

    fn welcome(&mut self, welcome: &Welcome) -> Vec<Effect> {
        if self.welcomed {
            return vec![Effect::Reconnect(Fault::OutOfOrder)];
        }
        let own = welcome.streams.keys().find(|stream| stream.owner().is_some()).cloned();
        if let (Some(own), Some(owner)) = (&own, &self.owner)
            && own != owner
        {
            return vec![Effect::Stop(StopReason::StoreOfAnotherUser)];
        }
        self.welcomed = true;
        self.encoding = welcome.encoding;
        self.owner = own.or_else(|| self.owner.take());
        let resets = match self.open(&welcome.streams) {
            Ok(resets) => resets,
            Err(effect) => return vec![effect],
        };
        vec![Effect::Live(Live {
            owner: self.owner.clone(),
            server_time: welcome.server_time,
            heartbeat: Duration::from_secs(u64::from(welcome.heartbeat_s)),
            resets,
        })]
    }

    fn open(&mut self, statuses: &StreamStatuses) -> Result<Vec<StreamName>, Effect> {
        self.streams.open(statuses).map_err(Effect::Reconnect)
    }

    fn results_ok(&mut self, answer: ResultsOk) -> Vec<Effect> {
        let mut confirmed = Vec::with_capacity(answer.results.len());
        for answer in answer.results {
            let sent = self.in_flight.iter().position(|(id, _)| *id == answer.command_id);
            if let Some(at) = sent {
                let (_, attempt) = self.in_flight.swap_remove(at);
                confirmed.push(Confirmed { attempt, answer });
            }
        }
        if confirmed.is_empty() { Vec::new() } else { vec![Effect::Confirmed(confirmed)] }
    }

    /// Rule 6: wake-ups may be lost, so a session that stays behind the heads
    /// it is told, with nothing of its own outstanding, is a zombie.
    fn ping(&mut self, ping: &Ping) -> Vec<Effect> {
        let behind = self.streams.is_behind(&ping.heads) && self.streams.is_all_acked();
        self.behind = if behind { self.behind + 1 } else { 0 };
        if self.behind >= 2 {
            return vec![Effect::Reconnect(Fault::Behind)];
        }
        vec![Effect::Send(client::write("pong", None, &Pong {}))]
    }

    /// What is durable: where the next session resumes.
    pub fn held(&self) -> &Cursors {
        self.streams.held()
    }

    /// The page with this cursor is durable.
    pub fn applied(&mut self, page: &Applied) {
        self.streams.applied(page);
    }

    /// How soon an ack should go out.
    pub fn ack_need(&self, at_once_from: usize) -> AckNeed {
        match self.streams.unacked_entries() {
            entries if entries >= at_once_from => AckNeed::Now,
            _ if self.streams.is_all_acked() => AckNeed::None,
            _ => AckNeed::Soon,
        }
    }

    /// The ack to send for all that is durable; `None` when nothing is new.
    pub fn take_ack(&mut self) -> Option<String> {
        let cursors = self.streams.take_ack();
        (!cursors.is_empty()).then(|| client::write("ack", None, &Ack { cursors }))
    }

    /// Whether outcomes may be sent now.
    pub fn can_send_results(&self) -> bool {
        self.welcomed && self.in_flight.is_empty()
    }

    /// The frame that reports outcomes; `None` when there are none or an
    /// earlier batch is not confirmed yet.
    pub fn results(&mut self, mut results: Vec<CommandResult>) -> Option<String> {
        if results.is_empty() || !self.can_send_results() {
            return None;
        }
        results.truncate(RESULTS_PER_FRAME);
        self.in_flight = results
            .iter()
            .map(|result| (result.command_id.clone(), result.attempt.unwrap_or_default()))
            .collect();
        Some(client::write("results", None, &Results { results }))
    }

    /// The batch in flight was not confirmed in time: it may be sent again.
    pub fn forget_results_in_flight(&mut self) {
        self.in_flight.clear();
    }

    /// The frame that renews the session's token.
    pub fn auth(token: &str) -> String {
        client::write("auth", None, &Auth { token: token.to_owned() })
    }
}

#[derive(Serialize)]
struct Pong {}

fn page(page: Result<Option<Page>, Fault>) -> Vec<Effect> {
    match page {
        Ok(page) => page.map(Effect::Apply).into_iter().collect(),
        Err(fault) => vec![Effect::Reconnect(fault)],
    }
}

const fn encoding_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Zstd => "zstd",
        Encoding::DeflateRaw => "deflate-raw",
    }
}

#[cfg(test)]
mod tests;
