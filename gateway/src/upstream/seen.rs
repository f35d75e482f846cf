//! What a listing of skills has shown so far, and whether that can be all of
//! it. Pure.
//!
//! Totals are believed as far as they do not contradict what came: an
//! upstream that fails halfway goes on with empty pages, pages without a
//! total, or the page before once more, and calls each a success.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use tidegate_protocol::time::Timestamp;

use crate::upstream::listing::Failure;

/// Share of skills that may slip through a listing, in percent: pages are read
/// one after the other, and skills move between them.
const SLIPPED_PERCENT: usize = 5;

/// A page of skills.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    /// Its number, from 1.
    pub(super) number: u32,
    /// Skills asked for at once.
    pub(super) size: u32,
    /// What it named.
    pub(super) ids: &'a [String],
    /// Items on it that could not be read, but are there.
    pub(super) unreadable: usize,
    /// How many skills it says there are.
    pub(super) total: Option<u64>,
}

impl Page<'_> {
    fn items(&self) -> usize {
        self.ids.len() + self.unreadable
    }

    fn not_whole(&self, why: &str) -> Failure {
        Failure::NotWhole(format!("skills, page {}: {why}", self.number))
    }
}

/// What a listing has shown so far.
#[derive(Debug)]
pub(super) struct Seen {
    ids: HashSet<u64>,
    hasher: RandomState,
    unreadable: usize,
    /// The number of skills that each page named.
    totals: Vec<Option<u64>>,
    pub(super) began: Timestamp,
    /// Whether a skill was named that was not there when the run began. Where
    /// one came another may have gone: pages shift, one skill is on none of
    /// them, and the total is as it was.
    pub(super) has_strangers: bool,
}

impl Seen {
    pub(super) fn new(began: Timestamp) -> Self {
        Self {
            ids: HashSet::new(),
            hasher: RandomState::new(),
            unreadable: 0,
            totals: Vec::new(),
            began,
            has_strangers: false,
        }
    }

    /// Whether the listing named this id. Ids are kept as hashes, 8 bytes each.
    /// Two with the same hash make the listing look incomplete, or one look
    /// present: nothing is deleted that should not be.
    pub(super) fn has(&self, id: &str) -> bool {
        self.ids.contains(&self.hasher.hash_one(id))
    }

    /// Takes in the next page; whether it is the last one.
    pub(super) fn take(&mut self, page: &Page<'_>) -> Result<bool, Failure> {
        let is_last = is_last(page)?;
        self.check_total(page)?;
        let before = self.ids.len();
        for id in page.ids {
            self.ids.insert(self.hasher.hash_one(id));
        }
        if !page.ids.is_empty() && self.ids.len() == before {
            return Err(page.not_whole("nothing but what came before"));
        }
        self.unreadable += page.unreadable;
        self.totals.push(page.total);
        Ok(is_last)
    }

    /// A page says what the pages before it said, as far as skills that are
    /// deleted meanwhile allow for.
    fn check_total(&self, page: &Page<'_>) -> Result<(), Failure> {
        if self.totals.is_empty() {
            return Ok(());
        }
        let Some(total) = page.total else {
            let is_new = self.named().next().is_some();
            return if is_new { Err(page.not_whole("the total is missing")) } else { Ok(()) };
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
        let Some(least) = self.named().min() else { return Ok(()) };
        let came = self.ids.len() + self.unreadable;
        if least.saturating_sub(came) > self.may_slip(least) {
            return Err(Failure::NotWhole(format!("skills: {came} of {least} came")));
        }
        Ok(())
    }

    /// How many of so many skills the listing may lack although they exist:
    /// skills deleted from pages that were read move others onto these pages.
    /// Nothing shifts in a listing that is empty.
    pub(super) fn may_slip(&self, of: usize) -> usize {
        if self.ids.is_empty() && self.unreadable == 0 {
            return 0;
        }
        let first = self.named().next().unwrap_or_default();
        let last = self.named().last().unwrap_or_default();
        // What is left cannot be more than what there is.
        let deleted = first.saturating_sub(last).min(last);
        deleted.max(of * SLIPPED_PERCENT / 100)
    }

    /// Whether every page named the same total, exactly that many skills were
    /// seen, and none of them came while pages were read.
    pub(super) fn is_whole(&self) -> bool {
        let agree = self.totals.windows(2).all(|pair| pair[0] == pair[1]);
        let total = self.named().next();
        agree && total == Some(self.ids.len()) && !self.has_strangers
    }

    /// How many were seen.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The totals that were named, in order of pages.
    fn named(&self) -> impl Iterator<Item = usize> {
        self.totals.iter().flatten().map(|total| usize::try_from(*total).unwrap_or(usize::MAX))
    }
}

/// Whether a page is the last one, by itself. One that lacks items before its
/// total is reached was cut somewhere: that is no listing. One that is full of
/// items beyond its total is not the last one, whatever the total.
fn is_last(page: &Page<'_>) -> Result<bool, Failure> {
    let size = u64::from(page.size);
    let items = u64::try_from(page.items()).unwrap_or(u64::MAX);
    let is_full = items >= size;
    let Some(total) = page.total else { return Ok(!is_full) };
    let upto = u64::from(page.number) * size;
    let expected = total.saturating_sub(upto - size).min(size);
    if items < expected {
        return Err(page.not_whole(&format!("{items} of {expected} skills came")));
    }
    Ok(upto >= total && !(is_full && items > expected))
}

#[cfg(test)]
mod tests;
