//! One synchronisation: categories, then skills page by page, then what is
//! not there any more. Each page is stored with where to go on, so that a run
//! that was cut ends after a restart.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidegate_entity::sync_state;
use tidegate_protocol::time::Timestamp;
use tidegate_services::atom::answer::Conditional;
use tokio::time::Instant;
use uuid::Uuid;

use crate::ingest::market::Tally;
use crate::metrics::label::SyncResult;
use crate::store;
use crate::upstream::facts::News;
use crate::upstream::known::{Known, KnownList};
use crate::upstream::lead::{LOOK, Leader};
use crate::upstream::listing::{Failure, ask};
use crate::upstream::seen::{Page, Seen};
use crate::upstream::status::{ERROR, IDLE, SYNCING, change, request};
use crate::upstream::{facts, sweep};

/// Most pages of one listing: ten million skills by hundreds. An upstream that
/// never ends is an error.
const PAGES_MAX: u32 = 100_000;

/// Where a run that was cut goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Checkpoint {
    /// The page of skills to ask for next; 0: categories come first.
    page: u32,
    /// Skills asked for at once: another size numbers other pages.
    page_size: u32,
}

/// Runs whenever it is due, or somebody asks.
pub(super) async fn schedule(leader: &Leader) {
    let mut known = Known::default();
    while !leader.over.is_cancelled() {
        match store::sync_state::read(leader.state.store.readers()).await {
            Ok(row) if is_due(leader, &row) => {
                run(leader, &mut known).await;
                continue;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the sync state cannot be read"),
        }
        tokio::select! {
            biased;
            () = leader.over.cancelled() => {}
            () = leader.hints.runs.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn is_due(leader: &Leader, row: &sync_state::Model) -> bool {
    let interval_s = row.interval_s.unwrap_or(i64::from(leader.settings().interval_s));
    let now = leader.state.clock.now().millis();
    row.requested_at.is_some()
        || row.status == SYNCING
        || row.last_sync_at.is_none_or(|last| now >= last + interval_s * 1000)
}

/// One run from beginning to end; how it ended stands in the sync state.
async fn run(leader: &Leader, known: &mut Known) {
    let started = Instant::now();
    let began = leader.state.clock.now();
    let page_size = leader.settings().page_size;
    let marked = change(&leader.state, &leader.fence, |row| begin(row, page_size)).await;
    let Ok(resumed) = marked else {
        leader.wait(LOOK).await;
        return;
    };
    let first = resumed.unwrap_or(Checkpoint { page: 0, page_size });
    let result = synchronise(leader, known, first, began).await;
    if matches!(result, Err(Failure::Over)) {
        // It goes on where it was, here or elsewhere.
        return;
    }
    let is_resumed = resumed.is_some();
    let metrics = &leader.state.metrics;
    metrics.sync_seconds.observe(started.elapsed().as_secs_f64());
    match &result {
        Ok(tally) => {
            metrics.sync_runs.of(SyncResult::Done).inc();
            tracing::info!(?tally, is_resumed, "the marketplace is synchronised");
        }
        Err(error) => {
            metrics.sync_runs.of(SyncResult::Failed).inc();
            tracing::warn!(%error, "the marketplace could not be synchronised");
        }
    }
    let now = leader.state.clock.now();
    let end = |row: &mut sync_state::Model| end(row, &result, began, now, is_resumed);
    while change(&leader.state, &leader.fence, end).await.is_err() && leader.wait(LOOK).await {}
}

/// Marks the run as under way; where it goes on if it was cut.
fn begin(row: &mut sync_state::Model, page_size: u32) -> Option<Checkpoint> {
    let cut: Option<Checkpoint> = (row.status == SYNCING)
        .then(|| serde_json::from_str(row.cursor.as_deref()?).ok())
        .flatten();
    let resumed = cut.filter(|cut| cut.page_size == page_size);
    SYNCING.clone_into(&mut row.status);
    if row.requested_at.take().is_none() && resumed.is_none() {
        row.run_id = Some(Uuid::now_v7().to_string());
    }
    if resumed.is_none() {
        row.cursor = None;
    }
    resumed
}

fn end(
    row: &mut sync_state::Model,
    result: &Result<Tally, Failure>,
    began: Timestamp,
    now: Timestamp,
    is_resumed: bool,
) {
    row.cursor = None;
    row.last_sync_at = Some(now.millis());
    row.total_syncs += 1;
    match result {
        Ok(_) => {
            IDLE.clone_into(&mut row.status);
            row.last_error = None;
            row.error_count = 0;
            row.successful_syncs += 1;
            row.last_successful_sync_at = Some(now.millis());
            if is_resumed {
                // What it saw before it was cut is forgotten: what is gone,
                // and what is still there, only a run in one piece can tell.
                request(row, now.millis());
            } else {
                row.listed_at = began.millis();
            }
        }
        Err(error) => {
            ERROR.clone_into(&mut row.status);
            row.last_error = Some(error.to_string());
            row.error_count += 1;
            row.failed_syncs += 1;
        }
    }
}

async fn synchronise(
    leader: &Leader,
    known: &mut Known,
    first: Checkpoint,
    began: Timestamp,
) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    if first.page == 0 {
        tally.add(categories(leader, known, first).await?);
    }
    let mut seen = Seen::new(began);
    let mut page = first.page.max(1);
    loop {
        let (of_page, is_last) = skills(leader, known, &mut seen, page).await?;
        tally.add(of_page);
        if is_last {
            break;
        }
        page += 1;
        if page > PAGES_MAX {
            return Err(Failure::NotWhole("the listing of skills does not end".to_owned()));
        }
    }
    if first.page <= 1 {
        seen.check_end()?;
        tally.add(sweep::skills(leader, &seen, began).await?);
    }
    Ok(tally)
}

async fn categories(
    leader: &Leader,
    known: &mut Known,
    first: Checkpoint,
) -> Result<Tally, Failure> {
    let as_of = leader.state.clock.now();
    let place = || "categories".to_owned();
    let held = known.categories(leader).await?;
    let validator = held.as_ref().map(|held| &held.validator);
    let answer = ask(leader, place, || leader.atom.categories(validator)).await?;
    let Conditional::Fresh { value, validator } = answer else { return Ok(Tally::default()) };
    let next = Checkpoint { page: 1, ..first };
    let (mut tally, facts) = read(&value.categories, |raw| facts::category(raw, as_of, false));
    let ids: Vec<String> = facts.iter().map(|fact| fact.key.1.clone()).collect();
    let names: HashSet<String> = ids.iter().cloned().collect();
    let is_read = ids.len() == value.categories.len();
    let (stored, _) = store(leader, facts, next, as_of).await?;
    tally.add(stored);
    if is_read {
        // One that cannot be read is there all the same.
        tally.add(sweep::categories(leader, &names, as_of).await?);
    }
    let list = validator.filter(|_| is_read);
    let list = list.map(|validator| KnownList { validator, ids, total: None, as_of });
    known.remember_categories(list);
    Ok(tally)
}

/// One page of skills, stored; and whether it is the last one.
async fn skills(
    leader: &Leader,
    known: &mut Known,
    seen: &mut Seen,
    page: u32,
) -> Result<(Tally, bool), Failure> {
    let as_of = leader.state.clock.now();
    let size = leader.settings().page_size;
    let held = known.page(leader, page).await?;
    let validator = held.as_ref().map(|held| &held.validator);
    let place = || format!("skills, page {page}");
    let answer = ask(leader, place, || leader.atom.skills(page, size, validator)).await?;
    let shown = Page { number: page, size, ids: &[], unreadable: 0, total: None };
    let (value, validator) = match (answer, held) {
        (Conditional::Fresh { value, validator }, _) => (value, validator),
        (Conditional::NotModified, Some(held)) => {
            let is_last = seen.take(&Page { ids: &held.ids, total: held.total, ..shown })?;
            return Ok((Tally { unchanged: count(held.ids.len()), ..Tally::default() }, is_last));
        }
        (Conditional::NotModified, None) => {
            return Err(Failure::NotWhole(format!("{}: nothing came", place())));
        }
    };
    let (mut tally, facts) = read(&value.skills, |raw| facts::skill(raw, as_of, false));
    let ids: Vec<String> = facts.iter().map(|fact| fact.key.1.clone()).collect();
    let unreadable = value.skills.len() - ids.len();
    let total = value.total;
    let is_last = seen.take(&Page { ids: &ids, unreadable, total, ..shown })?;
    let next = Checkpoint { page: page + 1, page_size: size };
    let (stored, has_strangers) = store(leader, facts, next, seen.began).await?;
    tally.add(stored);
    seen.has_strangers |= has_strangers;
    // A page with items that could not be read is read again.
    let list = validator.filter(|_| unreadable == 0);
    let list = list.map(|validator| KnownList { validator, ids, total, as_of });
    known.remember_page(page, list);
    Ok((tally, is_last))
}

/// Reads items; what is not one is left out and counted.
fn read<E: std::fmt::Display>(
    items: &[Box<RawValue>],
    one: impl Fn(&RawValue) -> Result<crate::ingest::market::Fact, E>,
) -> (Tally, Vec<crate::ingest::market::Fact>) {
    let mut tally = Tally::default();
    let mut facts = Vec::with_capacity(items.len());
    for raw in items {
        match one(raw) {
            Ok(fact) => facts.push(fact),
            Err(error) => {
                tally.refused += 1;
                tracing::warn!(%error, "an item of the marketplace cannot be read");
            }
        }
    }
    (tally, facts)
}

/// Stores what is new, and where to go on. Where nothing is new nothing is
/// written: going on from an earlier page does no harm. Also tells whether
/// there were items that came after the run began.
async fn store(
    leader: &Leader,
    all: Vec<crate::ingest::market::Fact>,
    next: Checkpoint,
    began: Timestamp,
) -> Result<(Tally, bool), Failure> {
    let told = all.len();
    let News { facts, has_strangers } = facts::news(leader, all, began).await?;
    let mut tally = Tally { unchanged: count(told - facts.len()), ..Tally::default() };
    let checkpoint = serde_json::to_string(&next).ok();
    tally.add(facts::observe(leader, facts, checkpoint).await?);
    Ok((tally, has_strangers))
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
