//! Fan-out of a shared stream to a thousand sessions through the publish API.

use std::time::Duration;

use anyhow::ensure;

use crate::clock;
use crate::load::world::World;
use crate::numbers::{float, median};
use crate::report::{Budget, Row};
use crate::scenario::{ACK_COALESCED, Scale, expect, foreign, payload, rate};
use crate::server::{SHARED, Server};
use crate::token::Tokens;

const SESSIONS: usize = 1_000;

/// Bytes of each record's data.
const BYTES: usize = 128;

/// Publishes not yet with everybody at a time, where they may overlap.
const IN_FLIGHT: usize = 16;

/// A publish may be with everybody before its answer is with its caller.
const CALLERS: usize = 2 * IN_FLIGHT;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let gateway = Server::gateway(&[])?;
    let tokens = Tokens::new();
    let mut world = World::new(gateway.address(), &tokens, ACK_COALESCED)?;
    world.add_callers(CALLERS)?;
    world.add_devices(SESSIONS, &tokens, Some(SHARED))?;
    let mut fanout = Fanout { gateway, world, counts: Vec::new(), complete: 0 };
    fanout.measure(IN_FLIGHT, Duration::from_millis(500))?;
    let (mut many, mut single) = (Vec::new(), Vec::new());
    for _ in 0..scale.repeats {
        many.push(fanout.measure(IN_FLIGHT, scale.run)?);
        single.push(fanout.measure(1, scale.run)?);
    }
    let of = |runs: &[Run], figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    Ok(vec![
        Row::new("fan-out to 1,000 sessions, 16 in flight", of(&many, |r| r.per_s), "deliveries/s")
            .against(Budget::AtLeast(1.8e6))
            .note(foreign(of(&many, |r| r.foreign))),
        Row::new("the same, CPU", of(&many, |r| r.cpu_s_per_million), "CPU-s per million"),
        Row::new("fan-out, one publish at a time", of(&single, |r| r.per_s), "deliveries/s")
            .note(foreign(of(&single, |r| r.foreign))),
        Row::new("the same, CPU", of(&single, |r| r.cpu_s_per_million), "CPU-s per million")
            .against(Budget::AtMost(3.4)),
    ])
}

/// What one measurement gave.
struct Run {
    per_s: f64,
    cpu_s_per_million: f64,
    foreign: f64,
}

struct Fanout {
    gateway: Server,
    world: World,
    /// How many devices have each record, by its number.
    counts: Vec<usize>,
    /// Records that every device has.
    complete: usize,
}

impl Fanout {
    fn measure(&mut self, in_flight: usize, length: Duration) -> anyhow::Result<Run> {
        let first = self.counts.len();
        let before = self.gateway.usage()?;
        let end = clock::now() + length;
        let mut idle: Vec<usize> = (0..self.world.callers()).collect();
        while clock::now() < end
            || self.complete < self.counts.len()
            || idle.len() < self.world.callers()
        {
            let wants_more = clock::now() < end;
            while wants_more && self.counts.len() - self.complete < in_flight {
                let Some(caller) = idle.pop() else { break };
                self.publish(caller)?;
            }
            self.world.turn(Duration::from_millis(10))?;
            for response in &self.world.responses {
                expect(response, 202)?;
                idle.push(response.caller);
            }
            self.count()?;
            ensure!(clock::now() < end + Duration::from_secs(30), "records did not arrive");
        }
        let used = self.gateway.used_since(&before)?;
        let deliveries = (self.counts.len() - first) * SESSIONS;
        Ok(Run {
            per_s: rate(deliveries, used.wall_s),
            cpu_s_per_million: used.cpu_s / float(deliveries) * 1e6,
            foreign: used.foreign,
        })
    }

    fn publish(&mut self, caller: usize) -> anyhow::Result<()> {
        /// Records go round, so that the table stays small and versions rise.
        const RECORDS: usize = 64;
        let number = self.counts.len();
        self.counts.push(0);
        let (data, id) = (payload(number, BYTES), number % RECORDS);
        let body = format!(
            r#"{{"records":[{{"collection":"bench","id":"r{id}","op":"put","data":{data}}}]}}"#
        );
        self.world.post(caller, &format!("/api/v1/streams/{SHARED}/records"), &body)
    }

    /// Devices have checked order and gaps; here every record is counted.
    fn count(&mut self) -> anyhow::Result<()> {
        for arrival in &self.world.arrivals {
            let events = &arrival.events;
            ensure!(
                events.entries.len() == usize::try_from(events.seq - events.prev)?,
                "a frame of a shared stream has gaps"
            );
            for number in events.entries.iter().filter_map(|entry| entry.number) {
                self.counts[number] += 1;
                ensure!(self.counts[number] <= SESSIONS, "a record came twice");
            }
        }
        while self.counts.get(self.complete) == Some(&SESSIONS) {
            self.complete += 1;
        }
        Ok(())
    }
}
