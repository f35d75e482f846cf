//! The marketplace: a large catalogue read for the first time and again, what
//! a day of changes costs a device in bytes, and how fast a change gets there.
//!
//! Upstream is a fake beside the load; the device is the SDK, replica included.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use tidegate_clock::Clock;
use tidegate_device::device::Device;
use tidegate_device::handler::{Change, Command, Handler, HandlerError, Outcome};
use tidegate_device::store::IN_MEMORY;
use tidegate_device::token::{StaticToken, Token};
use tidegate_fakes::atom::{FakeAtom, skill_id};
use tidegate_protocol::encoding::Encoding;
use tidegate_protocol::id::StreamName;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::numbers::{float, percentile};
use crate::report::{Budget, Row};
use crate::scenario::Scale;
use crate::server::Server;
use crate::token::Tokens;

const CATEGORIES: usize = 20;

/// Items that change, each twice.
const CHANGED: usize = 1_000;

/// Changes announced one by one.
const ANNOUNCED: usize = 300;

/// No step takes longer.
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Box::pin(measure(scale.devices)))
}

async fn measure(skills: usize) -> anyhow::Result<Vec<Row>> {
    let atom = FakeAtom::start(Clock::system()).await?;
    atom.fill(skills, CATEGORIES);
    let gateway = Server::gateway(&[
        ("TIDEGATE_MARKETPLACE__BASE_URL", &atom.url()),
        ("TIDEGATE_MARKETPLACE__WS_URL", &atom.ws_url()),
        ("TIDEGATE_MARKETPLACE__TOKEN", atom.token()),
    ])?;
    let operator = Operator::new(&gateway)?;
    let started = clock::now();
    let mut runs = operator.until_run(1).await?;
    let first = started.elapsed().as_secs_f64();
    let resident = float(gateway.resident_bytes()?) / 1e6;
    let again = operator.sync(&mut runs).await?;
    let mut phone = Phone::live(&gateway, skills + CATEGORIES).await?;
    let saved = day(&atom, &operator, &mut runs, &mut phone).await?;
    let mut latencies = announce(&atom, &mut phone).await?;
    phone.stop().await;
    Ok(vec![
        Row::new(format!("first sync of {skills} skills"), first, "s"),
        Row::new("the gateway's memory after it", resident, "MB"),
        Row::new("sync with nothing changed", again, "s"),
        Row::new("a marketplace day, below full JSON items", saved, "% of bytes")
            .against(Budget::AtLeast(90.0))
            .note(format!("{CHANGED} items changed a field twice, zstd")),
        Row::new("upstream's change → on the device, p50", percentile(&mut latencies, 50), "ms"),
        Row::new("upstream's change → on the device, p99", percentile(&mut latencies, 99), "ms")
            .against(Budget::AtMost(100.0)),
    ])
}

/// Changes a field of many items, twice; what the device got for it, in
/// percent below the items themselves.
async fn day(
    atom: &FakeAtom,
    operator: &Operator,
    runs: &mut i64,
    phone: &mut Phone,
) -> anyhow::Result<f64> {
    let before = operator.bytes_sent().await?;
    let mut whole = 0;
    for round in 0..2 {
        for index in 0..CHANGED {
            let id = skill_id(index);
            atom.edit_skill(&id, |skill| skill["version"] = json!(format!("9.{round}.{index}")));
            whole += atom.skill(&id).context("it was just changed")?.to_string().len();
        }
        operator.sync(runs).await?;
        phone.until_changed(CHANGED).await?;
    }
    let sent = operator.bytes_sent().await? - before;
    Ok((1.0 - sent / float(whole)) * 100.0)
}

/// Announces changes one by one; how long each took, in milliseconds.
async fn announce(atom: &FakeAtom, phone: &mut Phone) -> anyhow::Result<Vec<f64>> {
    let mut latencies = Vec::with_capacity(ANNOUNCED);
    for index in 0..ANNOUNCED {
        let id = skill_id(index);
        atom.edit_skill(&id, |skill| skill["version"] = json!(format!("10.0.{index}")));
        let sent = clock::now();
        atom.announce_skill(&id);
        phone.until_changed(1).await?;
        latencies.push(sent.elapsed().as_secs_f64() * 1e3);
        // Below upstream's limit of 100 messages a second.
        tokio::time::sleep(Duration::from_millis(12)).await;
    }
    Ok(latencies)
}

/// Asks and tells the gateway what operators do.
struct Operator {
    client: Client,
    base: String,
    token: String,
}

impl Operator {
    fn new(gateway: &Server) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().build()?;
        let base = format!("http://{}", gateway.address());
        Ok(Self { client, base, token: Tokens::new().admin()? })
    }

    /// Runs a synchronisation; how long it took, seconds.
    async fn sync(&self, runs: &mut i64) -> anyhow::Result<f64> {
        let started = clock::now();
        let url = format!("{}/api/v1/admin/sync/trigger", self.base);
        let answer = self.client.post(url).bearer_auth(&self.token).send().await?;
        ensure!(answer.status() == 202, "the trigger was answered {}", answer.status());
        *runs = self.until_run(*runs + 1).await?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// Waits until so many runs ended, all of them well.
    async fn until_run(&self, runs: i64) -> anyhow::Result<i64> {
        let deadline: Instant = clock::now() + PATIENCE;
        let url = format!("{}/api/v1/admin/sync/status", self.base);
        loop {
            let request = self.client.get(&url).bearer_auth(&self.token);
            let status: Value = request.send().await?.error_for_status()?.json().await?;
            let sync = &status["sync"];
            let ended = sync["total_syncs"].as_i64().unwrap_or_default();
            ensure!(sync["failed_syncs"] == 0, "a run failed: {}", sync["last_error"]);
            if ended >= runs && sync["status"] == "idle" {
                return Ok(ended);
            }
            ensure!(clock::now() < deadline, "the run does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Bytes sent over sockets so far.
    async fn bytes_sent(&self) -> anyhow::Result<f64> {
        let text = self.client.get(format!("{}/metrics", self.base)).send().await?.text().await?;
        let name = "tidegate_socket_bytes_sent_total ";
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        Ok(value.context("there is no such figure")?.parse()?)
    }
}

/// A device that follows the marketplace.
struct Phone {
    items: mpsc::Receiver<usize>,
    cancel: CancellationToken,
    task: JoinSet<()>,
}

impl Phone {
    /// Connects and waits for the snapshot.
    async fn live(gateway: &Server, items: usize) -> anyhow::Result<Self> {
        let (sender, receiver) = mpsc::channel(64);
        let url = format!("http://{}", gateway.address());
        let token = StaticToken(Token::new(&Tokens::new().device(0)?));
        let device = Device::builder(url, token, App { items: sender })
            .store(IN_MEMORY)
            .subscribe([StreamName::parse("marketplace")?])
            .encodings([Encoding::Zstd])
            .build()
            .await?;
        let (cancel, mut task) = (CancellationToken::new(), JoinSet::new());
        let stop = cancel.clone();
        task.spawn(async move {
            let _ = device.run(stop).await;
        });
        let mut phone = Self { items: receiver, cancel, task };
        phone.until_changed(items).await?;
        Ok(phone)
    }

    /// Waits for so many items.
    async fn until_changed(&mut self, wanted: usize) -> anyhow::Result<()> {
        let mut came = 0;
        while came < wanted {
            let next = tokio::time::timeout(PATIENCE, self.items.recv()).await;
            let next = next.with_context(|| format!("only {came} of {wanted} items came"))?;
            came += next.context("the device stopped")?;
        }
        ensure!(came == wanted, "{came} items came instead of {wanted}");
        Ok(())
    }

    async fn stop(mut self) {
        self.cancel.cancel();
        while self.task.join_next().await.is_some() {}
    }
}

/// Tells how many items came.
struct App {
    items: mpsc::Sender<usize>,
}

impl App {
    async fn tell(&self, items: usize) -> Result<(), HandlerError> {
        let sent = self.items.send(items).await;
        sent.map_err(|_| HandlerError("nobody listens".to_owned()))
    }
}

impl Handler for App {
    async fn execute(&self, _: &Command) -> Outcome {
        Outcome::Postponed
    }

    async fn on_changes(&self, _: &StreamName, changes: &[Change]) -> Result<(), HandlerError> {
        self.tell(changes.len()).await
    }

    async fn on_snapshot(&self, _: &StreamName, items: &[Change]) -> Result<(), HandlerError> {
        self.tell(items.len()).await
    }
}
