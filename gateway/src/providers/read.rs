//! What the items of a page say, by provider and kind.

use serde_json::value::RawValue;
use tidegate_services::provider::{Kind, Provider};

use crate::health::fact::{Context, Fact, Facts, What};
use crate::health::provider::{fitbit, google_health, oura, strava};

/// Reads a page. A kind that the provider does not have says nothing.
pub(super) fn facts(
    provider: Provider,
    kind: Kind,
    items: &[Box<RawValue>],
    context: &Context,
) -> Facts {
    let read: fn(&[Box<RawValue>], &Context) -> Facts = match (provider, kind) {
        (Provider::Strava, Kind::Activity) => strava::activities,
        (Provider::GoogleHealth, Kind::Exercise) => google_health::exercise,
        (Provider::GoogleHealth, Kind::Sleep) => google_health::sleep,
        (Provider::GoogleHealth, Kind::Steps) => google_health::steps,
        (Provider::GoogleHealth, Kind::Weight) => google_health::weight,
        (Provider::Oura, Kind::Workout) => oura::workout,
        (Provider::Oura, Kind::Sleep) => oura::sleep,
        (Provider::Oura, Kind::DailyActivity) => oura::daily_activity,
        (Provider::Fitbit, Kind::Activity) => fitbit::activities,
        (Provider::Fitbit, Kind::Sleep) => fitbit::sleep,
        (Provider::Fitbit, Kind::Steps) => fitbit::steps,
        _ => return Facts::default(),
    };
    read(items, context)
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
