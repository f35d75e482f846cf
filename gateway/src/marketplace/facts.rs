//! From upstream's answers to facts for the writer.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use tidegate_entity::market_item;
use tidegate_entity::market_item::Kind;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::time::Timestamp;
use tidegate_services::atom::error::{AtomError, ErrorKind};
use tidegate_services::atom::item::{CategoryFacts, InvalidItem, SkillFacts};

use crate::error::ApiError;
use crate::ingest::market::{Confirmed, Fact, Fault, Observed, Said, Tally};
use crate::marketplace::lead::Leader;
use crate::marketplace::listing::{Failure, waits};
use crate::resolve;
use crate::store;
use crate::store::market::ItemKey;

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
    let updated_at = facts.updated_at;
    let said = Said::Is { value, updated_at, is_partial, is_restored: false };
    Ok(Fact { key: (Kind::Skill, facts.id), as_of, said })
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
    let updated_at = facts.updated_at;
    let said = Said::Is { value, updated_at, is_partial, is_restored: false };
    Ok(Fact { key: (Kind::Category, facts.name), as_of, said })
}

/// Upstream's word on the item cannot be taken.
pub(super) fn faulty(kind: Kind, id: String, as_of: Timestamp, fault: Fault) -> Fact {
    Fact { key: (kind, id), as_of, said: Said::Faulty(fault) }
}

/// Upstream has the item no more.
pub(super) fn gone(kind: Kind, id: String, as_of: Timestamp, at: Option<Timestamp>) -> Fact {
    Fact { key: (kind, id), as_of, said: Said::Gone { at } }
}

/// What the answer to a question for one skill says of it; `None`: that it is
/// not there. What is no word on this skill stays an error.
pub(super) fn single(
    id: &str,
    answer: Result<Option<Box<RawValue>>, AtomError>,
    as_of: Timestamp,
) -> Result<Option<Fact>, AtomError> {
    let faulty = |fault| faulty(Kind::Skill, id.to_owned(), as_of, fault);
    match answer {
        Ok(None) => Ok(None),
        Ok(Some(raw)) => {
            let fact = skill(&raw, as_of, false).ok().filter(|fact| fact.key.1 == id);
            Ok(Some(fact.unwrap_or_else(|| faulty(Fault::Unreadable))))
        }
        Err(error) if error.kind == ErrorKind::TooLarge => Ok(Some(faulty(Fault::TooLarge))),
        Err(error) => Err(error),
    }
}

/// What was checked to be an object.
fn object(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

/// What of a listing is new.
#[derive(Debug, Default)]
pub(super) struct News {
    /// What changes something here.
    pub(super) facts: Vec<Fact>,
    /// Items that are here as they are listed.
    pub(super) confirmed: Vec<String>,
    /// Items that are newer here than they are listed.
    pub(super) older: Vec<Fact>,
    /// How many are as faulty as they were.
    pub(super) still_faulty: u32,
    /// Whether one is of an item that was not there when the run began.
    pub(super) has_strangers: bool,
}

/// Sorts what is listed by what it changes: a listing in which nothing changed
/// is one update of times for each page.
pub(super) async fn news(
    leader: &Leader,
    facts: Vec<Fact>,
    began: Timestamp,
) -> Result<News, Failure> {
    let keys: Vec<_> = facts.iter().map(|fact| fact.key.clone()).collect();
    let rows = store::market::load(leader.market.store.readers(), &keys).await;
    let rows = rows.map_err(|error| {
        tracing::warn!(%error, "the marketplace's items cannot be read");
        Failure::Store
    })?;
    let rows: HashMap<ItemKey, market_item::Model> =
        rows.into_iter().map(|row| ((row.kind, row.id.clone()), row)).collect();
    // What the socket told of since may have come just now.
    let is_held = |row: &market_item::Model| {
        (row.remote_data.is_some() || row.fault.is_some()) && row.confirmed_at < began.millis()
    };
    let mut news = News::default();
    for fact in facts {
        let row = rows.get(&fact.key);
        news.has_strangers |= !row.is_some_and(is_held);
        match sort(&fact, row) {
            Sorted::New => news.facts.push(fact),
            Sorted::Older => news.older.push(fact),
            Sorted::StillFaulty => news.still_faulty += 1,
            Sorted::Known => news.confirmed.push(fact.key.1),
        }
    }
    Ok(news)
}

enum Sorted {
    New,
    Known,
    Older,
    StillFaulty,
}

fn sort(fact: &Fact, row: Option<&market_item::Model>) -> Sorted {
    let Some(row) = row else { return Sorted::New };
    match &fact.said {
        Said::Faulty(fault) if row.fault == Some(*fault) => Sorted::StillFaulty,
        Said::Is { value, updated_at, is_partial: false, .. } => {
            let known = row.remote_data.as_deref().and_then(|text| serde_json::from_str(text).ok());
            if resolve::is_same(known.as_ref(), Some(value)) {
                // What is faulty or was taken back has to be told anew.
                let is_plain = row.fault.is_none() && row.withdrawn_at.is_none();
                return if is_plain { Sorted::Known } else { Sorted::New };
            }
            let is_older = updated_at.is_some_and(|at| at.millis() < row.remote_updated_at);
            if is_older && known.is_some() { Sorted::Older } else { Sorted::New }
        }
        _ => Sorted::New,
    }
}

/// Hands facts to the writer; what a listing confirmed and the checkpoint go
/// with the last of them.
pub(super) async fn observe(
    leader: &Leader,
    mut facts: Vec<Fact>,
    confirmed: Option<Confirmed>,
    checkpoint: Option<String>,
) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    let mut confirmed = confirmed.filter(|confirmed| !confirmed.ids.is_empty());
    let mut checkpoint = checkpoint;
    while !facts.is_empty() || confirmed.is_some() || checkpoint.is_some() {
        let rest = facts.split_off(facts.len().min(FACTS));
        let is_last = rest.is_empty();
        let observed = Observed {
            fence: leader.term.fence.clone(),
            facts,
            confirmed: confirmed.take_if(|_| is_last),
            checkpoint: checkpoint.take_if(|_| is_last),
            message_at: None,
        };
        tally.add(commit(leader, observed).await?);
        facts = rest;
    }
    Ok(tally)
}

/// One commit, or one for each fact where the database does not take them
/// together: one that it will never take must not keep the others out. Where it
/// only has no time they are not tried one by one, which would take longer still.
pub(super) async fn commit(leader: &Leader, observed: Observed) -> Result<Tally, Failure> {
    let observed = Arc::new(observed);
    let together = submit(leader, Arc::clone(&observed)).await;
    if !matches!(together, Err(Failure::Store)) || observed.facts.len() < 2 {
        return together;
    }
    let with = |facts| Observed {
        fence: observed.fence.clone(),
        facts,
        confirmed: None,
        checkpoint: None,
        message_at: observed.message_at,
    };
    let mut tally = Tally::default();
    let mut taken = 0_u32;
    for fact in &observed.facts {
        match submit(leader, Arc::new(with(vec![fact.clone()]))).await {
            Ok(one) => {
                tally.add(one);
                taken += 1;
            }
            Err(Failure::Store) => tally.refused += 1,
            Err(error) => return Err(error),
        }
    }
    // Where nothing is taken it is the database that does not work.
    if taken == 0 {
        return Err(Failure::Store);
    }
    let (confirmed, checkpoint) = (observed.confirmed.clone(), observed.checkpoint.clone());
    let rest = Observed { confirmed, checkpoint, ..with(Vec::new()) };
    submit(leader, Arc::new(rest)).await?;
    Ok(tally)
}

/// One commit. A writer that has no room is waited for: the pages come one by
/// one, and dropping one would only mean to read it again.
async fn submit(leader: &Leader, observed: Arc<Observed>) -> Result<Tally, Failure> {
    let waits = waits(leader.settings());
    let mut waits = waits.walk();
    loop {
        let error = match leader.market.ingest.observe(Arc::clone(&observed)).await {
            Ok(tally) => return Ok(tally),
            Err(error) => error,
        };
        match failure(&error) {
            Failure::Late => {
                let Some(wait) = waits.next() else { return Err(Failure::Late) };
                if !leader.wait(wait).await {
                    return Err(Failure::Over);
                }
            }
            Failure::Over => {
                leader.term.over.cancel();
                return Err(Failure::Over);
            }
            other => return Err(other),
        }
    }
}

/// What a refusal of the writer means. One that names no time to come back is the
/// word of a lease that is lost.
fn failure(error: &ApiError) -> Failure {
    match (error.retry_after_s, error.code) {
        (Some(_), _) => Failure::Late,
        (None, ErrorCode::Unavailable) => Failure::Over,
        (None, _) => Failure::Store,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_without_time_is_no_fault_of_a_fact() {
        let late = ApiError::unavailable("the writer has no room");
        assert!(matches!(failure(&late), Failure::Late));
        let lost = ApiError::new(ErrorCode::Unavailable, "another node took over");
        assert!(matches!(failure(&lost), Failure::Over));
        let refused = ApiError::new(ErrorCode::Internal, "the database does not take it");
        assert!(matches!(failure(&refused), Failure::Store));
    }
}
