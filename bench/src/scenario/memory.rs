//! Memory of an idle session: after hello, and after three broadcasts.

use std::time::Duration;

use crate::load::world::World;
use crate::numbers::float;
use crate::report::{Budget, Row};
use crate::scenario::{ACK_COALESCED, Scale, expect, payload};
use crate::server::{SHARED, Server};
use crate::token::Tokens;

/// Until the allocator has given back what the handshakes took.
const SETTLE: Duration = Duration::from_secs(3);

const BROADCASTS: usize = 3;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let gateway = Server::gateway(&[])?;
    let tokens = Tokens::new();
    let mut world = World::new(gateway.address(), &tokens, ACK_COALESCED)?;
    world.add_callers(1)?;
    let before = gateway.resident_bytes()?;
    let usage = gateway.usage()?;
    world.add_devices(scale.devices, &tokens, Some(SHARED))?;
    let connected = gateway.used_since(&usage)?;
    std::thread::sleep(SETTLE);
    let idle = gateway.resident_bytes()?;
    for number in 0..BROADCASTS {
        broadcast(&mut world, number, scale.devices)?;
    }
    world.ack_all()?;
    std::thread::sleep(SETTLE);
    let after = gateway.resident_bytes()?;
    let each = |bytes: usize| float(bytes.saturating_sub(before)) / float(scale.devices);
    let base =
        format!("{:.1} MB before, {:.1} MB with {} sessions", mb(before), mb(idle), scale.devices);
    Ok(vec![
        Row::new("memory of an idle session after hello", each(idle), "bytes")
            .against(Budget::AtMost(3_500.0))
            .note(base),
        Row::new("the same after 3 broadcasts", each(after), "bytes"),
        Row::new(
            "CPU to bring one session to life",
            connected.cpu_s / float(scale.devices) * 1e6,
            "µs",
        ),
    ])
}

fn mb(bytes: usize) -> f64 {
    float(bytes) / 1e6
}

/// Publishes one record and waits until every device has it.
fn broadcast(world: &mut World, number: usize, devices: usize) -> anyhow::Result<()> {
    let data = payload(number, 128);
    let body =
        format!(r#"{{"records":[{{"collection":"bench","id":"r","op":"put","data":{data}}}]}}"#);
    world.post(0, &format!("/api/v1/streams/{SHARED}/records"), &body)?;
    let (mut arrived, mut answer) = (0, None);
    world.until("the broadcast arrived", |world| {
        answer = answer.take().or(world.responses.first().map(|answer| expect(answer, 202)));
        arrived += world.arrivals.iter().map(|arrival| arrival.events.entries.len()).sum::<usize>();
        let refused = matches!(answer, Some(Err(_)));
        (refused || (arrived >= devices && answer.is_some())).then_some(())
    })?;
    answer.unwrap_or(Ok(()))
}
