//! What upstream has no more. An item is deleted only when that is certain:
//! a listing in one piece that names exactly as many skills as it says there
//! are, or upstream's own "not found" for that skill.

use std::collections::HashSet;

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use tidegate_entity::market_item::Kind;
use tidegate_protocol::time::Timestamp;
use tidegate_services::atom::answer::Conditional;
use tidegate_services::atom::item::category_name;

use crate::ingest::market::{Confirmed, Fact, Tally};
use crate::marketplace::facts;
use crate::marketplace::lead::Leader;
use crate::marketplace::listing::{Failure, ask};
use crate::marketplace::seen::Seen;
use crate::store;

/// Share of deletions up to which a whole listing is believed, in percent.
const BELIEVED_PERCENT: usize = 5;

/// Skills asked for at once, one by one: upstream allows 10 requests at once.
const ASKED_AT_ONCE: usize = 5;

/// Skills over which upstream fails before the sweep fails with it: then it is
/// not these skills.
const UNANSWERED_MAX: usize = 5;

/// Ids read from the database at once.
const IDS_PER_READ: u64 = 1_000;

/// Facts handed in at once.
const FACTS: usize = 100;

/// Deletes the skills that the listing did not name. Fails where too many of
/// them exist: then the listing was not whole, whatever it said, and upstream
/// is not asked for the rest.
pub(super) async fn skills(
    leader: &Leader,
    seen: &Seen,
    began: Timestamp,
) -> Result<Tally, Failure> {
    let (absent, held) = absent(leader, Kind::Skill, began, |id| seen.has(id)).await?;
    if absent.is_empty() {
        return Ok(Tally::default());
    }
    let is_believed = seen.is_whole() && absent.len() * 100 <= held * BELIEVED_PERCENT;
    tracing::info!(
        absent = absent.len(),
        seen = seen.len(),
        is_believed,
        "skills are not listed any more"
    );
    let (mut tally, mut doubts) = (Tally::default(), Doubts::default());
    for ids in absent.chunks(FACTS) {
        let at = leader.market.clock.now();
        let facts = if is_believed {
            ids.iter().map(|id| facts::gone(Kind::Skill, id.clone(), began, None)).collect()
        } else {
            confirmed(leader, ids, &mut doubts).await?
        };
        let news = facts::news(leader, facts, began).await?;
        let confirmed = Confirmed { kind: Kind::Skill, ids: news.confirmed, at };
        tally.add(facts::observe(leader, news.facts, Some(confirmed), None).await?);
        // What could not be told apart may be any of these.
        let found = doubts.found;
        if found > seen.may_slip(held) + seen.unnamed() {
            let why = format!("skills: {found} exist that are not among the {} listed", seen.len());
            return Err(Failure::NotWhole(why));
        }
    }
    Ok(tally)
}

/// What upstream says of one skill.
enum Asked {
    /// It is there, and like this.
    Found(Fact),
    /// It is there no more.
    Gone(Fact),
    /// Upstream failed over this one: it is neither kept fresh nor deleted.
    Unanswered(Failure),
}

/// What speaks against a listing.
#[derive(Debug, Default)]
struct Doubts {
    /// Skills that are there and were not listed.
    found: usize,
    /// Skills of which upstream did not say it.
    unanswered: usize,
}

/// Asks for each of these skills: gone only if upstream says so.
async fn confirmed(
    leader: &Leader,
    ids: &[String],
    doubts: &mut Doubts,
) -> Result<Vec<Fact>, Failure> {
    let questions: Vec<_> = ids.iter().map(|id| asked(leader, id).boxed()).collect();
    let mut answers = stream::iter(questions).buffered(ASKED_AT_ONCE);
    let mut facts = Vec::with_capacity(ids.len());
    while let Some(answer) = answers.try_next().await? {
        match answer {
            Asked::Found(fact) => {
                doubts.found += 1;
                facts.push(fact);
            }
            Asked::Gone(fact) => facts.push(fact),
            Asked::Unanswered(error) if doubts.unanswered >= UNANSWERED_MAX => return Err(error),
            Asked::Unanswered(error) => {
                doubts.unanswered += 1;
                tracing::warn!(%error, "whether a skill is gone cannot be told");
            }
        }
    }
    Ok(facts)
}

async fn asked(leader: &Leader, id: &str) -> Result<Asked, Failure> {
    let as_of = leader.market.clock.now();
    let place = || "one skill".to_owned();
    let request = || async { facts::single(id, leader.atom.skill(id).await, as_of) };
    match ask(leader, place, request).await {
        Ok(Some(fact)) => Ok(Asked::Found(fact)),
        Ok(None) => Ok(Asked::Gone(facts::gone(Kind::Skill, id.to_owned(), as_of, None))),
        Err(error) if error.is_of_one_answer() => Ok(Asked::Unanswered(error)),
        Err(error) => Err(error),
    }
}

/// Deletes the categories that the list did not name. More than a few at once
/// must be missing from a second answer as well. An empty list is not believed:
/// outages look like that, and single categories cannot be asked for.
pub(super) async fn categories(
    leader: &Leader,
    names: &HashSet<String>,
    as_of: Timestamp,
) -> Result<Tally, Failure> {
    let (mut absent, held) =
        absent(leader, Kind::Category, as_of, |name| names.contains(name)).await?;
    if names.is_empty() && !absent.is_empty() {
        tracing::warn!(held, "the marketplace names no category; those known are kept");
        return Ok(Tally::default());
    }
    if absent.len() * 100 > held * BELIEVED_PERCENT {
        let place = || "categories".to_owned();
        let answer = ask(leader, place, || leader.atom.categories(None)).await?;
        let Conditional::Fresh { value, .. } = answer else { return Ok(Tally::default()) };
        let again: HashSet<String> =
            value.categories.iter().filter_map(|raw| category_name(raw)).collect();
        if again.is_empty() {
            return Ok(Tally::default());
        }
        absent.retain(|name| !again.contains(name));
    }
    let gone = absent.into_iter().map(|name| facts::gone(Kind::Category, name, as_of, None));
    facts::observe(leader, gone.collect(), None, None).await
}

/// Items of upstream that were not named, and that it did not speak of since
/// `began`; and how many it has in all.
async fn absent(
    leader: &Leader,
    kind: Kind,
    began: Timestamp,
    is_named: impl Fn(&str) -> bool,
) -> Result<(Vec<String>, usize), Failure> {
    let (mut absent, mut held, mut after) = (Vec::new(), 0, String::new());
    loop {
        let db = leader.market.store.readers();
        let read = store::market::of_upstream(db, kind, &after, IDS_PER_READ).await;
        let known = read.map_err(|error| {
            tracing::warn!(%error, "the marketplace's items cannot be read");
            Failure::Store
        })?;
        let Some(last) = known.last() else { return Ok((absent, held)) };
        after.clone_from(&last.id);
        held += known.len();
        let is_absent =
            |item: &store::market::Known| !is_named(&item.id) && item.confirmed_at < began.millis();
        absent.extend(known.into_iter().filter(is_absent).map(|item| item.id));
    }
}
