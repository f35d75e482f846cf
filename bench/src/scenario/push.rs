//! How fast devices without a socket are woken: commands to as many offline
//! devices, through a fake FCM that takes everything, checked to reach each
//! device once.
//!
//! The fake shares the load's core, so that its work is not the gateway's.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Client;
use tempfile::TempDir;
use tidegate_fakes::fcm::FakeFcm;

use crate::clock;
use crate::load::device::user;
use crate::numbers::{float, median};
use crate::report::Row;
use crate::scenario::{Scale, command, foreign, rate};
use crate::server::{Server, Used};
use crate::token::Tokens;

/// Calls at the same time.
const CALLERS: usize = 16;

/// Commands in one call.
const PER_CALL: usize = 500;

/// Bytes of each command's value: it travels inside its wake-up.
const BYTES: usize = 128;

/// No run takes longer.
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let mut runs = Vec::new();
    for _ in 0..scale.repeats {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runs.push(runtime.block_on(Box::pin(one(scale.devices)))?);
    }
    let median = |of: fn(&Run) -> f64| median(runs.iter().map(of).collect());
    let (pushed, accepting, pushing, foreign_share) = (
        median(|run| rate(run.devices, run.pushed.wall_s)),
        median(|run| run.accepted.cpu_s / float(run.devices) * 1e3),
        median(|run| run.pushed.cpu_s / float(run.devices) * 1e3),
        median(|run| run.pushed.foreign),
    );
    Ok(vec![
        Row::new("commands accepted and pushed to absent devices", pushed, "/s").note(format!(
            "{} devices; {}",
            scale.devices,
            foreign(foreign_share)
        )),
        Row::new("the gateway's CPU for 1,000 of them", pushing, "s"),
        Row::new("the same without a device to push to", accepting, "s"),
    ])
}

/// What two times the same commands cost.
struct Run {
    devices: usize,
    /// To users without a device.
    accepted: Used,
    /// To users with one, until the last was pushed.
    pushed: Used,
}

async fn one(devices: usize) -> anyhow::Result<Run> {
    let fcm = FakeFcm::start().await;
    let files = TempDir::new()?;
    let credentials = files.path().join("account.json");
    std::fs::write(&credentials, fcm.credentials())?;
    let gateway = Server::gateway(&[
        ("TIDEGATE_PUSH__FCM__CREDENTIALS_FILE", credentials.to_str().context("a path")?),
        ("TIDEGATE_PUSH__FCM__BASE_URL", &fcm.url()),
        ("TIDEGATE_PUSH__RAMP_S", "0"),
        ("TIDEGATE_PUSH__PROJECT_PER_MINUTE", "6000000"),
        // Nobody answers: no repeats within the run.
        ("TIDEGATE_PUSH__ACK_TIMEOUT_MS", "600000"),
    ])?;
    let backend = Backend::new(&gateway)?;
    backend.register(devices).await?;
    let before = gateway.usage()?;
    backend.make((devices..2 * devices).collect()).await?;
    let accepted = gateway.used_since(&before)?;
    let before = gateway.usage()?;
    backend.make((0..devices).collect()).await?;
    wait(&fcm, devices).await?;
    let pushed = gateway.used_since(&before)?;
    for number in 0..devices {
        let times = fcm.delivered(&token(number)).len();
        ensure!(times == 1, "device {number} was woken {times} times");
    }
    Ok(Run { devices, accepted, pushed })
}

fn token(number: usize) -> String {
    format!("token-{number}")
}

/// Until every device was pushed to.
async fn wait(fcm: &FakeFcm, devices: usize) -> anyhow::Result<()> {
    let deadline: Instant = clock::now() + PATIENCE;
    let mut seen = 0;
    while seen < devices {
        tokio::time::sleep(Duration::from_millis(2)).await;
        seen += fcm.requests_after(seen).len();
        ensure!(clock::now() < deadline, "only {seen} of {devices} devices were pushed to");
    }
    Ok(())
}

/// Devices and a backend, as callers over HTTP.
struct Backend {
    client: Client,
    base: String,
    tokens: Tokens,
}

impl Backend {
    fn new(gateway: &Server) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().build()?;
        Ok(Self { client, base: format!("http://{}", gateway.address()), tokens: Tokens::new() })
    }

    async fn register(&self, devices: usize) -> anyhow::Result<()> {
        let calls = (0..devices).map(|number| async move {
            let body = format!(r#"{{"platform":"android","fcm_token":"{}"}}"#, token(number));
            let bearer = self.tokens.device(number)?;
            self.post("/api/v1/devices/register", &bearer, body, 200).await
        });
        stream::iter(calls).buffer_unordered(CALLERS).try_collect().await
    }

    /// A command for each of these users.
    async fn make(&self, users: Vec<usize>) -> anyhow::Result<()> {
        let bearer = &self.tokens.service()?;
        let calls = users.chunks(PER_CALL).map(|users| async move {
            let commands: Vec<String> =
                users.iter().map(|number| command(&user(*number), *number, BYTES)).collect();
            let body = format!(r#"{{"commands":[{}]}}"#, commands.join(","));
            self.post("/api/v1/commands/batch", bearer, body, 207).await
        });
        stream::iter(calls).buffer_unordered(CALLERS).try_collect().await
    }

    async fn post(
        &self,
        path: &str,
        bearer: &str,
        body: String,
        status: u16,
    ) -> anyhow::Result<()> {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(bearer);
        let request = request.header("content-type", "application/json").body(body);
        let answer = request.send().await?;
        let answered = answer.status().as_u16();
        let text = answer.text().await?;
        ensure!(answered == status, "{path} answered {answered} instead of {status}: {text}");
        Ok(())
    }
}
