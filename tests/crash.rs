//! Proves that nothing accepted is lost: the real program is killed with
//! SIGKILL under load, twenty times over, and every command that it had
//! accepted is accounted for afterwards.

use std::time::Duration;

use rand::Rng as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::crash::data::Data;
use crate::crash::device::{Device, Log};
use crate::crash::load::Load;
use crate::crash::process::Process;
use crate::seed;

mod account;
pub(crate) mod data;
mod device;
mod load;
pub(crate) mod process;
mod wire;

const ROUNDS: usize = 20;

/// Rounds under way at once. Enough to use the machine, few enough that the
/// kill still hits a gateway under load.
const AT_ONCE: usize = 2;

/// Users, and devices of each.
const USERS: usize = 2;
const DEVICES: usize = 2;

/// No round takes this long unless something is stuck.
const STUCK: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_accepted_is_lost_when_the_process_is_killed() {
    let mut seeds = seed::rounds("crash", ROUNDS).into_iter();
    let mut rounds = JoinSet::new();
    let mut accepted = 0;
    loop {
        while rounds.len() < AT_ONCE
            && let Some(seed) = seeds.next()
        {
            rounds.spawn(async move {
                let played = tokio::time::timeout(STUCK, round(seed)).await;
                let judged = played.unwrap_or_else(|_| Err("stuck".to_owned()));
                judged.map_err(|fault| format!("{}: {fault}", seed::replay(seed)))
            });
        }
        match rounds.join_next().await {
            None => break,
            Some(Ok(Ok(commands))) => accepted += commands,
            Some(Ok(Err(fault))) => panic!("{fault}"),
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    seed::say(&format!("crash: {accepted} commands accepted and accounted for"));
}

/// Kills a gateway once or twice, and accounts for everything. How many
/// commands there were.
async fn round(seed: u64) -> Result<usize, String> {
    let mut rng = seed::rng(seed);
    let data = Data::fresh().await;
    let mut process = Process::start(&data).await?;
    let (address, addresses) = watch::channel(process.address());
    let devices: Vec<Device> = (0..USERS * DEVICES)
        .map(|number| Device::new(&format!("u{}", number / DEVICES), rng.random()))
        .collect();
    let load = Load::new(&devices, addresses.clone());
    let end = CancellationToken::new();
    let mut tasks = JoinSet::new();
    for device in &devices {
        tasks.spawn(device.clone().live(addresses.clone(), end.clone()));
    }
    for device in &devices {
        device.until("up to date", Log::is_up_to_date).await?;
    }
    for _ in 0..rng.random_range(1..=2) {
        let creating = load.create(rng.random());
        let kill_after = Duration::from_millis(rng.random_range(10..250));
        let killing = async {
            tokio::time::sleep(kill_after).await;
            process.kill().await;
        };
        let (created, ()) = tokio::join!(creating, killing);
        created?;
        process = Process::start(&data).await?;
        address.send_replace(process.address());
    }
    let judged = account::settle(&load, &devices).await;
    end.cancel();
    tasks.join_all().await;
    process.kill().await;
    let log = process.log();
    judged.map_err(|fault| format!("{fault}\n{log}"))
}

/// SIGTERM with sockets open: they hear `drain` and 1012, and the process
/// exits 0 well within its deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_drains_the_process() {
    let data = Data::fresh().await;
    let mut process = Process::start(&data).await.unwrap();
    let devices = [Device::new("u0", 1), Device::new("u1", 2)];
    let mut tasks = JoinSet::new();
    for device in &devices {
        tasks.spawn(device.clone().live_once(process.address()));
    }
    for device in &devices {
        device.until("up to date", Log::is_up_to_date).await.unwrap();
    }
    let (status, took) = process.terminate().await;
    assert!(status.success(), "{status}\n{}", process.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
    for closed in tasks.join_all().await {
        assert_eq!(closed, Some((1012, "drain".to_owned())));
    }
    for device in &devices {
        assert!(device.read(Log::is_drained), "`drain` comes before the close frame");
    }
}
