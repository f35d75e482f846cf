//! A round: one gateway, its devices and its callers, and one trouble after the
//! other; then the account.

use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use reqwest::Method;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::crash::counts::Counts;
use crate::crash::data::Data;
use crate::crash::device::{Device, Log, Repeats};
use crate::crash::load::{Load, Said};
use crate::crash::process::Process;
use crate::crash::trouble::{Plan, Trouble, files};
use crate::crash::{account, journal, neighbours, walker};
use crate::seed;
use crate::support::{FailingDisk, Server};

/// Users, and devices of each.
const USERS: usize = 2;
const DEVICES: usize = 2;

/// After a trouble the gateway works again within this time, by itself.
const RECOVERY: Duration = Duration::from_secs(30);

/// How often it is asked.
const LOOK: Duration = Duration::from_millis(20);

/// Between two rounds of terminated backends.
const TERMINATE_EVERY: Duration = Duration::from_millis(15);

/// Deadlines of statements, milliseconds: shorter than some troubles last, and
/// longer than all.
const DEADLINES_MS: [u32; 3] = [250, 1_000, 10_000];

/// A gateway under trouble.
struct Round {
    data: Data,
    disk: FailingDisk,
    variables: Vec<(String, String)>,
    process: Process,
    address: watch::Sender<SocketAddr>,
    counts: Counts,
    /// What the processes before this one logged.
    log: String,
}

/// Plays a round and accounts for everything: what was counted.
pub(super) async fn play(seed: u64, data: Data, plan: &Plan) -> Result<Counts, String> {
    let mut rng = seed::rng(seed);
    let repeats = if plan.clock_jumps { Repeats::WhenTimeJumps } else { Repeats::Never };
    let mut round = Round::start(data, &mut rng).await?;
    let addresses = round.address.subscribe();
    let devices: Vec<Device> = (0..USERS * DEVICES)
        .map(|number| Device::new(&format!("u{}", number / DEVICES), rng.random(), repeats))
        .collect();
    let load = Load::new(&devices, addresses.clone());
    let end = CancellationToken::new();
    let mut tasks = JoinSet::new();
    for device in &devices {
        tasks.spawn(device.clone().live(addresses.clone(), end.clone()));
    }
    let judged = round.judge(&mut rng, &load, &devices, plan, repeats).await;
    end.cancel();
    tasks.join_all().await;
    round.process.kill().await;
    let judged = match judged {
        Ok(()) => journal::check(&round.data, &load, &devices).await,
        Err(fault) => Err(fault),
    };
    let rows = judged.map_err(|fault| format!("{fault}\n{}{}", round.log, round.process.log()))?;
    let mut counts = std::mem::take(&mut *load.counts());
    counts += Counts { rounds: 1, rows, ..round.counts };
    Ok(counts)
}

impl Round {
    async fn start(data: Data, rng: &mut StdRng) -> Result<Self, String> {
        let disk = FailingDisk::of("tidegate.db");
        let mut variables = disk.variables();
        let deadline = DEADLINES_MS[rng.random_range(0..DEADLINES_MS.len())];
        for (name, value) in [
            ("TIDEGATE_DATABASE__STATEMENT_TIMEOUT_MS", deadline.to_string()),
            ("TIDEGATE_STREAMS__SHARED", r#"["news"]"#.to_owned()),
        ] {
            variables.push((name.to_owned(), value));
        }
        let process = Process::start_with(&data, &variables).await?;
        let address = watch::Sender::new(process.address());
        let (counts, log) = (Counts::default(), String::new());
        Ok(Self { data, disk, variables, process, address, counts, log })
    }

    async fn judge(
        &mut self,
        rng: &mut StdRng,
        load: &Load,
        devices: &[Device],
        plan: &Plan,
        repeats: Repeats,
    ) -> Result<(), String> {
        for device in devices {
            device.until("up to date", Log::is_up_to_date).await?;
        }
        for _ in 0..rng.random_range(plan.troubles.clone()) {
            self.trouble(rng, load, plan).await?;
        }
        self.until_ready(load).await?;
        account::settle(load, devices, repeats).await
    }

    /// A trouble under load, and some more load after it.
    async fn trouble(&mut self, rng: &mut StdRng, load: &Load, plan: &Plan) -> Result<(), String> {
        let trouble = Trouble::pick(rng, &self.data, plan);
        *self.counts.troubles.entry(trouble.name()).or_default() += 1;
        let (before, lasts, after) = (plan.lasts(rng) / 2, plan.lasts(rng), plan.lasts(rng) / 4);
        let (end, over) = (CancellationToken::new(), before + lasts + after);
        let creating = load.create(rng.random(), over, &end);
        let others = neighbours::live(load, rng.random(), &end);
        let walking = walker::live(load, rng.random(), &end);
        let striking = async {
            tokio::time::sleep(before).await;
            let struck = self.strike(trouble, lasts, rng).await;
            tokio::time::sleep(after).await;
            end.cancel();
            struck
        };
        let (created, lived, walked, struck) = tokio::join!(creating, others, walking, striking);
        let ended = created.and(lived).and(walked).and(struck);
        ended.map_err(|fault| format!("{trouble:?} for {lasts:?}: {fault}"))?;
        if rng.random() { self.until_ready(load).await } else { Ok(()) }
    }

    async fn strike(
        &mut self,
        trouble: Trouble,
        lasts: Duration,
        rng: &mut StdRng,
    ) -> Result<(), String> {
        let text = |error: sea_orm::DbErr| error.to_string();
        match trouble {
            Trouble::Kill => self.kill().await?,
            Trouble::Terminate => self.terminate().await?,
            Trouble::Disk(fault, skip) => {
                self.disk.fail_after(fault, files(rng), skip);
                tokio::time::sleep(lasts).await;
                let is_killed = rng.random_bool(0.2);
                if is_killed {
                    self.process.kill().await;
                }
                self.disk.heal();
                if is_killed {
                    self.start_again().await?;
                }
            }
            Trouble::Clock(minutes) => self.disk.set_clock_ms(i64::from(minutes) * 60_000),
            Trouble::Backends => {
                let until = Instant::now() + lasts;
                while Instant::now() < until {
                    self.data.terminate_backends().await.map_err(text)?;
                    tokio::time::sleep(TERMINATE_EVERY).await;
                }
            }
            Trouble::Restart(is_crash) => self.server()?.restart(is_crash).await?,
            Trouble::Freeze => self.server()?.freeze(lasts).await?,
        }
        // What was committed just after a trouble must be there too.
        if trouble != Trouble::Kill && rng.random_bool(0.3) {
            tokio::time::sleep(lasts / 4).await;
            self.kill().await?;
        }
        Ok(())
    }

    fn server(&self) -> Result<&Server, String> {
        self.data.server().ok_or_else(|| "the server belongs to somebody else".to_owned())
    }

    async fn kill(&mut self) -> Result<(), String> {
        self.process.kill().await;
        self.start_again().await
    }

    async fn terminate(&mut self) -> Result<(), String> {
        let status = self.process.terminate().await;
        if !status.success() {
            return Err(format!("ended with {status}"));
        }
        self.start_again().await
    }

    async fn start_again(&mut self) -> Result<(), String> {
        self.log.push_str(&self.process.log());
        self.process = Process::start_with(&self.data, &self.variables).await?;
        self.address.send_replace(self.process.address());
        Ok(())
    }

    async fn until_ready(&self, load: &Load) -> Result<(), String> {
        let asked = Instant::now();
        while asked.elapsed() < RECOVERY {
            let request = load.request(Method::GET, "/readyz", None);
            if request.send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        let answer = load.send(load.request(Method::GET, "/readyz", None)).await;
        match answer {
            Ok(Said::Answered(..)) => Ok(()),
            Ok(_) => Err("no readiness".to_owned()),
            Err(said) => Err(format!("not ready within {RECOVERY:?}: {said}")),
        }
    }
}
