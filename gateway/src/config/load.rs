//! Reads settings: defaults, then the file, then the environment; the last one
//! that names a key decides.
//!
//! A pure function of texts: it opens no file and reads no variable itself.
//! Every problem is found and named before the first one stops the start.

use std::collections::BTreeMap;
use std::fmt;

use toml::{Table, Value};

use crate::config::alias::{self, Alias};
use crate::config::{Config, check};

/// Every key with its default and its meaning.
pub const DEFAULTS: &str = include_str!("../../gateway.default.toml");

/// What variables of settings begin with.
pub const PREFIX: &str = "TIDEGATE_";

/// Variables with the prefix that are not settings: where the file is, and what
/// the command-line clients read.
const NOT_SETTINGS: &[&str] =
    &["TIDEGATE_CONFIG", "TIDEGATE_URL", "TIDEGATE_TOKEN", "TIDEGATE_SERVICE_TOKEN"];

/// Keys whose value is never repeated in an error.
const SECRETS: &[&str] = &[
    "auth.hs256_secret",
    "auth.jwks_url",
    "database.url",
    "marketplace.base_url",
    "marketplace.token",
    "marketplace.ws_url",
    "providers.fitbit.client_secret",
    "providers.google_health.client_secret",
    "providers.google_health.webhook_secret",
    "providers.oura.client_secret",
    "providers.oura.verify_token",
    "providers.strava.client_secret",
    "providers.strava.verify_token",
    "sealing.keys",
];

/// Merges and checks. `file` is a path, for errors, and the text found there;
/// of `env` only variables with [`PREFIX`] and the well-known names that stand
/// for a setting are looked at.
pub fn load(
    file: Option<(&str, &str)>,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut merge = Merge::of_defaults();
    if let Some((path, text)) = file {
        merge.add_file(path, text);
    }
    // Sorted, so that the same problems are always told in the same order.
    let env: BTreeMap<_, _> = env.into_iter().collect();
    for alias in alias::ALL {
        if let Some(text) = env.get(alias.variable) {
            merge.add_alias(alias, text);
        }
    }
    for (name, text) in env {
        if name.starts_with(PREFIX) && !NOT_SETTINGS.contains(&name.as_str()) {
            merge.add_variable(&name, &text);
        }
    }
    merge.finish()
}

/// Whether a variable may be a setting.
pub fn is_setting(name: &str) -> bool {
    name.starts_with(PREFIX) || alias::ALL.iter().any(|alias| alias.variable == name)
}

/// The settings in force as TOML, secrets masked.
pub fn effective(config: &Config) -> String {
    toml::to_string_pretty(config).expect("settings are tables with text keys, numbers and texts")
}

/// Why settings were refused: everything that is wrong with them.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings cannot be used")?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key at fault, dotted; empty where the whole file is.
    pub key: String,
    /// What is wrong, with the value unless it is secret.
    pub fault: Fault,
    /// Where the value came from.
    pub origin: Origin,
}

/// What can be wrong with a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file is not TOML.
    Syntax(String),
    /// There is no such key; the keys that exist beside it.
    UnknownKey(Vec<String>),
    /// Another type is needed.
    WrongType {
        /// The type needed.
        expected: &'static str,
        /// The value; `None` when it is secret.
        found: Option<String>,
    },
    /// A number out of its range.
    OutOfRange {
        /// The number.
        found: i64,
        /// The least allowed.
        least: i64,
        /// The most allowed.
        most: i64,
    },
    /// A value that is not what it should be, or that contradicts another one.
    Invalid {
        /// The value; `None` when it is secret or absent.
        found: Option<String>,
        /// What it should be.
        reason: String,
    },
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `gateway.default.toml`.
    Default,
    /// The file at this path.
    File(String),
    /// The variable of this name.
    Variable(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, fault, origin } = self;
        match fault {
            Fault::Syntax(message) => write!(f, "not TOML: {message}")?,
            Fault::UnknownKey(known) => {
                write!(f, "`{key}` is not a setting; known here: {}", known.join(", "))?;
            }
            Fault::WrongType { expected, found: Some(found) } => {
                write!(f, "`{key}` must be {expected}, not {found}")?;
            }
            Fault::WrongType { expected, found: None } => write!(f, "`{key}` must be {expected}")?,
            Fault::OutOfRange { found, least, most } => {
                write!(f, "`{key}` is {found}; allowed is {least} to {most}")?;
            }
            Fault::Invalid { found: Some(found), reason } => {
                write!(f, "`{key}` is {found}: {reason}")?;
            }
            Fault::Invalid { found: None, reason } => write!(f, "`{key}`: {reason}")?,
        }
        match origin {
            Origin::Default => Ok(()),
            Origin::File(path) => write!(f, " (in {path})"),
            Origin::Variable(name) => write!(f, " (in the variable {name})"),
        }
    }
}

/// Settings while they are put together.
struct Merge {
    table: Table,
    origins: BTreeMap<String, Origin>,
    problems: Vec<Problem>,
}

impl Merge {
    fn of_defaults() -> Self {
        let table = DEFAULTS.parse().expect("the embedded defaults are TOML: a test loads them");
        Self { table, origins: BTreeMap::new(), problems: Vec::new() }
    }

    fn add_file(&mut self, path: &str, text: &str) {
        let origin = Origin::File(path.to_owned());
        match text.parse::<Table>() {
            Ok(table) => self.add_table("", table, &origin),
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(text, span.start));
                let message = format!("line {line}: {}", error.message());
                self.problem("", Fault::Syntax(message), &origin);
            }
        }
    }

    fn add_table(&mut self, prefix: &str, table: Table, origin: &Origin) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            let key = alias::present(key);
            match (lookup(&self.table, &key), value) {
                (Some(Value::Table(_)), Value::Table(inner)) => {
                    self.add_table(&key, inner, origin);
                }
                (Some(default), value) if default.same_type(&value) => {
                    self.set(&key, value, origin);
                }
                (Some(default), value) => {
                    let expected = type_name(default);
                    self.problem(&key, wrong_type(&key, expected, value.to_string()), origin);
                }
                (None, _) => self.unknown(&key, origin),
            }
        }
    }

    fn add_variable(&mut self, name: &str, text: &str) {
        let origin = Origin::Variable(name.to_owned());
        let key = alias::present(name[PREFIX.len()..].to_ascii_lowercase().replace("__", "."));
        let Some(default) = lookup(&self.table, &key).filter(|value| !value.is_table()) else {
            return self.unknown(&key, &origin);
        };
        if let Some(value) = read_variable(default, text) {
            self.set(&key, value, &origin);
        } else {
            let fault = wrong_type(&key, type_name(default), format!("{text:?}"));
            self.problem(&key, fault, &origin);
        }
    }

    /// A variable of the systems that Tidegate takes the place of.
    fn add_alias(&mut self, alias: &Alias, text: &str) {
        let origin = Origin::Variable(alias.variable.to_owned());
        if let Some(value) = (alias.read)(text) {
            self.set(alias.key, value, &origin);
        } else {
            let fault = wrong_type(alias.key, alias.expected, format!("{text:?}"));
            self.problem(alias.key, fault, &origin);
        }
    }

    fn set(&mut self, key: &str, value: Value, origin: &Origin) {
        if let Some(place) = lookup_mut(&mut self.table, key) {
            *place = value;
            self.origins.insert(key.to_owned(), origin.clone());
        }
    }

    fn unknown(&mut self, key: &str, origin: &Origin) {
        let beside = match key.rsplit_once('.') {
            Some((section, _)) => lookup(&self.table, section).and_then(Value::as_table),
            None => None,
        };
        let known = beside.unwrap_or(&self.table).keys().cloned().collect();
        self.problem(key, Fault::UnknownKey(known), origin);
    }

    fn problem(&mut self, key: &str, fault: Fault, origin: &Origin) {
        self.problems.push(Problem { key: key.to_owned(), fault, origin: origin.clone() });
    }

    fn origin(&self, key: &str) -> Origin {
        // An element of a list came with the list.
        let key = key.split('[').next().unwrap_or(key);
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    fn finish(mut self) -> Result<Config, ConfigError> {
        for (key, range) in check::RANGES {
            let found = lookup(&self.table, key).and_then(Value::as_integer);
            if let Some(found) = found.filter(|found| !range.contains(found)) {
                let fault = Fault::OutOfRange { found, least: *range.start(), most: *range.end() };
                self.problem(key, fault, &self.origin(key));
            }
        }
        let read: Result<Config, _> =
            serde_path_to_error::deserialize(Value::Table(self.table.clone()));
        match read {
            Ok(config) => {
                for (key, reason) in check::contradictions(&config) {
                    self.invalid(key, reason);
                }
                if self.problems.is_empty() {
                    return Ok(config);
                }
            }
            // Numbers out of range for their type were named above, with the
            // range that counts.
            Err(error) => {
                let key = error.path().to_string();
                if !self.problems.iter().any(|problem| problem.key == key) {
                    self.invalid(&key, error.inner().message().to_owned());
                }
            }
        }
        Err(ConfigError { problems: self.problems })
    }

    fn invalid(&mut self, key: &str, reason: String) {
        let plain = key.split('[').next().unwrap_or(key);
        let found = lookup(&self.table, plain)
            .filter(|_| !SECRETS.contains(&plain))
            .map(ToString::to_string);
        self.problem(key, Fault::Invalid { found, reason }, &self.origin(key));
    }
}

/// Reads a variable's text as the type its default has, so that a secret of
/// digits stays text. `None`: it cannot be read so.
fn read_variable(default: &Value, text: &str) -> Option<Value> {
    match default {
        Value::String(_) => Some(Value::String(text.to_owned())),
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        Value::Array(_) => {
            let table: Table = format!("list = {text}").parse().ok()?;
            let only = table.len() == 1;
            table.get("list").filter(|list| only && list.is_array()).cloned()
        }
        Value::Float(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}

fn wrong_type(key: &str, expected: &'static str, found: String) -> Fault {
    Fault::WrongType { expected, found: (!SECRETS.contains(&key)).then_some(found) }
}

const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list, such as [\"a\", \"b\"]",
        Value::Table(_) => "a table",
        Value::Float(_) | Value::Datetime(_) => "what its default is",
    }
}

fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((section, rest)) => lookup(table.get(section)?.as_table()?, rest),
    }
}

fn lookup_mut<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    match key.split_once('.') {
        None => table.get_mut(key),
        Some((section, rest)) => lookup_mut(table.get_mut(section)?.as_table_mut()?, rest),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
