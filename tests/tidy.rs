//! Proves that the code keeps to the shape that ARCHITECTURE.md promises:
//! layers, sizes, where SQL and tasks live, and words that must not stay.

use crate::tidy::source::{Source, code_files, rust_files};

mod features;
mod layers;
mod source;

/// Most lines of a code file: what a reader takes in at once. Functions are
/// bounded by clippy.toml.
const LINES: usize = 400;

/// Words that say that something is not finished. Split, so that this file
/// does not hold them.
const UNFINISHED: [&str; 7] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
    concat!("place", "holder"),
    concat!("todo", "!("),
    concat!("unimple", "mented!("),
];

/// Names of modules that say nothing about what is in them.
const EMPTY_NAMES: [&str; 5] = ["mod", "utils", "util", "common", "helpers"];

/// Collects what is wrong, so that one run names everything.
fn report(found: &[String]) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

fn check(files: &[Source], judge: impl Fn(&Source) -> Vec<String>) {
    assert!(!files.is_empty(), "no files were found: the walk is broken");
    let mut found = Vec::new();
    for file in files {
        found.extend(judge(file).into_iter().map(|wrong| format!("{}: {wrong}", file.path)));
    }
    report(&found);
}

#[test]
fn files_are_short() {
    check(&code_files(), |file| {
        let lines = file.text.lines().count();
        if lines > LINES { vec![format!("{lines} lines; at most {LINES}")] } else { Vec::new() }
    });
}

#[test]
fn modules_are_named_for_what_they_own() {
    check(&rust_files(""), |file| {
        let mut wrong = Vec::new();
        for name in file.path.split('/') {
            let name = name.strip_suffix(".rs").unwrap_or(name);
            if EMPTY_NAMES.contains(&name) {
                wrong.push(format!("`{name}` says nothing"));
            }
        }
        if !file.text.starts_with("//!") {
            wrong.push("no header that says what it owns".to_owned());
        }
        wrong
    });
}

#[test]
fn nothing_is_left_unfinished() {
    check(&code_files(), |file| {
        let is_whole = |line: &str, at: usize, word: &str| {
            let letter = |text: Option<char>| text.is_some_and(char::is_alphanumeric);
            let (before, after) = (&line[..at], &line[at + word.len()..]);
            !letter(before.chars().next_back()) && !letter(after.chars().next())
        };
        let mut wrong = Vec::new();
        for (number, line) in (1..).zip(file.text.lines()) {
            for word in UNFINISHED {
                if line.match_indices(word).any(|(at, _)| is_whole(line, at, word)) {
                    wrong.push(format!("line {number}: `{word}`"));
                }
            }
        }
        wrong
    });
}

/// Only types that pass through may be named outside: a connection or a
/// transaction handed on, and the errors that decide about a retry.
const SEA_ORM_OUTSIDE: [&str; 2] = ["ConnectionTrait", "DbErr"];

/// Query building by another door: entities are plain rows outside the store.
const QUERY_WORDS: [&str; 6] =
    ["ActiveModel", "Entity::", "Column::", "Statement", "query_one", "execute_"];

/// How a statement in a text begins.
const STATEMENTS: [&str; 6] =
    ["\"SELECT ", "\"INSERT ", "\"UPDATE ", "\"DELETE FROM", "\"PRAGMA ", "\"CREATE "];

/// Which database a query runs on, what it locks and how it is bounded is
/// decided in one place of each crate.
#[test]
fn sql_lives_in_the_stores() {
    for crate_src in ["gateway/src/", "clients/device/src/"] {
        check(&rust_files(crate_src), |file| {
            let inside = file.path.strip_prefix(crate_src).unwrap_or(&file.path);
            if inside == "store.rs" || inside.starts_with("store/") {
                return Vec::new();
            }
            let code = file.code();
            let mut wrong = Vec::new();
            for name in source::names_after(&code, "sea_orm::") {
                if !SEA_ORM_OUTSIDE.contains(&name.as_str()) {
                    wrong.push(format!("`sea_orm::{name}` outside the store"));
                }
            }
            for word in QUERY_WORDS.iter().chain(&STATEMENTS) {
                if code.contains(word) {
                    wrong.push(format!("`{word}` outside the store"));
                }
            }
            wrong
        });
    }
}

/// Another way to a body would judge its sender late, or bound it by nothing.
/// Routes hand `Json` out and never take it.
#[test]
fn bodies_come_through_one_door() {
    const WAYS: [&str; 6] =
        ["FromRequest ", "FromRequest<", "body::Bytes", "): Json<", "body: Body", "Form("];
    check(&rust_files("gateway/src/http/"), |file| {
        if file.path.starts_with("gateway/src/http/body") {
            return Vec::new();
        }
        let code = file.code();
        let found = WAYS.iter().filter(|way| code.contains(**way));
        found.map(|way| format!("`{way}` outside of `http::body`")).collect()
    });
}

/// A task that nobody waits for outlives the drain, and its panic is lost.
/// Tasks belong to a tracker; the two that live as long as the gateway are
/// started in `app`, which waits for both.
#[test]
fn tasks_have_an_owner() {
    for crate_src in ["gateway/src/", "clients/", "entity/", "migration/"] {
        check(&rust_files(crate_src), |file| {
            let allowed = usize::from(file.path == "gateway/src/app.rs");
            let code = file.code();
            let found: usize = ["tokio::spawn(", "task::spawn(", "thread::spawn("]
                .iter()
                .map(|call| code.matches(call).count())
                .sum();
            if found > allowed {
                vec![format!("{found} tasks without an owner; {allowed} allowed")]
            } else {
                Vec::new()
            }
        });
    }
}

/// Who starts a transaction by itself forgets what `Store::write` does: to run it
/// again where others broke it, and to tell a failure from a doubtful COMMIT. The
/// writer's loop answers many callers with one commit.
#[test]
fn writes_go_through_one_door() {
    const DOOR: &str = "gateway/src/store/write.rs";
    const LOOP: [&str; 2] = ["gateway/src/ingest/writer.rs", "gateway/src/ingest/locked.rs"];
    const WAYS: [&str; 3] = ["begin_write(", "writer.begin(", "checkpointer.begin("];
    check(&rust_files("gateway/src/"), |file| {
        if file.path == DOOR || LOOP.contains(&file.path.as_str()) {
            return Vec::new();
        }
        let code = file.code();
        let found = WAYS.iter().filter(|way| code.contains(**way));
        found.map(|way| format!("`{way}` outside of `Store::write`")).collect()
    });
}
