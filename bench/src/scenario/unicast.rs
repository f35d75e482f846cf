//! Commands to random single users out of ten thousand, against a hand-made
//! outbox on the same database: servers measured in turns, each new at its turn
//! with its devices, because so many sockets are had only once.

use std::time::Duration;

use crate::load::device::{Peer, Policy};
use crate::load::world::World;
use crate::numbers::median;
use crate::postgres::Postgres;
use crate::report::{Budget, Row};
use crate::scenario::unicast::load::{Run, Unicast};
use crate::scenario::{NO_RETRIES, Scale, foreign};
use crate::server::Server;
use crate::token::Tokens;

mod load;

/// Commands in one batch call, and such calls at a time.
const BATCH: usize = 128;
const BATCHES: usize = 4;

/// Callers that send one command at a time.
const SINGLES: usize = 64;

/// Before a measurement, until what is warm in service is warm.
const WARM_UP: Duration = Duration::from_millis(500);

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let mut postgres = Postgres::start()?;
    let mut sqlite = Pair::default();
    let mut other = Pair::default();
    for _ in 0..scale.repeats {
        sqlite.outbox.push(turn(outbox(None)?, Peer::Outbox, scale)?);
        let (batches, singles) = turns(gateway(None)?, scale)?;
        sqlite.gateway.push(batches);
        sqlite.singles.push(singles);
        if let Some(postgres) = &mut postgres {
            other.outbox.push(turn(outbox(Some(postgres))?, Peer::Outbox, scale)?);
            other.gateway.push(turn(gateway(Some(postgres))?, Peer::Gateway, scale)?);
        }
    }
    let mut rows = on_sqlite(&sqlite);
    if postgres.is_some() {
        rows.extend(on_postgres(&other));
    } else {
        rows.push(Row::skipped("the same on PostgreSQL", "PostgreSQL is not installed"));
    }
    Ok(rows)
}

/// Runs on one database, in the order they were made.
#[derive(Default)]
struct Pair {
    outbox: Vec<Run>,
    gateway: Vec<Run>,
    /// The gateway again, with one command in each call.
    singles: Vec<Run>,
}

impl Pair {
    /// The gateway against the outbox of the same turn.
    fn ratio(&self, what: &str) -> Row {
        let pairs = || self.gateway.iter().zip(&self.outbox);
        let all_us = |run: &Run| run.cpu_us + run.database_us;
        let rates = pairs().map(|(gateway, outbox)| gateway.per_s / outbox.per_s).collect();
        let costs = pairs().map(|(gateway, outbox)| all_us(outbox) / all_us(gateway)).collect();
        Row::new(what, median(rates), "×")
            .against(Budget::AtLeast(1.0))
            .note(format!("{:.2} by CPU a message, which foreign work moves less", median(costs)))
    }
}

fn outbox(postgres: Option<&mut Postgres>) -> anyhow::Result<Server> {
    let Some(postgres) = postgres else { return Server::outbox(None) };
    let url = postgres.create()?;
    Ok(Server::outbox(Some(&url))?.with_database(Some(postgres.process()?)))
}

fn gateway(postgres: Option<&mut Postgres>) -> anyhow::Result<Server> {
    let Some(postgres) = postgres else { return Server::gateway(&[NO_RETRIES]) };
    let url = postgres.create()?;
    let server = Server::gateway(&[NO_RETRIES, ("TIDEGATE_DATABASE__URL", &url)])?;
    Ok(server.with_database(Some(postgres.process()?)))
}

fn turn(server: Server, peer: Peer, scale: &Scale) -> anyhow::Result<Run> {
    let mut unicast = start(server, peer, scale)?;
    unicast.measure(BATCHES, BATCH, scale.run * 3 / 4)
}

/// Batches, then one command in each call.
fn turns(server: Server, scale: &Scale) -> anyhow::Result<(Run, Run)> {
    let mut unicast = start(server, Peer::Gateway, scale)?;
    let batches = unicast.measure(BATCHES, BATCH, scale.run * 3 / 4)?;
    Ok((batches, unicast.measure(SINGLES, 1, scale.run / 2)?))
}

fn start(server: Server, peer: Peer, scale: &Scale) -> anyhow::Result<Unicast> {
    let tokens = Tokens::new();
    let policy = Policy { ack_entries: 200, report: false, peer };
    let mut world = World::new(server.address(), &tokens, policy)?;
    world.add_callers(SINGLES)?;
    world.add_devices(scale.devices, &tokens, None)?;
    let mut unicast = Unicast::new(server, world, scale.devices);
    unicast.measure(BATCHES, BATCH, WARM_UP)?;
    Ok(unicast)
}

fn of(runs: &[Run], figure: fn(&Run) -> f64) -> f64 {
    median(runs.iter().map(figure).collect())
}

fn per_second(what: &str, runs: &[Run]) -> Row {
    Row::new(what, of(runs, |run| run.per_s), "messages/s")
        .note(foreign(of(runs, |run| run.foreign)))
}

fn cpu(runs: &[Run]) -> Row {
    Row::new("the same, CPU", of(runs, |run| run.cpu_us), "CPU-µs per message")
}

fn written(runs: &[Run]) -> Row {
    Row::new("the same, written", of(runs, |run| run.written_bytes), "bytes per message")
        .note("pages the process had the disk write, log and file, a page again each time")
}

fn on_sqlite(runs: &Pair) -> Vec<Row> {
    vec![
        per_second("commands to single users, in batches of 128", &runs.gateway)
            .against(Budget::AtLeast(30_000.0)),
        cpu(&runs.gateway),
        written(&runs.gateway).against(Budget::AtMost(6_000.0)),
        per_second("hand-made outbox, SQLite", &runs.outbox),
        cpu(&runs.outbox),
        written(&runs.outbox),
        runs.ratio("the gateway against the outbox, SQLite"),
        per_second("commands to single users, one call each", &runs.singles)
            .against(Budget::AtLeast(18_000.0)),
        cpu(&runs.singles),
    ]
}

fn on_postgres(runs: &Pair) -> Vec<Row> {
    let database = |runs: &[Run]| {
        Row::new(
            "the same, PostgreSQL's CPU",
            of(runs, |run| run.database_us),
            "CPU-µs per message",
        )
    };
    vec![
        per_second("commands to single users, PostgreSQL", &runs.gateway),
        cpu(&runs.gateway),
        database(&runs.gateway),
        per_second("hand-made outbox, PostgreSQL", &runs.outbox),
        cpu(&runs.outbox),
        database(&runs.outbox),
        runs.ratio("the gateway against the outbox, PostgreSQL"),
    ]
}
