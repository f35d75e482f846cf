//! Figures against their budgets: as a table for people and as JSON.

use std::io::Write as _;

use serde::Serialize;

use crate::machine::Facts;

/// What a figure is measured against.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Budget {
    /// The less the better.
    AtMost(f64),
    /// The more the better.
    AtLeast(f64),
}

/// A figure.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    what: String,
    measured: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<Budget>,
    /// From 1 on the budget is met.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
}

impl Row {
    /// A figure without a budget.
    pub(crate) fn new(what: impl Into<String>, measured: f64, unit: &'static str) -> Self {
        let note = String::new();
        Self { what: what.into(), measured, unit, budget: None, ratio: None, note }
    }

    /// A figure that could not be had here.
    pub(crate) fn skipped(what: impl Into<String>, why: &str) -> Self {
        Self { note: format!("skipped: {why}"), ..Self::new(what, f64::NAN, "") }
    }

    /// Measures it against a budget.
    pub(crate) fn against(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self.ratio = Some(match budget {
            Budget::AtMost(most) => most / self.measured,
            Budget::AtLeast(least) => self.measured / least,
        });
        self
    }

    /// Says how it came about.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

/// What a scenario came to.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) scenario: &'static str,
    pub(crate) rows: Vec<Row>,
    /// Something was lost, doubled or out of order, or the run broke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
}

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Facts,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Report {
    /// Prints the table.
    pub(crate) fn print(&self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "\n{:<58} {:>12} {:<22} {:>12} {:>6}",
            "", "measured", "", "budget", "ratio"
        )?;
        for outcome in &self.outcomes {
            for row in &outcome.rows {
                let (budget, verdict) = match (row.budget, row.ratio) {
                    (Some(Budget::AtMost(most)), Some(ratio)) => {
                        (format!("≤ {}", short(most)), ratio)
                    }
                    (Some(Budget::AtLeast(least)), Some(ratio)) => {
                        (format!("≥ {}", short(least)), ratio)
                    }
                    _ => (String::new(), f64::NAN),
                };
                let verdict = match verdict {
                    ratio if ratio >= 1.0 => format!("{ratio:>6.2} met"),
                    ratio if ratio < 1.0 => format!("{ratio:>6.2} missed"),
                    _ => String::new(),
                };
                let measured =
                    if row.measured.is_nan() { row.note.clone() } else { short(row.measured) };
                writeln!(
                    out,
                    "{:<58} {measured:>12} {:<22} {budget:>12} {verdict}",
                    row.what, row.unit
                )?;
            }
            if let Some(failure) = &outcome.failure {
                writeln!(out, "{}: FAILED: {failure}", outcome.scenario)?;
            }
        }
        Ok(())
    }

    /// Whether nothing was lost, doubled or out of order.
    pub(crate) fn is_correct(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.failure.is_none())
    }
}

/// Three or four significant digits.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 1e6 => format!("{:.3} M", value / 1e6),
        large if large >= 1e4 => format!("{:.1} k", value / 1e3),
        middle if middle >= 100.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}
