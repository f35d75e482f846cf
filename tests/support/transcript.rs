//! What was said between the gateway and its clients, one line each.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::support::redact::Redactor;

/// The transcript of one test, shared by all its clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    redactor: Redactor,
    lines: Vec<String>,
    answers: BTreeSet<(String, u16)>,
}

impl Transcript {
    /// Shows an id under this name.
    pub(crate) fn name_id(&self, id: &str, name: &str) {
        self.state().redactor.name(id, name);
    }

    /// A line of plain words.
    pub(crate) fn say(&self, line: &str) {
        let mut state = self.state();
        let line = state.redactor.text("id", line);
        state.lines.push(line);
    }

    /// Someone says a JSON value.
    pub(crate) fn said(&self, head: &str, value: &Value) {
        let mut state = self.state();
        let head = state.redactor.text("id", head);
        let value = state.redactor.value("", value);
        state.lines.push(format!("{head} {}", compact(&value)));
    }

    /// Everything said since the last call.
    pub(crate) fn take(&self) -> String {
        let mut text = std::mem::take(&mut self.state().lines).join("\n");
        text.push('\n');
        text
    }

    /// An operation of the OpenAPI document answered with this status.
    pub(crate) fn answered(&self, operation: String, status: u16) {
        self.state().answers.insert((operation, status));
    }

    /// Which operations answered with which status so far.
    pub(crate) fn answers(&self) -> BTreeSet<(String, u16)> {
        self.state().answers.clone()
    }

    /// Everything said, for the message of a failure.
    pub(crate) fn so_far(&self) -> String {
        let state = self.state();
        let from = state.lines.len().saturating_sub(40);
        state.lines[from..].iter().fold(String::new(), |mut text, line| {
            let shown: String = line.chars().take(400).collect();
            let _ = writeln!(text, "  {shown}");
            text
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A value in one line, with a space after colons and commas.
pub(crate) fn compact(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("{}: {}", Value::from(name.as_str()), compact(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(compact).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
