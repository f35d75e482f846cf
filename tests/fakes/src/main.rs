//! The fakes as a local sandbox: starts all of them, prints where they are,
//! and says in one line each what reached them. Ends with Ctrl-C.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tidegate_clock::Clock;
use tidegate_fakes::atom::{FakeAtom, Generation};
use tidegate_fakes::fcm::{FakeFcm, Ports};
use tidegate_fakes::provider::fitbit::FakeFitbit;
use tidegate_fakes::provider::google_health::FakeGoogleHealth;
use tidegate_fakes::provider::oura::FakeOura;
use tidegate_fakes::provider::strava::FakeStrava;
use tidegate_fakes::provider::{CLIENT_ID, CLIENT_SECRET, Service};
use tidegate_fakes::webpush::FakeWebPush;
use tracing_subscriber::EnvFilter;

/// How often a skill changes, so that somebody who watches sees it.
const CHANGES: Duration = Duration::from_secs(4);

/// Skills and categories of the marketplace.
const SKILLS: usize = 500;
const CATEGORIES: usize = 8;

/// Days that the one user of each provider has data of.
const DAYS: u64 = 30;

/// The user of the providers.
const USER: &str = "1";

/// Local fakes of Google's token endpoint, FCM, a Web Push service, the Atom
/// marketplace, and the providers of health data: Strava, Google Health, Oura
/// and Fitbit.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Port of FCM; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    fcm_port: u16,
    /// Port of Google's token endpoint; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    google_port: u16,
    /// Port of the Web Push service; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    webpush_port: u16,
    /// Port of the Atom marketplace; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    atom_port: u16,
    /// Generation of the marketplace's contract: `a`, `b` or `c`.
    #[arg(long, default_value = "b")]
    atom_generation: Generation,
    /// Port of Strava; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    strava_port: u16,
    /// Port of Google Health; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    google_health_port: u16,
    /// Port of Oura; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    oura_port: u16,
    /// Port of Fitbit; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    fitbit_port: u16,
    /// Turns Fitbit's API on, as it was before 2026-11-02.
    #[arg(long)]
    fitbit_on: bool,
    /// Where to write the key file of a service account that the fakes know.
    #[arg(long)]
    credentials: Option<PathBuf>,
    /// Where to write a Web Push subscription that the fakes know.
    #[arg(long)]
    subscription: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();

    let ports = Ports { fcm: options.fcm_port, google: options.google_port };
    let fcm = FakeFcm::start_on(ports, Clock::system())
        .await
        .context("FCM and the token endpoint did not start")?;
    let webpush = FakeWebPush::start_on(options.webpush_port, Clock::system())
        .await
        .context("the Web Push service did not start")?;
    let atom = FakeAtom::start_on(options.atom_port, options.atom_generation, Clock::system())
        .await
        .context("the marketplace did not start")?;
    atom.fill(SKILLS, CATEGORIES);
    atom.echo_ratings(true);
    let providers = Providers::start(&options).await?;
    if let Some(path) = &options.credentials {
        std::fs::write(path, fcm.credentials())
            .with_context(|| format!("`{}` cannot be written", path.display()))?;
    }
    if let Some(path) = &options.subscription {
        std::fs::write(path, webpush.subscribe(None).json)
            .with_context(|| format!("`{}` cannot be written", path.display()))?;
    }

    let mut output = std::io::stdout().lock();
    writeln!(output, "fcm      {}", fcm.url())?;
    writeln!(output, "token    {}", fcm.google().token_uri())?;
    writeln!(output, "webpush  {}", webpush.url())?;
    writeln!(output, "atom     {}  {}  token {}", atom.url(), atom.ws_url(), atom.token())?;
    providers.write(&mut output)?;
    output.flush()?;
    drop(output);

    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended.context("Ctrl-C cannot be waited for"),
        () = keep_changing(&atom) => Ok(()),
    }
}

/// The providers of health data, each with one user's.
struct Providers {
    strava: FakeStrava,
    google_health: FakeGoogleHealth,
    oura: FakeOura,
    fitbit: FakeFitbit,
}

impl Providers {
    async fn start(options: &Options) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let strava = FakeStrava::start_on(options.strava_port, clock.clone());
        let strava = strava.await.context("Strava did not start")?;
        strava.fill(USER, DAYS, 86_400);
        let google_health = FakeGoogleHealth::start_on(options.google_health_port, clock.clone());
        let google_health = google_health.await.context("Google Health did not start")?;
        google_health.fill(USER, DAYS);
        let oura = FakeOura::start_on(options.oura_port, clock.clone());
        let oura = oura.await.context("Oura did not start")?;
        oura.fill(USER, DAYS);
        let fitbit = FakeFitbit::start_on(options.fitbit_port, clock);
        let fitbit = fitbit.await.context("Fitbit did not start")?;
        fitbit.fill(USER, DAYS);
        fitbit.set_gone(!options.fitbit_on);
        Ok(Self { strava, google_health, oura, fitbit })
    }

    /// Where each is, and how the application is known to it.
    fn write(&self, output: &mut impl Write) -> std::io::Result<()> {
        let services: [(&str, &Service); 4] = [
            ("strava", &self.strava),
            ("google_health", &self.google_health),
            ("oura", &self.oura),
            ("fitbit", &self.fitbit),
        ];
        writeln!(output, "client   {CLIENT_ID}  secret {CLIENT_SECRET}")?;
        for (name, service) in services {
            writeln!(
                output,
                "{name}  {}  {}  {}  {}",
                service.base_url(),
                service.authorize_url(),
                service.token_url(),
                service.revoke_url(),
            )?;
        }
        Ok(())
    }
}

/// Changes one skill after the other, for ever.
async fn keep_changing(atom: &FakeAtom) {
    for turn in 0.. {
        tokio::time::sleep(CHANGES).await;
        let id = atom.stir(turn);
        tracing::info!(skill = id, sockets = atom.sockets(), "marketplace change");
    }
}
