//! Commands to random users, and that each comes to its device once.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::ensure;

use crate::clock;
use crate::load::device::user;
use crate::load::world::World;
use crate::numbers::{Random, float};
use crate::scenario::{command, expect, expect_batch, rate};
use crate::server::Server;

/// Bytes of each command's value.
const BYTES: usize = 128;

/// How long devices let acks wait.
const ACK_AFTER: Duration = Duration::from_secs(1);

/// What one measurement gave, for each message where a name does not say
/// otherwise.
pub(super) struct Run {
    pub(super) per_s: f64,
    pub(super) cpu_us: f64,
    /// CPU time of a database that is a process of its own.
    pub(super) database_us: f64,
    pub(super) written_bytes: f64,
    /// Share of the core.
    pub(super) foreign: f64,
}

/// A server with its devices and callers.
pub(super) struct Unicast {
    // Ends before its devices do, and so need not notice each of them going.
    server: Server,
    world: World,
    devices: usize,
    random: Random,
    /// Whom each command is for; `None` once it has arrived.
    sent: Vec<Option<usize>>,
    arrived: usize,
}

impl Unicast {
    pub(super) fn new(server: Server, world: World, devices: usize) -> Self {
        let random = Random::new();
        Self { server, world, devices, random, sent: Vec::new(), arrived: 0 }
    }

    pub(super) fn measure(
        &mut self,
        calls: usize,
        batch: usize,
        length: Duration,
    ) -> anyhow::Result<Run> {
        let first = self.sent.len();
        let before = self.server.usage()?;
        let end = clock::now() + length;
        let mut ack_at = clock::now() + ACK_AFTER;
        let mut idle: Vec<usize> = (0..calls).collect();
        while clock::now() < end || self.arrived < self.sent.len() || idle.len() < calls {
            if clock::now() < end {
                for caller in std::mem::take(&mut idle) {
                    self.send(caller, batch)?;
                }
            }
            self.world.turn(Duration::from_millis(10))?;
            for response in &self.world.responses {
                if batch == 1 { expect(response, 202) } else { expect_batch(response, batch) }?;
                idle.push(response.caller);
            }
            self.count()?;
            if clock::now() >= ack_at {
                self.world.ack_all()?;
                ack_at += ACK_AFTER;
            }
            ensure!(clock::now() < end + Duration::from_secs(30), "commands did not arrive");
        }
        let used = self.server.used_since(&before)?;
        let count = self.sent.len() - first;
        Ok(Run {
            per_s: rate(count, used.wall_s),
            cpu_us: used.cpu_s / float(count) * 1e6,
            database_us: used.database_cpu_s / float(count) * 1e6,
            written_bytes: float(used.written_bytes) / float(count),
            foreign: used.foreign,
        })
    }

    fn send(&mut self, caller: usize, batch: usize) -> anyhow::Result<()> {
        let mut commands = String::new();
        for at in 0..batch {
            let device = self.random.below(self.devices);
            let comma = if at == 0 { "" } else { "," };
            write!(commands, "{comma}{}", command(&user(device), self.sent.len(), BYTES))?;
            self.sent.push(Some(device));
        }
        if batch == 1 {
            self.world.post(caller, "/api/v1/commands", &commands)
        } else {
            let body = format!(r#"{{"commands":[{commands}]}}"#);
            self.world.post(caller, "/api/v1/commands/batch", &body)
        }
    }

    /// Devices have checked order and gaps; here every command must reach its
    /// device once.
    fn count(&mut self) -> anyhow::Result<()> {
        for arrival in &self.world.arrivals {
            for number in arrival.events.entries.iter().filter_map(|entry| entry.number) {
                let device = self.sent[number].take();
                ensure!(
                    device == Some(arrival.device),
                    "a command came twice or to another device"
                );
                self.arrived += 1;
            }
        }
        Ok(())
    }
}
