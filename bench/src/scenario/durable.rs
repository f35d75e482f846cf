//! Durable commands with 256 callers, against one transaction per command in
//! the same run: two gateways that differ in one setting, measured in turns.

use std::time::Duration;

use anyhow::ensure;

use crate::clock;
use crate::load::device::user;
use crate::load::world::World;
use crate::numbers::{Random, float, median};
use crate::report::{Budget, Row};
use crate::scenario::{ACK_COALESCED, Scale, command, expect, foreign, rate};
use crate::server::Server;
use crate::token::Tokens;

const CALLERS: usize = 256;

/// Users that commands go to; none of them is connected.
const USERS: usize = 10_000;

/// Bytes of each command's value.
const BYTES: usize = 128;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let mut grouped = Side::start(&[])?;
    let mut single = Side::start(&[("TIDEGATE_LIMITS__COMMIT_BATCH", "1")])?;
    let (mut together, mut alone, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.repeats {
        let group = grouped.measure(scale.run)?;
        let one = single.measure(scale.run)?;
        ratios.push(group.per_s / one.per_s);
        together.push(group);
        alone.push(one);
    }
    let of = |runs: &[Run], figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    Ok(vec![
        Row::new(
            "durable commands, 256 callers, group commit",
            of(&together, |r| r.per_s),
            "commands/s",
        )
        .against(Budget::AtLeast(30_000.0))
        .note(foreign(of(&together, |r| r.foreign))),
        Row::new("the same, CPU", of(&together, |r| r.cpu_us), "CPU-µs per command"),
        Row::new("durable commands, one transaction each", of(&alone, |r| r.per_s), "commands/s")
            .note(foreign(of(&alone, |r| r.foreign))),
        Row::new("the same, CPU", of(&alone, |r| r.cpu_us), "CPU-µs per command"),
        Row::new("group commit against one transaction each", median(ratios), "×"),
    ])
}

/// What one measurement gave.
struct Run {
    per_s: f64,
    cpu_us: f64,
    foreign: f64,
}

/// A gateway with its callers.
struct Side {
    gateway: Server,
    world: World,
    random: Random,
    numbers: usize,
}

impl Side {
    fn start(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let gateway = Server::gateway(settings)?;
        let tokens = Tokens::new();
        let mut world = World::new(gateway.address(), &tokens, ACK_COALESCED)?;
        world.add_callers(CALLERS)?;
        Ok(Self { gateway, world, random: Random::new(), numbers: 0 })
    }

    fn measure(&mut self, length: Duration) -> anyhow::Result<Run> {
        let before = self.gateway.usage()?;
        let end = clock::now() + length;
        let (mut idle, mut accepted): (Vec<usize>, usize) = ((0..CALLERS).collect(), 0);
        while clock::now() < end || idle.len() < CALLERS {
            if clock::now() < end {
                for caller in std::mem::take(&mut idle) {
                    let to = user(self.random.below(USERS));
                    self.world.post(
                        caller,
                        "/api/v1/commands",
                        &command(&to, self.numbers, BYTES),
                    )?;
                    self.numbers += 1;
                }
            }
            self.world.turn(Duration::from_millis(10))?;
            for response in &self.world.responses {
                expect(response, 202)?;
                accepted += 1;
                idle.push(response.caller);
            }
            ensure!(clock::now() < end + Duration::from_secs(30), "a call was not answered");
        }
        let used = self.gateway.used_since(&before)?;
        Ok(Run {
            per_s: rate(accepted, used.wall_s),
            cpu_us: used.cpu_s / float(accepted) * 1e6,
            foreign: used.foreign,
        })
    }
}
