//! What a run counted.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

/// Counts of a round, and their sum.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) rounds: usize,
    /// Commands asked for; each was accepted in the end.
    pub(super) commands: usize,
    /// Answers with 2xx while troubles went on.
    pub(super) accepted: usize,
    /// Answers with 503.
    pub(super) refused: usize,
    /// Calls cut before an answer.
    pub(super) cut: usize,
    /// Commands that ended as expired; all others were applied.
    pub(super) expired: usize,
    /// Records published.
    pub(super) published: usize,
    /// Workouts and days taken in.
    pub(super) walks: usize,
    /// Entries that devices were told of.
    pub(super) entries: usize,
    /// Results that were confirmed to devices.
    pub(super) results: usize,
    /// Rows of all journals.
    pub(super) rows: usize,
    /// Troubles by name.
    pub(super) troubles: BTreeMap<&'static str, usize>,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.commands += other.commands;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.cut += other.cut;
        self.expired += other.expired;
        self.published += other.published;
        self.walks += other.walks;
        self.entries += other.entries;
        self.results += other.results;
        self.rows += other.rows;
        for (name, count) in other.troubles {
            *self.troubles.entry(name).or_default() += count;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            text,
            "{} rounds: {} commands accounted for ({} expired), {} accepted and {} refused under \
             trouble, {} calls cut; {} records published, {} walks taken; {} entries told, {} results confirmed, \
             {} rows on disk",
            self.rounds,
            self.commands,
            self.expired,
            self.accepted,
            self.refused,
            self.cut,
            self.published,
            self.walks,
            self.entries,
            self.results,
            self.rows,
        )?;
        for (name, count) in &self.troubles {
            write!(text, "; {name} {count}")?;
        }
        Ok(())
    }
}
