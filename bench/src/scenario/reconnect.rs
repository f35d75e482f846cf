//! Ten thousand devices come back after the gateway was killed, each to a
//! hundred commands that were accepted before.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::ensure;

use crate::clock;
use crate::load::device::user;
use crate::load::world::World;
use crate::numbers::float;
use crate::report::{Budget, Row};
use crate::scenario::{ACK_COALESCED, NO_RETRIES, Scale, command, expect_batch, rate};
use crate::server::Server;
use crate::token::Tokens;

/// Bytes of each command's value.
const BYTES: usize = 64;

/// Commands in one batch call, and such calls at a time.
const BATCH: usize = 500;
const BATCHES: usize = 2;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let mut gateway = Server::gateway(&[NO_RETRIES])?;
    let tokens = Tokens::new();
    let mut world = World::new(gateway.address(), &tokens, ACK_COALESCED)?;
    world.add_devices(scale.devices, &tokens, None)?;
    world.disconnect_devices();
    world.add_callers(BATCHES)?;
    let commands = scale.devices * scale.backlog;
    let load_s = load(&mut world, scale.devices, commands)?;
    let started = gateway.kill_and_restart()?;
    world.move_to(gateway.address());
    let before = gateway.usage()?;
    let mut seen =
        Seen { devices: scale.devices, has: vec![false; commands], count: 0, wrong: None };
    world.connect_devices(|world, _| seen.count(world))?;
    world.until("every device has caught up", |world| {
        seen.count(world);
        (seen.count == commands || seen.wrong.is_some()).then_some(())
    })?;
    let caught_up_s = started.elapsed().as_secs_f64();
    let used = gateway.used_since(&before)?;
    // Nothing may follow once everything has come.
    let quiet = clock::now() + Duration::from_secs(1);
    while clock::now() < quiet {
        world.turn(Duration::from_millis(10))?;
        seen.count(&world);
    }
    ensure!(seen.wrong.is_none(), "a command came twice or to another device: {:?}", seen.wrong);
    let what =
        format!("{} devices back after a kill, {} commands each", scale.devices, scale.backlog);
    Ok(vec![
        Row::new(what, caught_up_s, "s")
            .against(Budget::AtMost(30.0))
            .note("from the start of the new process to the last command on its device"),
        Row::new("the same, CPU", used.cpu_s / float(commands) * 1e6, "CPU-µs per command"),
        Row::new(
            "commands accepted before it, in batches of 500",
            rate(commands, load_s),
            "commands/s",
        ),
    ])
}

/// Sends the commands, number `n` to device `n % devices`; the seconds it took.
fn load(world: &mut World, devices: usize, commands: usize) -> anyhow::Result<f64> {
    let start = clock::now();
    let (mut next, mut accepted) = (0, 0);
    let mut idle: Vec<usize> = (0..BATCHES).collect();
    let mut sizes = [0; BATCHES];
    while accepted < commands {
        while next < commands
            && let Some(caller) = idle.pop()
        {
            let upto = commands.min(next + BATCH);
            let mut body = String::from(r#"{"commands":["#);
            for number in next..upto {
                let comma = if number == next { "" } else { "," };
                write!(body, "{comma}{}", command(&user(number % devices), number, BYTES))?;
            }
            body.push_str("]}");
            sizes[caller] = upto - next;
            next = upto;
            world.post(caller, "/api/v1/commands/batch", &body)?;
        }
        world.turn(Duration::from_millis(10))?;
        for response in &world.responses {
            expect_batch(response, sizes[response.caller])?;
            accepted += sizes[response.caller];
            idle.push(response.caller);
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Which commands have come.
struct Seen {
    devices: usize,
    has: Vec<bool>,
    count: usize,
    /// The first that came twice or to another device.
    wrong: Option<usize>,
}

impl Seen {
    fn count(&mut self, world: &World) {
        for arrival in &world.arrivals {
            for number in arrival.events.entries.iter().filter_map(|entry| entry.number) {
                if self.has[number] || number % self.devices != arrival.device {
                    self.wrong.get_or_insert(number);
                }
                self.has[number] = true;
                self.count += 1;
            }
        }
    }
}
