//! No dependency is built twice in one profile: what `make` builds there asks
//! for the same features of everything that it shares.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::tidy::report;

/// What is built first in the profiles `quick` and `release`, and what after it.
const FIRST: [&str; 2] = ["tidegate", "tidegate-device"];
const OTHERS: [&[&str]; 3] =
    [&["tidegate"], &["tidegate", "tidegate-sandbox"], &["tidegate", "tidegate-bench"]];

/// Each package that is built for these, with the sets of features that it is
/// built with: another one may be for what runs while building.
fn features(packages: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p}|{f}"]);
    cargo.args(["--edges", "normal,build"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    for package in packages {
        cargo.args(["--package", package]);
    }
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        if let Some((package, features)) = line.trim_end_matches(" (*)").split_once('|') {
            found.entry(package.to_owned()).or_default().insert(features.to_owned());
        }
    }
    assert!(found.len() > 100, "{found:?}");
    found
}

#[test]
fn whatever_is_built_next_finds_its_dependencies() {
    let first = features(&FIRST);
    let mut wrong = Vec::new();
    for packages in OTHERS {
        for (package, sets) in features(packages) {
            if let Some(known) = first.get(&package)
                && !sets.is_subset(known)
            {
                wrong.push(format!("for {packages:?}: {package} with {sets:?}, not {known:?}"));
            }
        }
    }
    report(&wrong);
}
