//! Proves that nothing accepted is lost: the real program is killed with
//! SIGKILL under load, its disk fills, fails, becomes read-only or hangs, its
//! database goes away; and every command that it had accepted, every entry that
//! it told of, and every result that it confirmed is accounted for afterwards.
//!
//! `make test` plays some rounds of one or two troubles. `make torture` plays
//! longer ones for as long as it is told, with a PostgreSQL of its own that is
//! restarted and frozen, and with a clock that jumps.

use std::time::Duration;

use rand::Rng as _;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::crash::counts::Counts;
use crate::crash::data::Data;
use crate::crash::device::{Device, Log, Repeats};
use crate::crash::process::Process;
use crate::crash::trouble::Plan;
use crate::seed;
use crate::support::{Server, named_server};

mod account;
mod counts;
pub(crate) mod data;
mod device;
mod journal;
mod load;
mod neighbours;
mod phone;
pub(crate) mod process;
mod round;
mod trouble;
mod walker;
mod wire;

const ROUNDS: usize = 32;

/// Rounds under way at once. Enough to use the machine, few enough that the
/// kill still hits a gateway under load.
const AT_ONCE: usize = 2;

/// The variable that makes the run long: for how many minutes rounds begin.
const MINUTES: &str = "TIDEGATE_TORTURE_MINUTES";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_accepted_is_lost() {
    let minutes = std::env::var(MINUTES).ok().filter(|text| !text.is_empty());
    let Some(minutes) = minutes else {
        let seeds = seed::rounds("crash", ROUNDS).into_iter();
        return run(seeds, Plan::short()).await;
    };
    let minutes: u64 = minutes.parse().expect("minutes are a whole number");
    let until = Instant::now() + Duration::from_mins(minutes);
    // The first round is played with the seed that is printed, so that a round
    // that failed is replayed by its own seed and 0 minutes.
    let first = seed::pick("torture");
    if !Server::is_installed() {
        seed::say("PostgreSQL is not installed: no rounds on it");
    }
    let mut rng = seed::rng(first);
    let others =
        std::iter::repeat_with(move || rng.random()).take_while(|_| Instant::now() < until);
    run(std::iter::once(first).chain(others), Plan::long()).await;
}

/// Plays rounds, tells what went wrong in each, and at the end fails if
/// anything did.
async fn run(mut seeds: impl Iterator<Item = u64>, plan: Plan) {
    let mut rounds = JoinSet::new();
    let (mut counts, mut failed) = (Counts::default(), Vec::new());
    loop {
        while rounds.len() < AT_ONCE
            && let Some(seed) = seeds.next()
        {
            let plan = plan.clone();
            rounds.spawn(async move {
                let played = tokio::time::timeout(plan.stuck, Box::pin(round(seed, &plan))).await;
                let judged = played.unwrap_or_else(|_| Err("stuck".to_owned()));
                let replay = seed::replay(seed);
                judged.map_err(|fault| format!("{replay}: {fault}")).map(|round| (replay, round))
            });
        }
        match rounds.join_next().await {
            None => break,
            Some(Ok(Ok((replay, round)))) => {
                if plan.clock_jumps {
                    seed::say(&format!("{replay}: {round}"));
                }
                counts += round;
            }
            Some(Ok(Err(fault))) => {
                seed::say(&fault);
                failed.push(fault);
            }
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    seed::say(&format!("in all {counts}"));
    assert!(failed.is_empty(), "{} rounds failed; the first: {}", failed.len(), failed[0]);
}

/// A long run uses a PostgreSQL of its own in every other round, where there is
/// one: the seed says in which.
async fn round(seed: u64, plan: &Plan) -> Result<Counts, String> {
    let is_long = plan.clock_jumps;
    let data = match is_long && seed & 1 == 1 && named_server().is_none() {
        true => Server::start().await?.map_or_else(Data::embedded, Data::on),
        false if is_long && seed & 1 == 0 => Data::embedded(),
        false => Data::fresh().await,
    };
    round::play(seed, data, plan).await
}

/// SIGTERM with sockets open: they hear `drain` and 1012, and the process
/// exits 0 long before its deadline, which nobody here waits for.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_drains_the_process() {
    let data = Data::fresh().await;
    let deadline = [("TIDEGATE_DRAIN__DEADLINE_MS".to_owned(), "60000".to_owned())];
    let mut process = Process::start_with(&data, &deadline).await.unwrap();
    let devices = [Device::new("u0", 1, Repeats::Never), Device::new("u1", 2, Repeats::Never)];
    let mut tasks = JoinSet::new();
    for device in &devices {
        tasks.spawn(device.clone().live_once(process.address()));
    }
    for device in &devices {
        device.until("up to date", Log::is_up_to_date).await.unwrap();
    }
    let status = process.terminate().await;
    assert!(status.success(), "{status}\n{}", process.log());
    for closed in tasks.join_all().await {
        assert_eq!(closed, Some((1012, "drain".to_owned())));
    }
    for device in &devices {
        assert!(device.read(Log::is_drained), "`drain` comes before the close frame");
    }
}
