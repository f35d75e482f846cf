//! The `tidegate` program.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use tidegate::cli::{self, Cli};

/// Thousands of small buffers that live for days: it keeps them closer together
/// than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // First: libraries that find no provider, or two, panic at their first
    // connection. It fails only where one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do where even this cannot be written.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
