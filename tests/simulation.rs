//! Proves that no order of events breaks a promise: the real session machine,
//! polls, journal, writer, marketplace, push tier and database, driven step by
//! step from a seed, without a socket and without a timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::seed;
use crate::simulation::node::Around;
use crate::simulation::world::World;

mod client;
mod connection;
mod judge;
mod market;
mod node;
mod polling;
mod rows;
mod wakes;
mod world;

/// Steps of one history.
const STEPS: usize = 100;

/// Histories of a run, if the environment does not say how many. One on
/// PostgreSQL takes as long as fifty on SQLite.
const HISTORIES: usize = 1_000;
const HISTORIES_POSTGRES: usize = 20;

/// How many to play instead.
const VARIABLE: &str = "TIDEGATE_SIMULATION_HISTORIES";

/// Histories that share a push service, which remembers all it was sent.
const HISTORIES_AROUND: usize = 100;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create,
    Publish,
    Cancel,
    Connect,
    Deliver,
    Receive,
    Ack,
    BadAck,
    Poll,
    Report,
    Cut,
    Heartbeat,
    Hear,
    Edit,
    Rule,
    Lead,
    Wake,
    WriteBehind,
    Sweep,
    JumpClock,
    Trim,
    Restart,
}

/// How often each happens, in hundredths and a bit.
const STEPS_BY_WEIGHT: [(Step, u32); 22] = [
    (Step::Create, 12),
    (Step::Publish, 8),
    (Step::Cancel, 2),
    (Step::Connect, 10),
    (Step::Deliver, 18),
    (Step::Receive, 20),
    (Step::Ack, 14),
    (Step::BadAck, 1),
    (Step::Poll, 8),
    (Step::Report, 5),
    (Step::Cut, 4),
    (Step::Heartbeat, 3),
    (Step::Hear, 8),
    (Step::Edit, 4),
    (Step::Rule, 2),
    (Step::Lead, 1),
    (Step::Wake, 5),
    (Step::WriteBehind, 6),
    (Step::Sweep, 6),
    (Step::JumpClock, 3),
    (Step::Trim, 5),
    (Step::Restart, 1),
];

fn any_step(rng: &mut impl rand::Rng) -> Step {
    let all: u32 = STEPS_BY_WEIGHT.iter().map(|(_, weight)| weight).sum();
    let mut at = rng.random_range(0..all);
    for (step, weight) in STEPS_BY_WEIGHT {
        if at < weight {
            return step;
        }
        at -= weight;
    }
    Step::Deliver
}

async fn history(around: &Arc<Around>, seed: u64) {
    let mut world = World::new(Arc::clone(around), seed).await;
    for _ in 0..STEPS {
        let step = any_step(&mut world.rng);
        world.trace(step);
        world.take(step).await;
        world.check().await;
    }
    world.settle().await;
    judge::everything(&mut world).await;
    world.end().await;
}

/// How many histories a run plays.
fn histories() -> usize {
    match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => text.parse().expect("a count of histories"),
        _ if std::env::var_os("DATABASE_URL").is_some() => HISTORIES_POSTGRES,
        _ => HISTORIES,
    }
}

/// Plays histories until none is left, or one failed on another thread.
fn play(seeds: &[u64], next: &AtomicUsize, failed: &AtomicBool) {
    /// Tells the others.
    struct Failing<'a>(&'a AtomicBool);
    impl Drop for Failing<'_> {
        fn drop(&mut self) {
            self.0.fetch_or(thread::panicking(), Ordering::Relaxed);
        }
    }
    let _failing = Failing(failed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut around = Arc::new(Box::pin(Around::new()).await);
        for count in 1.. {
            let seed = seeds.get(next.fetch_add(1, Ordering::Relaxed));
            let Some(seed) = seed.filter(|_| !failed.load(Ordering::Relaxed)) else { return };
            Box::pin(history(&around, *seed)).await;
            if count % HISTORIES_AROUND == 0 {
                around = Arc::new(Box::pin(Around::new()).await);
            }
        }
    });
}

#[test]
fn no_order_of_events_breaks_a_promise() {
    let seeds = seed::rounds("simulation", histories());
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let threads = thread::available_parallelism().map_or(1, usize::from).min(seeds.len());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| play(&seeds, &next, &failed));
        }
    });
    seed::say(&format!("{} histories of {STEPS} steps, and their ends", seeds.len()));
}
