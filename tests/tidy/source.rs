//! Source files of the workspace as text, and just enough reading of Rust to
//! judge them.

use std::fs;
use std::path::Path;

/// A file.
pub(super) struct Source {
    /// From the root of the workspace, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

/// Folders that hold nothing of ours.
const FOREIGN: [&str; 4] = ["target", "node_modules", "dist", "coverage"];

/// Endings of files that people write.
const CODE: [&str; 8] = ["rs", "c", "ts", "tsx", "js", "mjs", "py", "sh"];

impl Source {
    /// The text without comments. Strings stay; a `//` inside one (a URL) is
    /// told apart by the colon before it.
    pub(super) fn code(&self) -> String {
        let mut code = String::with_capacity(self.text.len());
        for line in self.text.lines() {
            let mut starts = line.match_indices("//").map(|(at, _)| at);
            let comment = starts.find(|at| !line[..*at].ends_with(':'));
            code.push_str(&line[..comment.unwrap_or(line.len())]);
            code.push('\n');
        }
        code
    }
}

/// All code files.
pub(super) fn code_files() -> Vec<Source> {
    files(|path| ending(path).is_some_and(|ending| CODE.contains(&ending)))
}

/// The Rust files under a folder.
pub(super) fn rust_files(folder: &str) -> Vec<Source> {
    files(|path| path.starts_with(folder) && ending(path) == Some("rs"))
}

fn ending(path: &str) -> Option<&str> {
    path.rsplit_once('.').map(|(_, ending)| ending)
}

fn files(wanted: impl Fn(&str) -> bool) -> Vec<Source> {
    let mut found = Vec::new();
    walk(Path::new(env!("CARGO_MANIFEST_DIR")), "", &wanted, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(folder: &Path, prefix: &str, wanted: &dyn Fn(&str) -> bool, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with('.') || FOREIGN.contains(&name.as_str()) {
            continue;
        }
        let path = format!("{prefix}{name}");
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &format!("{path}/"), wanted, found);
        } else if wanted(&path) {
            let text = fs::read_to_string(entry.path()).unwrap();
            found.push(Source { path, text });
        }
    }
}

/// The first names that follow a path's beginning: of `crate::a::b` it is
/// `a`, of `crate::{a::b, c}` they are `a` and `c`.
pub(super) fn names_after(code: &str, beginning: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(beginning) {
        let is_inside = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        let rest = &code[at + beginning.len()..];
        if is_inside {
            continue;
        }
        match rest.strip_prefix('{') {
            Some(group) => names.extend(first_names(group)),
            None => names.push(name_at(rest)),
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The first name of each path in a group, up to the group's end.
fn first_names(group: &str) -> Vec<String> {
    let (mut names, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(name_at(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(name_at(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names
}

fn name_at(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn names_are_found_in_groups_and_alone() {
    let code = "use crate::a::b; crate::c(); use crate::{d, e::{f, g}, h}; pub(crate) xcrate::i";
    assert_eq!(names_after(code, "crate::"), ["a", "c", "d", "e", "h"]);
}
