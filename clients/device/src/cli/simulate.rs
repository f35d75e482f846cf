//! `tidegate-device simulate`: load, and an account of every command.
//!
//! Each simulated device keeps its cursor in memory and drives the same
//! machine as the real one, so what it finds missing, doubled or out of order
//! is the gateway's doing.

mod device;
mod report;
mod sender;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use jsonwebtoken::{EncodingKey, Header};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use tidegate_device::clock::Clock;
use tidegate_device::endpoint::Endpoint;
use tidegate_device::rest::Rest;
use tidegate_device::token::Token;
use tidegate_protocol::id::UserId;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cli::simulate::report::Report;

/// Upgrades under way at once: a burst of thousands would overflow the listen
/// queue and measure the kernel's retries.
const DIALS_AT_ONCE: usize = 128;

/// Senders at work at once; each owns a part of the users, so that one user's
/// commands are sent in order.
const SENDERS: usize = 8;

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The gateway's base URL.
    #[arg(long, env = "TIDEGATE_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Users, each with one device and one socket.
    #[arg(long, default_value_t = 100)]
    devices: usize,
    /// Commands per second, all users together.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// How long to send, seconds.
    #[arg(long, default_value_t = 10)]
    duration_s: u64,
    /// How long to wait afterwards for what is still on its way, seconds.
    #[arg(long, default_value_t = 30)]
    settle_s: u64,
    /// A token with role `service`; made from the secret where absent.
    #[arg(long, env = "TIDEGATE_SERVICE_TOKEN", hide_env_values = true)]
    service_token: Option<String>,
    /// The gateway's HS256 secret: the devices' tokens are made with it.
    #[arg(long, env = "TIDEGATE_AUTH__HS256_SECRET", hide_env_values = true)]
    hs256_secret: String,
    /// Cut a random socket each time so many milliseconds have passed.
    #[arg(long)]
    cut_every_ms: Option<u64>,
    /// Seed of every random choice; a random one where absent. It is printed.
    #[arg(long)]
    seed: Option<u64>,
}

/// What all tasks of a simulation share.
struct Shared {
    endpoint: Endpoint,
    rest: Rest,
    begin: Instant,
    dials: Semaphore,
    /// Names this run, so that a second one with the same seed finds no
    /// leftovers of the first.
    run: String,
    /// Sockets welcomed at least once.
    live: AtomicU64,
    accepted: AtomicU64,
    delivered: AtomicU64,
    confirmed: AtomicU64,
    reconnects: AtomicU64,
    cuts: Vec<Notify>,
}

pub(crate) async fn run(simulate: Simulate) -> anyhow::Result<ExitCode> {
    ensure!(simulate.devices > 0, "--devices must be at least 1");
    let seed = simulate.seed.unwrap_or_else(|| rand::rng().random());
    // At once: a run that dies half way must be replayable too.
    writeln!(std::io::stdout().lock(), "seed {seed}")?;
    let report = account(&simulate, seed).await?;
    report.print()?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the simulation and accounts for it.
async fn account(simulate: &Simulate, seed: u64) -> anyhow::Result<Report> {
    let shared = Arc::new(shared(simulate)?);
    let signer = Signer::new(simulate, &Clock::system());
    let service = match &simulate.service_token {
        Some(token) => Token::new(token.trim()),
        None => signer.sign("tidegate-simulate", "service")?,
    };
    let cancel = CancellationToken::new();
    let mut devices = JoinSet::new();
    for index in 0..simulate.devices {
        let token = signer.sign(shared.user(index)?.as_str(), "device")?;
        let (shared, cancel) = (Arc::clone(&shared), cancel.clone());
        devices.spawn(async move { (index, device::run(&shared, index, token, &cancel).await) });
    }
    await_live(&shared, simulate.devices).await?;
    let sent = send_and_cut(simulate, &shared, &service, seed).await?;
    settle(&shared, Duration::from_secs(simulate.settle_s)).await;
    cancel.cancel();
    let mut report = Report::new(seed, &sent);
    while let Some(device) = devices.join_next().await {
        let (index, tally) = device.context("a simulated device panicked")?;
        report.add(&sent[index], &tally);
    }
    report.finish(&shared);
    Ok(report)
}

fn shared(simulate: &Simulate) -> anyhow::Result<Shared> {
    let endpoint = Endpoint::new(&simulate.url, None)?;
    Ok(Shared {
        rest: Rest::new(endpoint.clone())?,
        endpoint,
        begin: Instant::now(),
        dials: Semaphore::new(DIALS_AT_ONCE),
        run: uuid::Uuid::new_v4().simple().to_string()[..8].to_owned(),
        live: AtomicU64::new(0),
        accepted: AtomicU64::new(0),
        delivered: AtomicU64::new(0),
        confirmed: AtomicU64::new(0),
        reconnects: AtomicU64::new(0),
        cuts: (0..simulate.devices).map(|_| Notify::new()).collect(),
    })
}

impl Shared {
    fn user(&self, index: usize) -> anyhow::Result<UserId> {
        Ok(UserId::parse(&format!("sim-{}-{index}", self.run))?)
    }

    /// Time since the simulation began; travels in each command's value.
    fn elapsed_us(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Makes tokens.
struct Signer {
    key: EncodingKey,
    expires_at_s: i64,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    exp: i64,
    role: &'a str,
}

impl Signer {
    fn new(simulate: &Simulate, clock: &Clock) -> Self {
        // An hour to spare, so that no token ends during the run.
        let run_s = simulate.duration_s.saturating_add(simulate.settle_s).saturating_add(3600);
        let run_s = i64::try_from(run_s).unwrap_or(i64::MAX);
        Self {
            key: EncodingKey::from_secret(simulate.hs256_secret.as_bytes()),
            expires_at_s: (clock.local_now().millis() / 1000).saturating_add(run_s),
        }
    }

    fn sign(&self, sub: &str, role: &str) -> anyhow::Result<Token> {
        let claims = Claims { sub, exp: self.expires_at_s, role };
        let token = jsonwebtoken::encode(&Header::default(), &claims, &self.key)?;
        Ok(Token::new(token))
    }
}

/// Waits until every device had its welcome.
async fn await_live(shared: &Shared, devices: usize) -> anyhow::Result<()> {
    // Generous: 100 devices a second are reached by any gateway.
    let patience = Duration::from_secs(30 + devices as u64 / 100);
    let until = Instant::now() + patience;
    while shared.live.load(Ordering::Relaxed) < devices as u64 {
        if Instant::now() >= until {
            bail!("only {} of {devices} devices connected", shared.live.load(Ordering::Relaxed));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Sends for the time asked, cutting sockets meanwhile. Returns how many
/// commands were accepted for each user.
async fn send_and_cut(
    simulate: &Simulate,
    shared: &Arc<Shared>,
    service: &Token,
    seed: u64,
) -> anyhow::Result<Vec<sender::Sent>> {
    let senders = SENDERS.min(simulate.devices);
    let load = sender::Load {
        rate: f64::from(simulate.rate) / f64::from(u32::try_from(senders)?),
        is_batched: simulate.rate > 100,
        duration: Duration::from_secs(simulate.duration_s),
        patience: Duration::from_secs(simulate.settle_s),
    };
    let mut tasks = JoinSet::new();
    for part in 0..senders {
        let (shared, service) = (Arc::clone(shared), service.clone());
        let users = (part..simulate.devices).step_by(senders).collect();
        let random = StdRng::seed_from_u64(seed.wrapping_add(1 + part as u64));
        tasks.spawn(async move { sender::run(&shared, &service, load, users, random).await });
    }
    let mut sent = vec![sender::Sent::default(); simulate.devices];
    let collect = async {
        while let Some(part) = tasks.join_next().await {
            for (index, user) in part.context("a sender panicked")?? {
                sent[index] = user;
            }
        }
        anyhow::Ok(())
    };
    tokio::select! {
        collected = collect => collected?,
        () = cut(shared, simulate.cut_every_ms, seed) => {}
    }
    Ok(sent)
}

/// Cuts random sockets, for ever.
async fn cut(shared: &Shared, every_ms: Option<u64>, seed: u64) {
    let Some(every_ms) = every_ms else { return std::future::pending().await };
    let mut random = StdRng::seed_from_u64(seed);
    let mut ticks = tokio::time::interval(Duration::from_millis(every_ms.max(1)));
    loop {
        ticks.tick().await;
        shared.cuts[random.random_range(0..shared.cuts.len())].notify_one();
    }
}

/// Waits until everything accepted is delivered and confirmed, or time is up.
async fn settle(shared: &Shared, patience: Duration) {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        let accepted = shared.accepted.load(Ordering::Relaxed);
        let delivered = shared.delivered.load(Ordering::Relaxed);
        let confirmed = shared.confirmed.load(Ordering::Relaxed);
        if delivered >= accepted && confirmed >= accepted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests;
