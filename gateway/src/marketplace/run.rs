//! One synchronisation: categories, then skills page by page, then what is
//! not there any more. Each page is stored with where to go on, so that a run
//! that was cut ends after a restart.

use std::collections::HashSet;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use tidegate_entity::market_item::Kind;
use tidegate_entity::sync_state;
use tidegate_entity::sync_state::Status;
use tidegate_protocol::time::Timestamp;
use tidegate_services::atom::answer::Conditional;
use tokio::time::Instant;
use uuid::Uuid;

use crate::hub::lock;
use crate::ingest::market::{Confirmed, Tally};
use crate::marketplace::known::{Known, KnownList};
use crate::marketplace::lead::{LOOK, Leader};
use crate::marketplace::listing::{Failure, ask};
use crate::marketplace::restored::Older;
use crate::marketplace::seen::Seen;
use crate::marketplace::status::{change, request};
use crate::marketplace::{facts, sweep};
use crate::metrics::label::SyncResult;
use crate::store;

mod pages;

/// Most pages of one listing: ten million skills by hundreds. An upstream that
/// never ends is an error.
const PAGES_MAX: u32 = 100_000;

/// Pages in a row that may bring nothing before a listing that is not believed
/// is left.
const PAGES_IN_VAIN: u32 = 3;

/// Where a run that was cut goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Checkpoint {
    /// The page of skills to ask for next; 0: categories come first.
    page: u32,
    /// Skills asked for at once: another size numbers other pages.
    page_size: u32,
}

/// What is remembered from run to run.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: Known,
    older: Older,
}

/// Runs if it is due, or somebody asked; when to look again.
pub(super) async fn turn(leader: &Leader, memory: &Mutex<Memory>) -> Instant {
    match store::sync_state::read(leader.market.store.readers()).await {
        Ok(row) if is_due(leader, &row) => {
            // There is one run at a time.
            let mut own = std::mem::take(&mut *lock(memory));
            run(leader, &mut own.known, &mut own.older).await;
            *lock(memory) = own;
            return Instant::now();
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the sync state cannot be read"),
    }
    Instant::now() + LOOK
}

fn is_due(leader: &Leader, row: &sync_state::Model) -> bool {
    let interval_s = row.interval_s.unwrap_or(i64::from(leader.settings().interval_s));
    let now = leader.market.clock.now().millis();
    let is_wanted = row.requested_at.is_some()
        || row.status == Status::Syncing
        || row.last_sync_at.is_none_or(|last| now >= last + interval_s * 1000);
    is_wanted && leader.patience_left().is_zero()
}

/// One run from beginning to end; how it ended stands in the sync state.
async fn run(leader: &Leader, known: &mut Known, older: &mut Older) {
    let started = Instant::now();
    let began = leader.market.clock.now();
    let page_size = leader.settings().page_size;
    let marked = change(leader, |row| begin(row, page_size)).await;
    let Ok(resumed) = marked else {
        leader.wait(LOOK).await;
        return;
    };
    let first = resumed.unwrap_or(Checkpoint { page: 0, page_size });
    let (seen, tally) = (Seen::new(began), Tally::default());
    let mut run = Run { leader, known, older, seen, tally };
    let result = synchronise(&mut run, first).await;
    let tally = run.tally;
    if matches!(result, Err(Failure::Over)) {
        // It goes on where it was, here or elsewhere.
        return;
    }
    let is_resumed = resumed.is_some();
    let metrics = &leader.market.metrics;
    metrics.sync_seconds.observe(started.elapsed().as_secs_f64());
    match &result {
        Ok(()) => {
            metrics.sync_runs.of(SyncResult::Done).inc();
            tracing::info!(?tally, is_resumed, "the marketplace is synchronised");
        }
        Err(error) => {
            metrics.sync_runs.of(SyncResult::Failed).inc();
            tracing::warn!(%error, ?tally, "the marketplace could not be synchronised");
        }
    }
    let now = leader.market.clock.now();
    let end = |row: &mut sync_state::Model| {
        row.unnamed_faults = i64::from(tally.unnamed);
        end(row, &result, began, now, is_resumed);
    };
    while change(leader, end).await.is_err() && leader.wait(LOOK).await {}
}

/// Marks the run as under way; where it goes on if it was cut.
fn begin(row: &mut sync_state::Model, page_size: u32) -> Option<Checkpoint> {
    let cut: Option<Checkpoint> = (row.status == Status::Syncing)
        .then(|| serde_json::from_str(row.cursor.as_deref()?).ok())
        .flatten();
    let resumed = cut.filter(|cut| cut.page_size == page_size);
    row.status = Status::Syncing;
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
    result: &Result<(), Failure>,
    began: Timestamp,
    now: Timestamp,
    is_resumed: bool,
) {
    row.cursor = None;
    row.last_sync_at = Some(now.millis());
    row.total_syncs += 1;
    match result {
        Ok(()) => {
            row.status = Status::Idle;
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
            row.status = Status::Error;
            row.last_error = Some(error.to_string());
            row.error_count += 1;
            row.failed_syncs += 1;
        }
    }
}

/// What a run has come to so far.
struct Run<'a> {
    leader: &'a Leader,
    known: &'a mut Known,
    older: &'a mut Older,
    seen: Seen,
    tally: Tally,
}

async fn synchronise(run: &mut Run<'_>, first: Checkpoint) -> Result<(), Failure> {
    run.older.begin();
    let listed = if first.page == 0 { categories(run, first).await } else { Ok(()) };
    // Their fault is not that of the skills.
    if listed.as_ref().is_err_and(|error| !error.is_of_one_answer()) {
        return listed;
    }
    let mut page = first.page.max(1);
    let is_whole = first.page <= 1;
    let mut read = read_all(run, &mut page).await;
    if read.is_ok() && is_whole {
        read = swept(run).await;
    }
    match read {
        Err(error) if error.is_of_one_answer() => {
            read_on(run, page).await?;
            return Err(error);
        }
        other => other?,
    }
    if is_whole {
        let restored = run.older.end();
        run.tally.add(facts::observe(run.leader, restored, None, None).await?);
    }
    listed
}

/// Reads the listing of skills to its end; `page` is the one to go on from.
async fn read_all(run: &mut Run<'_>, page: &mut u32) -> Result<(), Failure> {
    loop {
        let read = pages::skills(run, *page).await;
        *page += 1;
        if read?.is_last? {
            return Ok(());
        }
        if *page > PAGES_MAX {
            return Err(Failure::NotWhole("the listing of skills does not end".to_owned()));
        }
    }
}

/// Judges a listing that ended, and deletes what it does not name.
async fn swept(run: &mut Run<'_>) -> Result<(), Failure> {
    run.seen.check_end()?;
    run.tally.add(sweep::skills(run.leader, &run.seen, run.seen.began).await?);
    Ok(())
}

/// Reads what is left of a listing that is not believed: each item that it names
/// is confirmed all the same. Ends with pages that bring nothing.
async fn read_on(run: &mut Run<'_>, mut page: u32) -> Result<(), Failure> {
    let mut in_vain = 0;
    while in_vain < PAGES_IN_VAIN && page <= PAGES_MAX {
        match pages::skills(run, page).await {
            Ok(read) if read.is_new => in_vain = 0,
            Ok(_) => in_vain += 1,
            Err(error) if error.is_of_one_answer() => in_vain += 1,
            Err(Failure::Over) => return Err(Failure::Over),
            // What made the run fail is what is told.
            Err(_) => return Ok(()),
        }
        let size = usize::try_from(run.leader.settings().page_size).unwrap_or(usize::MAX);
        let upto = usize::try_from(page).unwrap_or(usize::MAX).saturating_mul(size);
        if in_vain > 0 && upto >= run.seen.most() {
            break;
        }
        page += 1;
    }
    Ok(())
}

async fn categories(run: &mut Run<'_>, first: Checkpoint) -> Result<(), Failure> {
    let leader = run.leader;
    let as_of = leader.market.clock.now();
    let place = || "categories".to_owned();
    let held = run.known.categories(leader).await?;
    let validator = held.as_ref().map(|held| &held.validator);
    let answer = ask(leader, place, || leader.atom.categories(validator)).await?;
    let (value, validator) = match answer {
        Conditional::Fresh { value, validator } => (value, validator),
        Conditional::NotModified => {
            let ids = held.map(|held| held.ids).unwrap_or_default();
            let confirmed = Confirmed { kind: Kind::Category, ids, at: as_of };
            run.tally.add(facts::observe(leader, Vec::new(), Some(confirmed), None).await?);
            return Ok(());
        }
    };
    let next = Checkpoint { page: 1, ..first };
    let read = pages::categories(&value.categories, as_of);
    let names: HashSet<String> = read.named().map(|(name, _)| name).collect();
    let (unnamed, faults) = (read.unnamed, read.faults);
    let is_plain = pages::store(run, Kind::Category, read.facts, next, as_of).await?;
    if unnamed == 0 {
        // One that cannot be read is there all the same.
        run.tally.add(sweep::categories(leader, &names, as_of).await?);
    }
    run.tally.unnamed += count(unnamed);
    let is_known = is_plain && unnamed == 0 && faults == 0;
    let list = validator.filter(|_| is_known);
    let ids = names.into_iter().collect();
    let list = list.map(|validator| KnownList { validator, ids, total: None, as_of });
    run.known.remember_categories(list);
    Ok(())
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
