//! Commands to random single users out of ten thousand.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::ensure;

use crate::clock;
use crate::gateway::Gateway;
use crate::load::device::{Policy, user};
use crate::load::world::World;
use crate::numbers::{Random, float, median};
use crate::report::{Budget, Row};
use crate::scenario::{NO_RETRIES, Scale, command, expect, expect_batch, foreign, rate};
use crate::token::Tokens;

/// Bytes of each command's value.
const BYTES: usize = 128;

/// Commands in one batch call, and such calls at a time.
const BATCH: usize = 128;
const BATCHES: usize = 4;

/// Callers that send one command at a time.
const SINGLES: usize = 64;

/// How long devices let acks wait.
const ACK_AFTER: Duration = Duration::from_secs(1);

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let gateway = Gateway::start(&[NO_RETRIES])?;
    let tokens = Tokens::new();
    let policy = Policy { ack_entries: 200, report: false };
    let mut world = World::new(gateway.address(), &tokens, policy)?;
    world.add_callers(SINGLES)?;
    world.add_devices(scale.devices, &tokens, None)?;
    let mut unicast =
        Unicast { gateway, world, random: Random::new(), sent: Vec::new(), arrived: 0 };
    let (mut batches, mut singles) = (Vec::new(), Vec::new());
    for _ in 0..scale.repeats {
        batches.push(unicast.measure(BATCHES, BATCH, scale)?);
        singles.push(unicast.measure(SINGLES, 1, scale)?);
    }
    let of = |runs: &[Run], figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    Ok(vec![
        Row::new(
            "commands to single users, in batches of 128",
            of(&batches, |r| r.per_s),
            "messages/s",
        )
        .against(Budget::AtLeast(70_000.0))
        .note(foreign(of(&batches, |r| r.foreign))),
        Row::new("the same, CPU", of(&batches, |r| r.cpu_us), "CPU-µs per message"),
        Row::new(
            "commands to single users, one call each",
            of(&singles, |r| r.per_s),
            "messages/s",
        )
        .note(foreign(of(&singles, |r| r.foreign))),
        Row::new("the same, CPU", of(&singles, |r| r.cpu_us), "CPU-µs per message"),
    ])
}

/// What one measurement gave.
struct Run {
    per_s: f64,
    cpu_us: f64,
    foreign: f64,
}

struct Unicast {
    gateway: Gateway,
    world: World,
    random: Random,
    /// Whom each command is for; `None` once it has arrived.
    sent: Vec<Option<usize>>,
    arrived: usize,
}

impl Unicast {
    fn measure(&mut self, calls: usize, batch: usize, scale: &Scale) -> anyhow::Result<Run> {
        let first = self.sent.len();
        let before = self.gateway.usage()?;
        let end = clock::now() + scale.run;
        let mut ack_at = clock::now() + ACK_AFTER;
        let mut idle: Vec<usize> = (0..calls).collect();
        while clock::now() < end || self.arrived < self.sent.len() || idle.len() < calls {
            if clock::now() < end {
                for caller in std::mem::take(&mut idle) {
                    self.send(caller, batch, scale.devices)?;
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
        let used = self.gateway.used_since(&before)?;
        let count = self.sent.len() - first;
        Ok(Run {
            per_s: rate(count, used.wall_s),
            cpu_us: used.cpu_s / float(count) * 1e6,
            foreign: used.foreign,
        })
    }

    fn send(&mut self, caller: usize, batch: usize, devices: usize) -> anyhow::Result<()> {
        let mut commands = String::new();
        for at in 0..batch {
            let device = self.random.below(devices);
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
