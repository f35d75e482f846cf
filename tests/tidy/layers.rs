//! The gateway's layers: a module names only lower ones.

use std::collections::BTreeSet;

use crate::tidy::source::{Source, names_after, rust_files};
use crate::tidy::{check, report};

/// Lowest first.
const LAYERS: [&[&str]; 10] = [
    &["budget", "health", "limits", "resolve", "sealing"],
    &["config", "metrics", "error", "retry", "file"],
    &["store", "auth"],
    &["journal"],
    &["ingest", "hub"],
    &["session", "leader", "schedule"],
    &["push", "marketplace", "providers", "upkeep"],
    &["state", "transport"],
    &["http", "serve"],
    &["app", "cli", "log", "main"],
];

/// Modules of one layer know nothing of each other, except:
const PAIRS: [(&str, &str); 4] = [
    // The writer hands over what it committed, and forgets it.
    ("ingest", "hub"),
    // The handles that sockets and polls are given.
    ("transport", "state"),
    // The command line starts things.
    ("cli", "app"),
    ("cli", "log"),
];

const ROOT: &str = "gateway/src/";

/// The top module of a file: `hub` for `hub.rs` and for `hub/signal.rs`.
fn module(file: &Source) -> &str {
    let inside = file.path.strip_prefix(ROOT).unwrap_or(&file.path);
    let top = inside.split('/').next().unwrap_or(inside);
    top.strip_suffix(".rs").unwrap_or(top)
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// What a file names of its crate; `main` is another crate and names the
/// library.
fn named(file: &Source) -> BTreeSet<String> {
    let code = file.code();
    let beginning = if module(file) == "main" { "tidegate::" } else { "crate::" };
    names_after(&code, beginning).into_iter().collect()
}

fn files() -> Vec<Source> {
    let mut files = rust_files(ROOT);
    files.retain(|file| module(file) != "lib");
    files
}

#[test]
fn modules_name_only_lower_layers() {
    check(&files(), |file| {
        let own = module(file);
        let Some(own_layer) = layer(own) else {
            return vec![format!("`{own}` has no layer: give it one in tests/tidy/layers.rs")];
        };
        let mut wrong = Vec::new();
        for name in named(file) {
            if name == own || PAIRS.contains(&(own, name.as_str())) {
                continue;
            }
            match layer(&name) {
                Some(other) if other < own_layer => {}
                Some(_) if own == "main" => {}
                Some(_) => wrong.push(format!("`{own}` names `{name}`, which is not below it")),
                None => wrong.push(format!("`{name}` is not a module of the gateway")),
            }
        }
        wrong
    });
}

/// A module that is gone, or a pair that nobody uses any more, would hide a new
/// dependency.
#[test]
fn every_module_and_every_exception_is_there() {
    let files = files();
    let mut unused = Vec::new();
    for listed in LAYERS.concat() {
        if !files.iter().any(|file| module(file) == listed) {
            unused.push(format!("there is no module `{listed}`"));
        }
    }
    for (from, to) in PAIRS {
        let is_used = files.iter().any(|file| module(file) == from && named(file).contains(to));
        if !is_used {
            unused.push(format!("`{from}` does not name `{to}` any more"));
        }
    }
    report(&unused);
}

/// `super::super` could leave a module without the word `crate`.
#[test]
fn nobody_climbs_past_a_module() {
    check(&files(), |file| {
        let climbs = file.code().matches("super::super").count();
        if climbs > 0 { vec!["`super::super`: name it from `crate`".to_owned()] } else { vec![] }
    });
}
