//! What becomes of what upstream says: older news are left out, a local edit
//! is weighed against it, and what changed goes to the devices.

use std::sync::Arc;

use sea_orm::DbErr;
use serde_json::Value;
use tidegate_entity::market_item::Kind;
use tidegate_entity::{lease, market_item, sync_state};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::entry::RatingBody;
use tidegate_protocol::time::Timestamp;

use crate::config::check::MARKETPLACE;
use crate::error::{ApiError, ApiResult};
use crate::ingest::IngestOptions;
use crate::ingest::market::item::Before;
use crate::ingest::market::{
    Confirmed, Fact, Fault, Observed, Said, Tally, figures, item, locate_editors, rule, weigh,
};
use crate::ingest::unit::{ReadSet, UnitOfWork};
use crate::ingest::write::Write;
use crate::resolve::SKEW_MS;
use crate::store::lease::Fence;
use crate::store::market::{ItemKey, Listings};
use crate::store::write::Transaction;

/// What upstream said, under the lease under which it was fetched.
pub(super) struct Observe(pub(super) Arc<Observed>);

impl Write for Observe {
    type Draft = Tally;
    type Answer = Tally;

    fn weight(&self) -> usize {
        self.0.facts.len()
    }

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        reads.streams.insert(MARKETPLACE.to_owned());
        reads.rows.want::<lease::Entity>(self.0.fence.name.clone());
        reads.rows.want::<sync_state::Entity>(());
        for fact in &self.0.facts {
            reads.rows.want::<market_item::Entity>(fact.key.clone());
        }
    }

    async fn locate(&self, tx: &Transaction, reads: &mut ReadSet) -> Result<(), DbErr> {
        let keys: Vec<ItemKey> = self.0.facts.iter().map(|fact| fact.key.clone()).collect();
        locate_editors(tx, reads, &keys).await
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<Tally> {
        observe(unit, &self.0)
    }

    fn answer(&self, _: &mut UnitOfWork, tally: Tally) -> ApiResult<Tally> {
        Ok(tally)
    }
}

/// Takes in everything, or nothing when the lease is another node's.
fn observe(unit: &mut UnitOfWork, observed: &Observed) -> ApiResult<Tally> {
    is_led(unit, &observed.fence)?;
    let mut tally = Tally::default();
    for fact in &observed.facts {
        take(unit, fact, &mut tally);
    }
    // Nothing is confirmed in the future: the clock was set back on the way.
    let at_now = |known: Confirmed| Confirmed { at: known.at.min(unit.now), ..known };
    if let Some(confirmed) = observed.confirmed.clone().map(at_now) {
        unit.rows.put::<Listings>(confirmed);
    }
    if observed.checkpoint.is_some() || observed.message_at.is_some() {
        let key = crate::store::sync_state::MARKETPLACE.to_owned();
        if let Some(state) = unit.rows.edit::<sync_state::Entity>(&key) {
            if let Some(checkpoint) = &observed.checkpoint {
                state.cursor = Some(checkpoint.clone());
            }
            if let Some(at) = observed.message_at {
                state.socket_message_at = Some(at.millis());
            }
        }
    }
    Ok(tally)
}

/// Refuses what a node says that lost its lease.
pub(super) fn is_led(unit: &UnitOfWork, fence: &Fence) -> ApiResult<()> {
    let lease = unit.rows.get::<lease::Entity>(&fence.name);
    if lease.is_some_and(|lease| lease.generation == fence.generation) {
        return Ok(());
    }
    let message = "another node took over the synchronisation";
    Err(ApiError::new(ErrorCode::Unavailable, message))
}

fn take(unit: &mut UnitOfWork, fact: &Fact, tally: &mut Tally) {
    let row = unit.rows.get::<market_item::Entity>(&fact.key).cloned();
    if row.as_ref().is_some_and(|row| is_stale(row, fact)) {
        tally.stale += 1;
        return;
    }
    match &fact.said {
        Said::Is { value, updated_at, is_partial, is_restored } => {
            let row = row.unwrap_or_else(|| item::unknown(&fact.key));
            let value = if *is_partial { completed(value, &row) } else { value.clone() };
            let is_restored = *is_restored;
            apply(
                unit,
                row,
                &News { fact, at: *updated_at, value: Some(value), is_restored },
                tally,
            );
        }
        Said::Gone { at } => match row {
            Some(row) if row.remote_data.is_some() || row.fault.is_some() => {
                apply(unit, row, &News { fact, at: *at, value: None, is_restored: false }, tally);
            }
            _ => tally.unchanged += 1,
        },
        Said::Faulty(fault) => {
            let row = row.unwrap_or_else(|| item::unknown(&fact.key));
            mark(unit, row, *fault, tally);
        }
        Said::Rated { average_rating, rating_count, updated_at } => {
            let Some(row) = row.filter(|row| row.data.is_some()) else {
                tally.stale += 1;
                return;
            };
            let body = RatingBody {
                skill_id: fact.key.1.clone(),
                average_rating: *average_rating,
                rating_count: *rating_count,
            };
            figures::rate(unit, row, &body, *updated_at, tally);
        }
    }
}

/// Notes why upstream's word on an item is not taken. What is known of it stays,
/// and nothing confirms it. Once: a fault that lasts is written and logged when
/// it comes.
fn mark(unit: &mut UnitOfWork, mut row: market_item::Model, fault: Fault, tally: &mut Tally) {
    tally.refused += 1;
    if row.fault == Some(fault) {
        return;
    }
    tracing::warn!(kind = %row.kind, %fault, "an item of the marketplace is faulty");
    row.fault = Some(fault);
    row.fault_at = Some(unit.now.millis());
    unit.rows.put::<market_item::Entity>(row);
}

/// What upstream has from now on.
struct News<'a> {
    fact: &'a Fact,
    /// Since when, by upstream's clock.
    at: Option<Timestamp>,
    value: Option<Value>,
    /// Whether it counts although it is older.
    is_restored: bool,
}

/// Whether a fact is older than what is known. Upstream's own times decide
/// where both have one; otherwise when we heard of it does, and so it does for
/// an item that is gone: a listing asked for later is the truth.
fn is_stale(row: &market_item::Model, fact: &Fact) -> bool {
    let is_earlier = fact.as_of.millis() < row.confirmed_at;
    let said_at = match &fact.said {
        Said::Is { is_restored: true, .. } | Said::Faulty(_) => None,
        Said::Is { updated_at, is_partial, .. } => match (updated_at, is_partial) {
            (Some(at), true) if row.remote_data.is_none() => {
                return at.millis() <= row.remote_updated_at;
            }
            (at, _) => *at,
        },
        Said::Gone { at } => *at,
        // The skill itself has the average of its own time.
        Said::Rated { updated_at, .. } => {
            let known_since = row.rating_updated_at.max(row.remote_updated_at);
            return updated_at.is_some_and(|at| at.millis() < known_since);
        }
    };
    match said_at {
        Some(at) if row.remote_updated_at > 0 && row.remote_data.is_some() => {
            at.millis() < row.remote_updated_at
        }
        _ => is_earlier,
    }
}

/// A value whose missing fields are what upstream said before.
fn completed(value: &Value, row: &market_item::Model) -> Value {
    let known = row.remote_data.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let (Some(Value::Object(mut known)), Value::Object(said)) = (known, value) else {
        return value.clone();
    };
    for (name, value) in said {
        known.insert(name.clone(), value.clone());
    }
    Value::Object(known)
}

/// Takes the news into the row, and what follows from it to the devices.
fn apply(unit: &mut UnitOfWork, mut row: market_item::Model, news: &News<'_>, tally: &mut Tally) {
    let now = unit.now;
    let before = item::parsed(row.remote_data.as_deref());
    if crate::resolve::is_same(before.as_ref(), news.value.as_ref()) {
        heard(&mut row, news, now);
        if item::give_back(unit, &mut row) {
            tally.changed += 1;
        } else {
            tally.unchanged += 1;
        }
        unit.rows.put::<market_item::Entity>(row);
        return;
    }
    let draft = Before::of(&row);
    let said_at = news.at.unwrap_or(now);
    let weighed = weigh::weigh(unit, &row, &draft, news.value.clone(), said_at);
    if item::is_too_large(&row, weighed.after.as_ref()) {
        mark(unit, row, Fault::TooLarge, tally);
        return;
    }
    heard(&mut row, news, now);
    figures::outdate(&mut row, before.as_ref(), news.value.as_ref(), news.at);
    row.withdrawn_at = None;
    let had_data = row.data.is_some();
    item::publish(unit, &mut row, &draft, weighed.after.as_ref(), weighed.version);
    rule::follow(unit, &row, said_at);
    weighed.store(unit, &mut row);
    match (had_data, row.data.is_some()) {
        (true, false) => tally.deleted += 1,
        _ => tally.changed += 1,
    }
    tally.conflicts += u32::from(weighed.conflict.is_some());
    unit.rows.put::<market_item::Entity>(row);
}

/// Upstream was heard, and its word is taken.
fn heard(row: &mut market_item::Model, news: &News<'_>, now: Timestamp) {
    let as_of = news.fact.as_of.min(now);
    row.confirmed_at = row.confirmed_at.max(as_of.millis());
    let known = if news.is_restored { 0 } else { row.remote_updated_at };
    row.remote_updated_at = known_since(news.at, now, known);
    row.fault = None;
    row.fault_at = None;
}

/// Since when upstream says so, by its clock, which may be ahead of ours by a
/// little only: an item from next year could never be changed again.
pub(super) fn known_since(at: Option<Timestamp>, now: Timestamp, known: i64) -> i64 {
    at.map_or(known, |at| at.millis().min(now.plus_millis(SKEW_MS).millis()).max(known))
}

/// The key of a skill.
pub(super) fn skill_key(id: &str) -> ItemKey {
    (Kind::Skill, id.to_owned())
}
