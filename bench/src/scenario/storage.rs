//! What commands take on disk once they are applied: how much the database's
//! file has grown when its log is folded into it and nothing was compacted.

use std::fmt::Write as _;

use crate::load::device::{Peer, Policy, user};
use crate::load::world::World;
use crate::numbers::float;
use crate::report::{Budget, Row};
use crate::scenario::{Scale, command, expect_batch};
use crate::server::Server;
use crate::token::Tokens;

const SESSIONS: usize = 1_000;

/// Commands for each of them.
const COMMANDS: usize = 40;

/// Bytes of each command's value.
const BYTES: usize = 128;

/// Commands in one batch call.
const BATCH: usize = 500;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let sessions = SESSIONS.min(scale.devices);
    let mut gateway = Server::gateway(&[])?;
    let tokens = Tokens::new();
    let policy = Policy { ack_entries: 1, report: true, peer: Peer::Gateway };
    let mut world = World::new(gateway.address(), &tokens, policy)?;
    world.add_devices(sessions, &tokens, None)?;
    world.disconnect_devices();
    let before = gateway.stored_bytes()?;
    world.move_to(gateway.address());
    world.add_callers(1)?;
    world.connect_devices(|_, _| {})?;
    let commands = sessions * COMMANDS;
    apply(&mut world, sessions, commands)?;
    world.disconnect_devices();
    let grown = gateway.stored_bytes()?.saturating_sub(before);
    Ok(vec![
        Row::new("an applied command at rest", float(grown) / float(commands), "bytes")
            .against(Budget::AtMost(800.0))
            .note(format!(
                "the file grew by {:.1} MB with {commands} commands of {BYTES} B, their \
                 timelines and journal",
                float(grown) / 1e6
            )),
    ])
}

/// Sends commands to the devices by turns, until each reported that it applied
/// all of its own.
fn apply(world: &mut World, sessions: usize, commands: usize) -> anyhow::Result<()> {
    let (mut arrived, mut next) = (0, 0);
    while next < commands {
        let count = BATCH.min(commands - next);
        let mut batch = String::new();
        for number in next..next + count {
            let comma = if number == next { "" } else { "," };
            write!(batch, "{comma}{}", command(&user(number % sessions), number, BYTES))?;
        }
        next += count;
        world.post(0, "/api/v1/commands/batch", &format!(r#"{{"commands":[{batch}]}}"#))?;
        let mut answer = None;
        world.until("a batch arrived", |world| {
            answer = answer.take().or(world.responses.first().map(|it| expect_batch(it, count)));
            arrived += commands_in(world);
            let refused = matches!(answer, Some(Err(_)));
            (refused || (answer.is_some() && arrived >= next)).then_some(())
        })?;
        answer.unwrap_or(Ok(()))?;
    }
    world.until("every report was answered", |world| world.is_reported().then_some(()))
}

fn commands_in(world: &World) -> usize {
    let entries = world.arrivals.iter().flat_map(|arrival| &arrival.events.entries);
    entries.filter(|entry| entry.number.is_some()).count()
}
