//! Proves that no order of events breaks a promise: the real session machine,
//! journal, writer and database, driven step by step from a seed, without a
//! socket and without a timer.

use crate::seed;
use crate::simulation::world::World;

mod client;
mod connection;
mod judge;
mod rows;
mod world;

/// Steps of one history, and how many histories a run plays.
const STEPS: usize = 250;
const HISTORIES: usize = 4;

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
    Report,
    Cut,
    Heartbeat,
    WriteBehind,
    Sweep,
    JumpClock,
    Trim,
    Restart,
}

/// How often each happens, in hundredths and a bit.
const STEPS_BY_WEIGHT: [(Step, u32); 16] = [
    (Step::Create, 12),
    (Step::Publish, 10),
    (Step::Cancel, 2),
    (Step::Connect, 10),
    (Step::Deliver, 18),
    (Step::Receive, 20),
    (Step::Ack, 14),
    (Step::BadAck, 1),
    (Step::Report, 5),
    (Step::Cut, 3),
    (Step::Heartbeat, 3),
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

async fn history(seed: u64) {
    seed::say(&format!("simulation: {}", seed::replay(seed)));
    let mut world = World::new(seed).await;
    for number in 0..STEPS {
        let step = any_step(&mut world.rng);
        world.trace(number, step);
        world.take(step).await;
        world.check().await;
    }
    world.settle().await;
    judge::everything(&mut world).await;
    world.end().await;
}

#[tokio::test]
async fn no_order_of_events_breaks_a_promise() {
    for seed in seed::rounds("simulation", HISTORIES) {
        Box::pin(history(seed)).await;
    }
}
