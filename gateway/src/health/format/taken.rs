//! What was taken from a body so far. Each item is counted once, by what
//! becomes of it.

use serde_json::value::RawValue;

use crate::health::fact::{Fact, Facts, ItemError, What};
use crate::health::format::lists;
use crate::health::item::Wrong;

/// Most wrong items that are listed with their faults. Native bodies hold fewer;
/// an export in an unknown unit has the same fault a hundred thousand times.
pub(super) const LISTED: usize = 1_000;

/// What was taken so far.
#[derive(Debug, Default)]
pub(super) struct Taken(Facts);

impl Taken {
    /// A fact for so many items.
    pub(super) fn fact(&mut self, items: u32, what: What) {
        self.0.total += u64::from(items);
        self.0.facts.push(Fact { items, what });
    }

    /// An item that is wrong.
    pub(super) fn wrong(&mut self, list: &str, index: usize, wrong: Wrong) {
        self.0.total += 1;
        if self.0.errors.len() < LISTED {
            let Wrong { field, reason } = wrong;
            self.0.errors.push(ItemError { list: list.to_owned(), index, field, reason });
        } else {
            self.0.unlisted += 1;
        }
    }

    /// Items of names that nobody knows.
    pub(super) fn ignore(&mut self, items: usize) {
        self.0.total += items as u64;
        self.0.ignored += items as u64;
    }

    /// Takes the items of a list, each a fact of its own. Says how many were.
    pub(super) fn each<'a>(
        &mut self,
        name: &str,
        list: &'a RawValue,
        read: impl Fn(&'a RawValue) -> Result<What, Wrong>,
    ) -> u64 {
        let mut taken = 0;
        lists::each(list, |index, raw| match read(raw) {
            Ok(what) => {
                self.fact(1, what);
                taken += 1;
            }
            Err(wrong) => self.wrong(name, index, wrong),
        });
        taken
    }

    /// All of it.
    pub(super) fn finish(self) -> Facts {
        self.0
    }

    /// All of it, and how many items were taken from each list.
    pub(super) fn finish_with(self, counts: Vec<(&'static str, u64)>) -> Facts {
        Facts { counts, ..self.0 }
    }
}
