//! What a listing of skills has shown so far, and whether that can be all of
//! it. Pure.
//!
//! Totals are believed as far as they do not contradict what came: an
//! upstream that fails halfway goes on with empty pages, pages without a
//! total, or the page before once more, and calls each a success.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use tidegate_protocol::time::Timestamp;

use crate::marketplace::listing::Failure;

/// Share of skills that may slip through a listing, in percent: pages are read
/// one after the other, and skills move between them.
const SLIPPED_PERCENT: usize = 5;

/// An item that a page names, and when it changed by upstream's clock, where it
/// said so.
pub(super) type Named = (String, Option<Timestamp>);

/// A page of skills.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    /// Its number, from 1.
    pub(super) number: u32,
    /// Skills asked for at once.
    pub(super) size: u32,
    /// What it named, each once.
    pub(super) ids: &'a [Named],
    /// Items on it that are there once more.
    pub(super) repeated: usize,
    /// Items on it whose ids could not be read, but are there.
    pub(super) unnamed: usize,
    /// How many skills it says there are.
    pub(super) total: Option<u64>,
}

impl Page<'_> {
    pub(super) fn items(&self) -> usize {
        self.ids.len() + self.repeated + self.unnamed
    }

    /// How many items it lacks that its total promises.
    fn shortage(&self) -> usize {
        let Some(total) = self.total else { return 0 };
        let size = u64::from(self.size);
        let before = u64::from(self.number.saturating_sub(1)) * size;
        let expected = total.saturating_sub(before).min(size);
        usize::try_from(expected).unwrap_or(usize::MAX).saturating_sub(self.items())
    }

    fn not_whole(&self, why: &str) -> Failure {
        Failure::NotWhole(format!("skills, page {}: {why}", self.number))
    }
}

/// What a listing has shown so far.
#[derive(Debug)]
pub(super) struct Seen {
    /// Hashes of the ids, and when each item changed as it was named first;
    /// [`UNTIMED`] where that was not said.
    ids: HashMap<u64, i64>,
    hasher: RandomState,
    unnamed: usize,
    /// Items that were on one page twice.
    doubled: usize,
    /// Items that were on two pages.
    repeated: usize,
    /// Items that totals promised and pages lacked.
    short: usize,
    totals: Totals,
    pub(super) began: Timestamp,
    /// Whether a skill was named that was not there when the run began. Where
    /// one came another may have gone: pages shift, one skill is on none of
    /// them, and the total is as it was.
    pub(super) has_strangers: bool,
}

/// How many skills there are, as the pages named it one after the other.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    pages: usize,
    /// How many of them named what was named first.
    agree: usize,
    first: Option<usize>,
    last: Option<usize>,
    least: Option<usize>,
    most: Option<usize>,
}

impl Totals {
    fn add(&mut self, total: Option<u64>) {
        self.pages += 1;
        let Some(total) = total else { return };
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        self.agree += usize::from(*self.first.get_or_insert(total) == total);
        self.last = Some(total);
        self.least = Some(self.least.map_or(total, |least| least.min(total)));
        self.most = self.most.max(Some(total));
    }
}

/// No time that upstream could say.
const UNTIMED: i64 = i64::MAX;

impl Seen {
    pub(super) fn new(began: Timestamp) -> Self {
        Self {
            ids: HashMap::new(),
            hasher: RandomState::new(),
            unnamed: 0,
            doubled: 0,
            repeated: 0,
            short: 0,
            totals: Totals::default(),
            began,
            has_strangers: false,
        }
    }

    /// Whether the listing named this id. Ids are kept as hashes, 8 bytes each.
    /// Two with the same hash make the listing look incomplete, or one look
    /// present: nothing is deleted that should not be.
    pub(super) fn has(&self, id: &str) -> bool {
        self.ids.contains_key(&self.hasher.hash_one(id))
    }

    /// Whether what a listing says of an item counts. Of an item that is listed
    /// twice the first word does, unless the second is later by upstream's clock:
    /// otherwise the two would take turns, with a version for each.
    pub(super) fn counts(&self, (id, updated_at): &Named) -> bool {
        let first = self.ids.get(&self.hasher.hash_one(id));
        first.is_none_or(|first| updated_at.is_some_and(|at| at.millis() > *first))
    }

    /// Takes in the next page; whether it is the last one.
    pub(super) fn take(&mut self, page: &Page<'_>) -> Result<bool, Failure> {
        let before = self.ids.len();
        for (id, updated_at) in page.ids {
            let at = updated_at.map_or(UNTIMED, Timestamp::millis);
            self.ids.entry(self.hasher.hash_one(id)).or_insert(at);
        }
        let repeated = page.ids.len() - (self.ids.len() - before);
        self.doubled += page.repeated;
        self.repeated += repeated;
        self.unnamed += page.unnamed;
        self.short += page.shortage();
        let agrees = self.check_total(page);
        self.totals.add(page.total);
        agrees?;
        let least = self.totals.least.unwrap_or_default();
        if self.short > self.may_slip(least) {
            let (items, expected) = (page.items(), page.items() + page.shortage());
            return Err(page.not_whole(&format!("{items} of {expected} skills came")));
        }
        if self.ids.len() == before && repeated > self.may_slip(self.most()).max(1) {
            return Err(page.not_whole("nothing but what came before"));
        }
        Ok(is_last(page))
    }

    /// A page says what the pages before it said, as far as skills that are
    /// deleted meanwhile allow for.
    fn check_total(&self, page: &Page<'_>) -> Result<(), Failure> {
        if self.totals.pages == 0 {
            return Ok(());
        }
        let Some(total) = page.total else {
            return if self.totals.first.is_some() {
                Err(page.not_whole("the total is missing"))
            } else {
                Ok(())
            };
        };
        // Deletions may take what was on it; not the page before it as well.
        let before = u64::from(page.number.saturating_sub(2)) * u64::from(page.size);
        if page.items() == 0 && total <= before {
            let why = format!("no skill of {total}, after {} came", self.ids.len());
            return Err(page.not_whole(&why));
        }
        Ok(())
    }

    /// Fails where a listing that ended has shown less than all its totals say.
    pub(super) fn check_end(&self) -> Result<(), Failure> {
        let Some(least) = self.totals.least else { return Ok(()) };
        // Some move between pages; a page that came again is not as many skills.
        let moved = self.repeated.min(self.may_slip(least).max(1));
        let came = self.ids.len() + self.unnamed + self.doubled;
        if least.saturating_sub(came + moved) > self.may_slip(least) {
            return Err(Failure::NotWhole(format!("skills: {came} of {least} came")));
        }
        Ok(())
    }

    /// How many of so many skills the listing may lack although they exist:
    /// skills deleted from pages that were read move others onto these pages.
    /// Nothing shifts in a listing that is empty.
    pub(super) fn may_slip(&self, of: usize) -> usize {
        if self.ids.is_empty() && self.unnamed == 0 {
            return 0;
        }
        let first = self.totals.first.unwrap_or_default();
        let last = self.totals.last.unwrap_or_default();
        // What is left cannot be more than what there is.
        let deleted = first.saturating_sub(last).min(last);
        deleted.max(of * SLIPPED_PERCENT / 100)
    }

    /// The most skills that there can be, by what was said and by what came.
    pub(super) fn most(&self) -> usize {
        self.totals.most.unwrap_or_default().max(self.ids.len())
    }

    /// Items that are there and could not be told apart.
    pub(super) const fn unnamed(&self) -> usize {
        self.unnamed
    }

    /// Whether every page named the same total, exactly that many skills were
    /// seen, and none of them came while pages were read.
    pub(super) fn is_whole(&self) -> bool {
        let Totals { pages, agree, first, .. } = self.totals;
        let is_agreed = pages == agree && first == Some(self.ids.len());
        is_agreed && self.unnamed == 0 && !self.has_strangers
    }

    /// How many were seen.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}

/// Whether a page is the last one, by itself. One that is full of items beyond
/// its total is not, whatever the total.
fn is_last(page: &Page<'_>) -> bool {
    let size = u64::from(page.size);
    let items = u64::try_from(page.items()).unwrap_or(u64::MAX);
    let is_full = items >= size;
    let Some(total) = page.total else { return !is_full };
    let upto = u64::from(page.number) * size;
    let expected = total.saturating_sub(upto - size).min(size);
    upto >= total && !(is_full && items > expected)
}

#[cfg(test)]
mod tests;
