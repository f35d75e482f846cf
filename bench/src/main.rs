//! `tidegate-bench`: measures the release gateway against its budgets.
//!
//! The gateway has one core, the load the next one. Every delivery is checked:
//! something lost, doubled or out of order fails the run; a missed budget does
//! not. Figures move by 10 to 25 % between runs on a machine that does other
//! work: compare ratios, and look at the note on foreign work.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

mod clock;
mod load;
mod machine;
mod numbers;
mod outbox;
mod postgres;
mod report;
mod scenario;
mod server;
mod token;
mod wire;

use outbox::OutboxArgs;
use report::{Outcome, Report};
use scenario::{SCENARIOS, Scale};

/// Measures the gateway beside this program against its budgets.
#[derive(Debug, Parser)]
#[command(name = "tidegate-bench")]
struct Args {
    /// Only these scenarios; repeat it for several
    #[arg(long, value_name = "NAME", value_parser = scenario::NAMES)]
    only: Vec<String>,
    /// Fewer devices and shorter runs: whether everything works, not how fast
    #[arg(long)]
    quick: bool,
    /// Where to write the figures as JSON
    #[arg(long, value_name = "FILE", default_value = "bench/results.json")]
    out: PathBuf,
    #[command(subcommand)]
    other: Option<Other>,
}

/// What else this program is.
#[derive(Debug, Subcommand)]
enum Other {
    /// The server that the gateway is compared with; scenarios start it
    Outbox(OutboxArgs),
}

/// The gateway's allocator, so that what it is compared with has it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to do where even this cannot be written.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every scenario ran with nothing lost, doubled or out of order.
fn run() -> anyhow::Result<bool> {
    let args = Args::parse();
    if let Some(Other::Outbox(args)) = &args.other {
        return outbox::serve(args).map(|()| true);
    }
    machine::pin_load()?;
    let scale = Scale::new(args.quick, machine::devices_max());
    let mut report = Report { machine: machine::Facts::gather(), outcomes: Vec::new() };
    if let Some(note) = scale.note() {
        writeln!(std::io::stdout(), "{note}")?;
    }
    for (name, run) in SCENARIOS {
        if !args.only.is_empty() && !args.only.iter().any(|only| only == name) {
            continue;
        }
        writeln!(std::io::stdout(), "running {name}")?;
        let outcome = match run(&scale) {
            Ok(rows) => Outcome { scenario: name, rows, failure: None },
            Err(error) => {
                Outcome { scenario: name, rows: Vec::new(), failure: Some(format!("{error:#}")) }
            }
        };
        report.outcomes.push(outcome);
    }
    report.print()?;
    let json = serde_json::to_string_pretty(&report)?;
    std::fs::write(&args.out, json + "\n")
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    Ok(report.is_correct())
}
