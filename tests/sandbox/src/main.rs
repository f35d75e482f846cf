//! `tidegate-sandbox`: a whole sandbox on this machine, and a short story in it.
//!
//! Starts fakes of FCM, of a Web Push service, of a marketplace and of Strava, the real
//! gateway beside this program, and two simulated devices of one user; then
//! sends commands that reach them by socket, by push and by poll, changes a
//! skill upstream, records a run twice, and writes down what happens. Exits 0 when
//! every command was applied by the way it was meant to take, the change was on
//! both devices, and the run was shown once.

mod backend;
mod gateway;
mod health;
mod install;
mod screen;
mod story;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::gateway::{Fakes, Gateway};
use crate::screen::Screen;
use crate::story::Story;

/// The gateway, its push services and two devices on this machine.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The gateway's program; by default `tidegate` beside this one.
    #[arg(long, value_name = "FILE")]
    gateway: Option<PathBuf>,
    /// After the story connect both devices again, print how to reach the
    /// gateway, and leave everything running until Ctrl-C.
    #[arg(long)]
    stay: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(&Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether everything went as it should.
async fn run(options: &Options) -> anyhow::Result<bool> {
    let screen = Screen::new();
    let fakes = Fakes::start().await?;
    let program = match &options.gateway {
        Some(program) => program.clone(),
        None => gateway::program_beside_this()?,
    };
    let gateway = Gateway::start(program, &fakes).await.context("the gateway did not start")?;
    let played = play(options, &screen, &fakes, &gateway).await;
    if !matches!(played, Ok(true)) {
        complain(&format!("the gateway's last lines:\n{}", gateway.log_tail()));
    }
    played
}

async fn play(
    options: &Options,
    screen: &Screen,
    fakes: &Fakes,
    gateway: &Gateway,
) -> anyhow::Result<bool> {
    screen.title("The sandbox");
    screen.say("gateway", gateway.url());
    screen.say("FCM", &format!("{} (fake, tokens from {})", fakes.fcm.url(), fakes.token_uri()));
    screen.say("Web Push", &format!("{} (fake)", fakes.webpush.url()));
    screen.say("upstream", &format!("{} (fake marketplace)", fakes.atom.url()));
    screen.say("Strava", &format!("{} (fake)", fakes.strava.base_url()));
    let mut story = Story::begin(screen.clone(), fakes, gateway).await?;
    story.play(fakes).await?;
    let is_well = story.tell_timelines().await?;
    if options.stay {
        story.connect_all().await?;
        screen.title("Everything runs until Ctrl-C. In another terminal:");
        screen.line(&gateway.exports().await?);
        tokio::signal::ctrl_c().await.context("Ctrl-C cannot be waited for")?;
    }
    Ok(is_well)
}

fn complain(text: &str) {
    // Nothing is left to do where even this cannot be written.
    let _ = writeln!(std::io::stderr(), "{text}");
}
