//! Tests that this machine cannot run.

use std::fs::OpenOptions;
use std::io::Write as _;

use crate::seed::say;

/// A line for each; `make test` counts them at its end, since nobody is shown
/// what a test prints that passes.
const FILE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/skipped");

/// Notes that a test, or the rest of it, is not run, and why.
pub(crate) fn skip(why: &str) {
    say(&format!("skipped: {why}"));
    let file = OpenOptions::new().create(true).append(true).open(FILE);
    // In one call: tests run side by side.
    file.and_then(|mut file| file.write_all(format!("{why}\n").as_bytes())).unwrap();
}
