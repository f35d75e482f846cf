//! Seeds of random tests: printed, and taken from the environment to replay.

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// The variable that replays a run.
const VARIABLE: &str = "TIDEGATE_TEST_SEED";

/// The seed in the environment, or a new one. Printed in either case: a test
/// that fails shows it.
pub(crate) fn pick(test: &str) -> u64 {
    let seed = given().unwrap_or_else(rand::random);
    say(&format!("{test}: {}", replay(seed)));
    seed
}

fn given() -> Option<u64> {
    let text = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{VARIABLE} is a whole number, not {text:?}")))
}

/// Prints a line; it is shown when the test fails.
#[expect(clippy::print_stdout, reason = "the test harness keeps it with the test")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Seeds of `count` rounds. With a seed in the environment there is one round:
/// that one.
pub(crate) fn rounds(test: &str, count: usize) -> Vec<u64> {
    if given().is_some() {
        return vec![pick(test)];
    }
    (0..count).map(|_| rand::random()).collect()
}

/// What to say when a round fails.
pub(crate) fn replay(seed: u64) -> String {
    format!("replay with {VARIABLE}={seed}")
}

/// The generator of a seed.
pub(crate) fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}
