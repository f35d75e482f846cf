//! Which activities are one workout, and which of these is shown.
//!
//! Two activities of different sources are the same workout when they overlap by
//! more than half of the shorter one. Activities are walked by rank of source,
//! then the longer first: one that is the same workout as one that is shown is its
//! duplicate. So what is hidden hides nobody, and the order of arrival does not
//! matter. A walk over activities that nothing connects to the rest comes to what
//! a walk over all of them comes to.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::health::source::Source;

/// What an activity is compared by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its id.
    pub id: String,
    /// Who tells of it.
    pub source: Source,
    /// Milliseconds since the epoch.
    pub start_ms: i64,
    /// Milliseconds since the epoch.
    pub end_ms: i64,
    /// Seconds.
    pub elapsed_s: i64,
}

impl Span {
    /// Whether the two are one workout.
    pub fn is_same_workout(&self, other: &Self) -> bool {
        let shorter_s = self.elapsed_s.min(other.elapsed_s);
        let overlap_ms = self.end_ms.min(other.end_ms) - self.start_ms.max(other.start_ms);
        self.source != other.source
            && shorter_s > 0
            && overlap_ms > 0
            && i128::from(overlap_ms) * 2 > i128::from(shorter_s) * 1000
    }

    fn place(&self) -> (Reverse<u8>, Reverse<i64>, i64, &'static str, &str) {
        let priority = Reverse(self.source.priority());
        (priority, Reverse(self.elapsed_s), self.start_ms, self.source.as_str(), &self.id)
    }

    fn length_ms(&self) -> i64 {
        self.end_ms.saturating_sub(self.start_ms)
    }
}

const HOUR_MS: i64 = 3_600_000;

/// Longest activity of each class but the last, which holds the others,
/// milliseconds. Nearly all are of the first; each class is searched only as far
/// back as its longest activity reaches.
pub const CLASSES_MS: [i64; 4] = [4 * HOUR_MS, 32 * HOUR_MS, 10 * 24 * HOUR_MS, 90 * 24 * HOUR_MS];

/// The class of an activity of this length.
pub fn class(length_ms: i64) -> usize {
    CLASSES_MS.iter().position(|longest| length_ms <= *longest).unwrap_or(CLASSES_MS.len())
}

/// Where activities of a class begin that overlap one from `start_ms` on, at the
/// earliest.
pub fn earliest(class: usize, start_ms: i64) -> i64 {
    CLASSES_MS.get(class).map_or(i64::MIN, |longest| start_ms.saturating_sub(*longest))
}

/// Activities by the time they take.
#[derive(Debug, Default)]
pub struct Index {
    classes: [BTreeMap<(i64, usize), i64>; CLASSES_MS.len() + 1],
}

impl Index {
    /// Takes in an activity under a number.
    pub fn insert(&mut self, number: usize, span: &Span) {
        let class = class(span.length_ms());
        self.classes[class].insert((span.start_ms, number), span.end_ms);
    }

    /// The numbers of those that overlap, in no order.
    pub fn overlapping(&self, span: &Span) -> impl Iterator<Item = usize> {
        let (start_ms, end_ms) = (span.start_ms, span.end_ms);
        self.classes.iter().enumerate().flat_map(move |(class, spans)| {
            let first = earliest(class, start_ms).min(end_ms);
            let found = spans.range((first, 0)..(end_ms.max(first), 0));
            found.filter(move |(_, end)| **end > start_ms).map(|((_, number), _)| *number)
        })
    }
}

/// For each activity the number of the one it is a duplicate of. `spans` holds
/// whole [`connected`] sets.
pub fn duplicates(spans: &[Span]) -> Vec<Option<usize>> {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by(|one, other| spans[*one].place().cmp(&spans[*other].place()));
    let mut shown = Index::default();
    let mut result = vec![None; spans.len()];
    for number in order {
        let span = &spans[number];
        let same = shown.overlapping(span).filter(|other| spans[*other].is_same_workout(span));
        result[number] = same.min_by_key(|other| spans[*other].place());
        if result[number].is_none() {
            shown.insert(number, span);
        }
    }
    result
}

/// The numbers of all activities that are connected with one of `first` by a chain
/// of pairs that are the same workout, these included.
pub fn connected(spans: &[Span], first: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let mut index = Index::default();
    spans.iter().enumerate().for_each(|(number, span)| index.insert(number, span));
    let mut is_found = vec![false; spans.len()];
    let mut open: Vec<usize> = first.into_iter().collect();
    for number in &open {
        is_found[*number] = true;
    }
    while let Some(number) = open.pop() {
        for other in index.overlapping(&spans[number]) {
            if !is_found[other] && spans[other].is_same_workout(&spans[number]) {
                is_found[other] = true;
                open.push(other);
            }
        }
    }
    (0..spans.len()).filter(|number| is_found[*number]).collect()
}

#[cfg(test)]
mod tests;
