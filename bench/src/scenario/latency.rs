//! How long a command takes to its device, at a rate that does not wait for
//! answers, with devices that ack and report.
//!
//! Time runs from the moment a command was due to be sent, so that a gateway
//! that stalls is charged for those it kept waiting. That contains the call,
//! the commit, the wake-up and the socket: an upper bound of commit → socket.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::clock;
use crate::load::device::{Peer, Policy, user};
use crate::load::world::World;
use crate::numbers::{Random, percentile};
use crate::report::{Budget, Row};
use crate::scenario::{Scale, command, expect, foreign};
use crate::server::Server;
use crate::token::Tokens;

const PER_SECOND: u32 = 1_000;

const SESSIONS: usize = 1_000;

/// Calls that may wait for their answer; a command that finds none free waits,
/// and its time runs.
const CALLERS: usize = 64;

/// Bytes of each command's value.
const BYTES: usize = 128;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let gateway = Server::gateway(&[])?;
    let tokens = Tokens::new();
    let policy = Policy { ack_entries: 1, report: true, peer: Peer::Gateway };
    let mut world = World::new(gateway.address(), &tokens, policy)?;
    world.add_callers(CALLERS)?;
    world.add_devices(SESSIONS, &tokens, None)?;
    let before = gateway.usage()?;
    let length = scale.run * 3;
    let mut open_loop = OpenLoop {
        world,
        random: Random::new(),
        sent: Vec::new(),
        idle: (0..CALLERS).collect(),
        carries: vec![0; CALLERS],
        arrived: 0,
    };
    open_loop.run(length)?;
    let used = gateway.used_since(&before)?;
    let (mut from_due, mut from_accept) = (Vec::new(), Vec::new());
    // The first second warms up.
    for sent in open_loop.sent.iter().skip(PER_SECOND as usize) {
        let (Some(accepted), Some(received)) = (sent.accepted, sent.received) else { continue };
        from_due.push(received.duration_since(sent.due).as_secs_f64() * 1e3);
        from_accept.push(received.saturating_duration_since(accepted).as_secs_f64() * 1e3);
    }
    Ok(vec![
        Row::new("command due → on the device, p50", percentile(&mut from_due, 50), "ms")
            .against(Budget::AtMost(2.0))
            .note(foreign(used.foreign)),
        Row::new("command due → on the device, p99", percentile(&mut from_due, 99), "ms")
            .against(Budget::AtMost(10.0)),
        Row::new("answer 202 → on the device, p50", percentile(&mut from_accept, 50), "ms")
            .note("0 where the device had it first"),
        Row::new("answer 202 → on the device, p99", percentile(&mut from_accept, 99), "ms"),
        Row::new("the gateway's CPU at 1,000 commands/s", used.cpu_s / used.wall_s * 100.0, "%"),
    ])
}

/// A command on its way.
struct Sent {
    due: Instant,
    device: usize,
    accepted: Option<Instant>,
    received: Option<Instant>,
}

struct OpenLoop {
    world: World,
    random: Random,
    sent: Vec<Sent>,
    idle: Vec<usize>,
    /// Which command each caller carries.
    carries: Vec<usize>,
    arrived: usize,
}

impl OpenLoop {
    fn run(&mut self, length: Duration) -> anyhow::Result<()> {
        let interval = Duration::from_secs(1) / PER_SECOND;
        let start = clock::now();
        let mut due = start;
        while due < start + length || self.arrived < self.sent.len() || self.idle.len() < CALLERS {
            let now = clock::now();
            while due <= now && due < start + length {
                let Some(caller) = self.idle.pop() else { break };
                self.send(caller, due)?;
                due += interval;
            }
            // Busy: a sleep would be measured too.
            self.world.turn(Duration::ZERO)?;
            for response in &self.world.responses {
                expect(response, 202)?;
                self.idle.push(response.caller);
                self.sent[self.carries[response.caller]].accepted = Some(response.at);
            }
            self.count()?;
            ensure!(now < start + length + Duration::from_secs(30), "commands did not arrive");
        }
        Ok(())
    }

    fn send(&mut self, caller: usize, due: Instant) -> anyhow::Result<()> {
        let device = self.random.below(SESSIONS);
        let number = self.sent.len();
        self.carries[caller] = number;
        self.sent.push(Sent { due, device, accepted: None, received: None });
        self.world.post(caller, "/api/v1/commands", &command(&user(device), number, BYTES))
    }

    fn count(&mut self) -> anyhow::Result<()> {
        for arrival in &self.world.arrivals {
            for number in arrival.events.entries.iter().filter_map(|entry| entry.number) {
                let sent = &mut self.sent[number];
                ensure!(sent.device == arrival.device, "a command came to another device");
                ensure!(sent.received.is_none(), "a command came twice");
                sent.received = Some(arrival.at);
                self.arrived += 1;
            }
        }
        Ok(())
    }
}
