//! What one answer of a listing brings: items that can be taken, faulty ones,
//! and whether what it says of itself can be believed. What was read is stored
//! before that is judged.

use std::collections::HashMap;

use serde_json::value::RawValue;
use tidegate_entity::market_item::Kind;
use tidegate_protocol::time::Timestamp;
use tidegate_services::atom::answer::Conditional;
use tidegate_services::atom::error::ErrorKind;
use tidegate_services::atom::item::{InvalidItem, category_name, skill_id};

use crate::ingest::market::{Confirmed, Fact, Fault, Said, Tally};
use crate::marketplace::facts;
use crate::marketplace::known::KnownList;
use crate::marketplace::listing::{Failure, ask};
use crate::marketplace::run::{Checkpoint, Run, count};
use crate::marketplace::seen::{Named, Page};

mod parts;

/// What reading a page came to.
pub(super) struct PageRead {
    /// Whether it is the last one, as far as it is believed.
    pub(super) is_last: Result<bool, Failure>,
    /// Whether it named anything that no page before it did.
    pub(super) is_new: bool,
}

/// Items of an answer.
#[derive(Default)]
pub(super) struct Items {
    /// Each item once, the faulty ones included.
    pub(super) facts: Vec<Fact>,
    /// How many of them are faulty.
    pub(super) faults: usize,
    /// Items that are there once more.
    repeated: usize,
    /// Items without an id that could be read.
    pub(super) unnamed: usize,
}

impl Items {
    /// What is named, and when it changed.
    pub(super) fn named(&self) -> impl Iterator<Item = Named> {
        self.facts.iter().map(named)
    }

    /// Adds an item. Of one that is there twice the first counts, unless it is
    /// faulty or the second is later by upstream's clock.
    fn add(&mut self, places: &mut HashMap<String, usize>, fact: Fact) {
        let place = *places.entry(fact.key.1.clone()).or_insert(self.facts.len());
        if let Some(first) = self.facts.get_mut(place) {
            self.repeated += 1;
            let ((_, first_at), (_, at)) = (named(first), named(&fact));
            let is_later = first_at.is_some() && at > first_at;
            let was_faulty = matches!(first.said, Said::Faulty(_));
            if is_later || (was_faulty && !matches!(fact.said, Said::Faulty(_))) {
                *first = fact;
            }
            return;
        }
        self.facts.push(fact);
    }
}

fn named(fact: &Fact) -> Named {
    let updated_at = match &fact.said {
        Said::Is { updated_at, .. } => *updated_at,
        _ => None,
    };
    (fact.key.1.clone(), updated_at)
}

/// The categories of an answer.
pub(super) fn categories(items: &[Box<RawValue>], as_of: Timestamp) -> Items {
    let read = |raw: &RawValue| facts::category(raw, as_of, false);
    sort(items, Kind::Category, as_of, read, category_name)
}

fn sort(
    items: &[Box<RawValue>],
    kind: Kind,
    as_of: Timestamp,
    read: impl Fn(&RawValue) -> Result<Fact, InvalidItem>,
    name: impl Fn(&RawValue) -> Option<String>,
) -> Items {
    let (mut sorted, mut places) = (Items::default(), HashMap::new());
    for raw in items {
        let fact = read(raw).or_else(|error| {
            tracing::debug!(%error, %kind, "an item of the marketplace cannot be read");
            name(raw).map(|id| facts::faulty(kind, id, as_of, Fault::Unreadable)).ok_or(error)
        });
        match fact {
            Ok(fact) => sorted.add(&mut places, fact),
            Err(error) => {
                sorted.unnamed += 1;
                tracing::warn!(%error, %kind, "an item of the marketplace cannot be told apart");
            }
        }
    }
    sorted.faults = sorted.facts.iter().filter(|fact| matches!(fact.said, Said::Faulty(_))).count();
    sorted
}

/// Reads one page of skills and stores what it brings.
pub(super) async fn skills(run: &mut Run<'_>, page: u32) -> Result<PageRead, Failure> {
    let leader = run.leader;
    let as_of = leader.market.clock.now();
    let size = leader.settings().page_size;
    let held = run.known.page(leader, page).await?;
    let validator = held.as_ref().map(|held| &held.validator);
    let place = || format!("skills, page {page}");
    let answer = ask(leader, place, || leader.atom.skills(page, size, validator)).await;
    let (value, validator, too_large) = match (answer, held) {
        (Ok(Conditional::Fresh { value, validator }), _) => (value, validator, 0),
        (Ok(Conditional::NotModified), Some(held)) => {
            return unchanged(run, page, held, as_of).await;
        }
        (Ok(Conditional::NotModified), None) => {
            return Err(Failure::NotWhole(format!("{}: nothing came", place())));
        }
        (Err(Failure::Upstream { error, .. }), _) if error.kind == ErrorKind::TooLarge => {
            let parts = parts::read(leader, page, size).await?;
            (parts.page, None, parts.too_large)
        }
        (Err(error), _) => return Err(error),
    };
    let read = |raw: &RawValue| facts::skill(raw, as_of, false);
    let mut items = sort(&value.skills, Kind::Skill, as_of, read, skill_id);
    items.unnamed += too_large;
    let ids: Vec<Named> = items.named().collect();
    let shown = Page {
        number: page,
        size,
        ids: &ids,
        repeated: items.repeated,
        unnamed: items.unnamed,
        total: value.total,
    };
    run.tally.unnamed += count(items.unnamed);
    let (unnamed, faults) = (items.unnamed, items.faults);
    let mut facts = items.facts;
    facts.retain(|fact| run.seen.counts(&named(fact)));
    for fact in facts.iter().filter(|fact| run.seen.has(&fact.key.1)) {
        run.older.forget(&fact.key);
    }
    let next = Checkpoint { page: page + 1, page_size: size };
    let is_plain = store(run, Kind::Skill, facts, next, run.seen.began).await?;
    // A page with items that could not be taken is read again.
    let list = validator.filter(|_| is_plain && unnamed == 0 && faults == 0);
    let list = list.map(|validator| KnownList {
        validator,
        ids: ids.iter().map(|(id, _)| id.clone()).collect(),
        total: value.total,
        as_of,
    });
    run.known.remember_page(page, list);
    Ok(taken(run, &shown))
}

/// Takes in a page that is as it was.
async fn unchanged(
    run: &mut Run<'_>,
    page: u32,
    held: KnownList,
    as_of: Timestamp,
) -> Result<PageRead, Failure> {
    let confirmed = Confirmed { kind: Kind::Skill, ids: held.ids.clone(), at: as_of };
    run.tally.unchanged += count(held.ids.len());
    let size = run.leader.settings().page_size;
    run.tally.add(facts::observe(run.leader, Vec::new(), Some(confirmed), None).await?);
    let ids: Vec<Named> = held.ids.into_iter().map(|id| (id, None)).collect();
    let total = held.total;
    Ok(taken(run, &Page { number: page, size, ids: &ids, repeated: 0, unnamed: 0, total }))
}

fn taken(run: &mut Run<'_>, page: &Page<'_>) -> PageRead {
    let before = run.seen.len();
    let is_last = run.seen.take(page);
    PageRead { is_last, is_new: run.seen.len() > before }
}

/// Stores what is new and what was confirmed, with where to go on. Whether all
/// of it is here as it is listed, so that "not changed" will mean that.
pub(super) async fn store(
    run: &mut Run<'_>,
    kind: Kind,
    all: Vec<Fact>,
    next: Checkpoint,
    began: Timestamp,
) -> Result<bool, Failure> {
    let at = all.first().map_or(began, |fact| fact.as_of);
    let news = facts::news(run.leader, all, began).await?;
    if kind == Kind::Skill {
        run.seen.has_strangers |= news.has_strangers;
    }
    let is_plain = news.older.is_empty();
    let mut tally = Tally {
        unchanged: count(news.confirmed.len()),
        stale: count(news.older.len()),
        refused: news.still_faulty,
        ..Tally::default()
    };
    news.older.into_iter().for_each(|fact| run.older.note(fact));
    let confirmed = Some(Confirmed { kind, ids: news.confirmed, at });
    let checkpoint = serde_json::to_string(&next).ok();
    let stored = facts::observe(run.leader, news.facts, confirmed, checkpoint).await?;
    let is_plain = is_plain && stored.refused == 0 && stored.stale == 0;
    tally.add(stored);
    run.tally.add(tally);
    Ok(is_plain)
}
