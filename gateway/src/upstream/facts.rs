//! From upstream's answers to facts for the writer.

use serde_json::Value;
use serde_json::value::RawValue;
use tidegate_entity::market_item;
use tidegate_protocol::time::Timestamp;
use tidegate_services::atom::item::{CategoryFacts, InvalidItem, SkillFacts};

use crate::ingest::market::{Fact, Observed, Said, Tally};
use crate::resolve;
use crate::store;
use crate::store::market::{CATEGORY, SKILL};
use crate::upstream::lead::Leader;
use crate::upstream::listing::Failure;

/// Facts handed to the writer at once: a page, as upstream sends them by
/// default. Larger pages are cut, so that commits stay short.
const FACTS: usize = 100;

/// A skill as a listing or the socket has it.
pub(super) fn skill(
    raw: &RawValue,
    as_of: Timestamp,
    is_partial: bool,
) -> Result<Fact, InvalidItem> {
    let facts = SkillFacts::read(raw)?;
    let mut value = object(raw);
    if let Value::Object(fields) = &mut value {
        // Only asked for one by one, it would come and go.
        fields.shift_remove("ratings");
    }
    let said = Said::Is { value, updated_at: facts.updated_at, is_partial };
    Ok(Fact { key: (SKILL.to_owned(), facts.id), as_of, said })
}

/// A category as a listing or the socket has it.
pub(super) fn category(
    raw: &RawValue,
    as_of: Timestamp,
    is_partial: bool,
) -> Result<Fact, InvalidItem> {
    let facts = CategoryFacts::read(raw)?;
    let mut value = object(raw);
    if let Value::Object(fields) = &mut value {
        // Only the socket says it: it would come and go.
        fields.shift_remove("updated_at");
    }
    let said = Said::Is { value, updated_at: facts.updated_at, is_partial };
    Ok(Fact { key: (CATEGORY.to_owned(), facts.name), as_of, said })
}

/// Upstream has the item no more.
pub(super) fn gone(kind: &str, id: String, as_of: Timestamp, at: Option<Timestamp>) -> Fact {
    Fact { key: (kind.to_owned(), id), as_of, said: Said::Gone { at } }
}

/// What was checked to be an object.
fn object(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

/// What of a listing is new.
pub(super) struct News {
    /// Without those that say nothing new.
    pub(super) facts: Vec<Fact>,
    /// Whether one is of an item that was not there when the run began.
    pub(super) has_strangers: bool,
}

/// Leaves out what says nothing new: a listing in which nothing changed takes
/// no write at all.
pub(super) async fn news(
    leader: &Leader,
    facts: Vec<Fact>,
    began: Timestamp,
) -> Result<News, Failure> {
    let keys: Vec<_> = facts.iter().map(|fact| fact.key.clone()).collect();
    let rows = store::market::load(leader.state.store.readers(), &keys).await;
    let rows = rows.map_err(|error| {
        tracing::warn!(%error, "the marketplace's items cannot be read");
        Failure::Store
    })?;
    let known: std::collections::HashMap<(&str, &str), Value> = rows
        .iter()
        .filter_map(|row| {
            let value = serde_json::from_str(row.remote_data.as_deref()?).ok()?;
            Some(((row.kind.as_str(), row.id.as_str()), value))
        })
        .collect();
    // What the socket told of since may have come just now.
    let held =
        |row: &&market_item::Model| row.remote_data.is_some() && row.confirmed_at < began.millis();
    let has_strangers = rows.iter().filter(held).count() < keys.len();
    let is_new = |fact: &Fact| {
        let Said::Is { value, is_partial: false, .. } = &fact.said else { return true };
        let known = known.get(&(fact.key.0.as_str(), fact.key.1.as_str()));
        !resolve::is_same(known, Some(value))
    };
    let facts = facts.into_iter().filter(is_new).collect();
    Ok(News { facts, has_strangers })
}

/// Hands facts to the writer; the checkpoint goes with the last of them.
pub(super) async fn observe(
    leader: &Leader,
    mut facts: Vec<Fact>,
    checkpoint: Option<String>,
) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    while !facts.is_empty() {
        let rest = facts.split_off(facts.len().min(FACTS));
        let checkpoint = checkpoint.clone().filter(|_| rest.is_empty());
        let observed =
            Observed { fence: leader.fence.clone(), facts, checkpoint, message_at: None };
        tally.add(commit(leader, observed).await?);
        facts = rest;
    }
    Ok(tally)
}

/// One commit, or one for each fact where the database does not take them
/// together: one that it will never take must not keep the others out.
pub(super) async fn commit(leader: &Leader, observed: Observed) -> Result<Tally, Failure> {
    let together = submit(leader, observed.clone()).await;
    if !matches!(together, Err(Failure::Store)) || observed.facts.len() < 2 {
        return together;
    }
    let mut tally = Tally::default();
    let mut taken = 0_u32;
    let facts = observed.facts.clone();
    for fact in facts {
        match submit(leader, Observed { facts: vec![fact], ..observed.clone() }).await {
            Ok(one) => {
                tally.add(one);
                taken += 1;
            }
            Err(Failure::Store) => tally.refused += 1,
            Err(error) => return Err(error),
        }
    }
    // Where nothing is taken it is the database that does not work.
    if taken == 0 { Err(Failure::Store) } else { Ok(tally) }
}

/// One commit. A writer that has no room is waited for: the pages come one by
/// one, and dropping one would only mean to read it again.
pub(super) async fn submit(leader: &Leader, observed: Observed) -> Result<Tally, Failure> {
    let mut waits = leader.settings().backoff_ms.iter();
    loop {
        match leader.state.ingest.observe(observed.clone()).await {
            Ok(tally) => return Ok(tally),
            Err(error) if error.retry_after_s.is_some() => {
                let Some(wait_ms) = waits.next() else { return Err(Failure::Store) };
                let wait = super::listing::jittered(*wait_ms);
                if !leader.wait(wait).await {
                    return Err(Failure::Over);
                }
            }
            Err(error) if error.code == tidegate_protocol::code::ErrorCode::Unavailable => {
                leader.over.cancel();
                return Err(Failure::Over);
            }
            Err(_) => return Err(Failure::Store),
        }
    }
}
