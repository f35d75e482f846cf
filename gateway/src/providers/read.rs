//! What the items of a page say, by provider and kind.

use serde_json::value::RawValue;
use tidegate_services::provider::{Kind, Provider};

use crate::health::fact::{Context, Fact, Facts, What};

/// Reads a page.
pub(super) fn facts(
    _provider: Provider,
    _kind: Kind,
    _items: &[Box<RawValue>],
    _context: &Context,
) -> Facts {
    Facts::default()
}

/// The newest start that facts tell of, milliseconds.
pub(super) fn newest(facts: &[Fact]) -> Option<i64> {
    facts.iter().filter_map(start).max()
}

fn start(fact: &Fact) -> Option<i64> {
    let midnight = |date: chrono::NaiveDate| {
        date.and_hms_opt(0, 0, 0).map(|midnight| midnight.and_utc().timestamp_millis())
    };
    match &fact.what {
        What::Activity(activity) => Some(activity.start_ms),
        What::Night(night) => night.sleep_start_ms.or_else(|| midnight(night.date)),
        What::Values(values) => midnight(values.date),
        What::Samples(samples) => midnight(samples.date),
        What::ActivityGone { .. } | What::NightGone { .. } => None,
    }
}
