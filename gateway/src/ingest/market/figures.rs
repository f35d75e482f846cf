//! Averages and counts of ratings: what the socket told of them is served until
//! upstream's own listing says something else, and changes no version.

use serde_json::{Map, Value};
use tidegate_entity::market_item;
use tidegate_protocol::entry::{RatingBody, kind};
use tidegate_protocol::time::Timestamp;

use crate::config::check::MARKETPLACE;
use crate::ingest::market::Tally;
use crate::ingest::market::item;
use crate::ingest::market::observe::known_since;
use crate::ingest::unit::UnitOfWork;
use crate::store::market::shown::FIGURES;

/// Tells devices of a skill's rating, and keeps its figures for those that come
/// late. A message without figures tells nothing: a device that took it in would
/// have lost what it knows.
pub(super) fn rate(
    unit: &mut UnitOfWork,
    mut row: market_item::Model,
    body: &RatingBody,
    at: Option<Timestamp>,
    tally: &mut Tally,
) {
    if body.average_rating.is_none() && body.rating_count.is_none() {
        tally.unchanged += 1;
        return;
    }
    if row.withdrawn_at.is_none() {
        unit.append(item::entry(MARKETPLACE, kind::RATING, body));
    }
    row.rating_updated_at = known_since(at, unit.now, row.rating_updated_at);
    let mut figures = kept(&row);
    let [average, count] = FIGURES;
    for (name, figure) in [
        (average, body.average_rating.map(Value::from)),
        (count, body.rating_count.map(Value::from)),
    ] {
        figures.extend(figure.map(|figure| (name.to_owned(), figure)));
    }
    row.rated = Some(Value::Object(figures).to_string());
    unit.rows.put::<market_item::Entity>(row);
}

/// Forgets the figures that the socket told where upstream's own are newer: it
/// lists others than before, or the skill changed after them.
pub(super) fn outdate(
    row: &mut market_item::Model,
    before: Option<&Value>,
    after: Option<&Value>,
    at: Option<Timestamp>,
) {
    let figure = |value: Option<&Value>, name: &str| value.and_then(|v| v.get(name)).cloned();
    let has_moved = FIGURES.iter().any(|name| figure(before, name) != figure(after, name));
    let since = row.rating_updated_at;
    let is_later = since > 0 && at.is_some_and(|at| at.millis() >= since);
    if has_moved || is_later {
        row.rated = None;
    }
}

/// The figures that are kept.
pub(super) fn kept(row: &market_item::Model) -> Map<String, Value> {
    let kept = row.rated.as_deref().and_then(|text| serde_json::from_str(text).ok());
    kept.unwrap_or_default()
}
