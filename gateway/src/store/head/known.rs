//! The heads of an embedded database, remembered: nobody else moves them, so they
//! need not be read for each transaction. What is remembered is what was
//! committed. It may be forgotten at any time, for the rows tell it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_entity::stream_head::Model;
use tidegate_protocol::id::Epoch;

use crate::limits::HEADS_KNOWN;
use crate::store::head::Heads;

/// Heads by stream name.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Known(Arc<Mutex<HashMap<Box<str>, Head>>>);

/// A [`Model`] in 32 bytes: there is one for each user who was here.
#[derive(Clone, Debug)]
struct Head {
    epoch: Epoch,
    seq: i64,
    trimmed: i64,
    pending: i64,
}

impl Head {
    fn of(row: &Model) -> Option<Self> {
        let epoch = Epoch::parse(&row.epoch).ok()?;
        Some(Self { epoch, seq: row.seq, trimmed: row.trimmed, pending: row.pending })
    }

    fn row(&self, stream: &str) -> Model {
        Model {
            stream: stream.to_owned(),
            epoch: self.epoch.as_str().to_owned(),
            seq: self.seq,
            trimmed: self.trimmed,
            pending: self.pending,
        }
    }
}

impl Known {
    fn map(&self) -> MutexGuard<'_, HashMap<Box<str>, Head>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of these streams that are known, and the streams whose heads are
    /// not.
    pub(super) fn split(&self, streams: &[String]) -> (Heads, Vec<String>) {
        let (mut known, mut others) = (Heads::new(), Vec::new());
        let map = self.map();
        for stream in streams {
            match map.get(stream.as_str()) {
                Some(head) => drop(known.insert(stream.clone(), head.row(stream))),
                None => others.push(stream.clone()),
            }
        }
        (known, others)
    }

    /// Remembers heads. Where there is no room, remembering begins anew.
    pub(super) fn keep(&self, heads: Heads) {
        let mut map = self.map();
        if map.len() + heads.len() > HEADS_KNOWN {
            map.clear();
        }
        for (stream, row) in heads {
            match Head::of(&row) {
                Some(head) => drop(map.insert(stream.into_boxed_str(), head)),
                None => drop(map.remove(stream.as_str())),
            }
        }
    }

    fn forget<'a>(&self, streams: impl IntoIterator<Item = &'a str>) {
        let mut map = self.map();
        for stream in streams {
            map.remove(stream);
        }
    }
}

/// What one transaction makes of heads: remembered when it is committed.
#[derive(Debug)]
pub(in crate::store) struct Moving {
    known: Known,
    moved: Mutex<Heads>,
}

impl Moving {
    pub(in crate::store) fn new(known: &Known) -> Self {
        Self { known: known.clone(), moved: Mutex::default() }
    }

    pub(super) const fn known(&self) -> &Known {
        &self.known
    }

    /// These heads are where this transaction left them.
    pub(super) fn moved(&self, heads: &Heads) {
        self.lock().extend(heads.iter().map(|(stream, head)| (stream.clone(), head.clone())));
    }

    /// Something else of this head changes. Nobody reads it again before this
    /// transaction ends, for it is the only one that writes.
    pub(super) fn changes(&self, stream: &str) {
        self.known.forget([stream]);
        self.lock().remove(stream);
    }

    /// It is over: committed, or nobody knows.
    pub(in crate::store) fn ended(self, is_committed: bool) {
        let moved = self.moved.into_inner().unwrap_or_else(PoisonError::into_inner);
        if is_committed {
            self.known.keep(moved);
        } else {
            self.known.forget(moved.keys().map(String::as_str));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Heads> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(seq: i64, streams: impl IntoIterator<Item = usize>) -> Heads {
        let head = |number: usize| {
            let stream = format!("user:{number}");
            let epoch = "0a1b2c3d".to_owned();
            (stream.clone(), Model { stream, epoch, seq, trimmed: 0, pending: 0 })
        };
        streams.into_iter().map(head).collect()
    }

    fn seq(known: &Known, number: usize) -> Option<i64> {
        known.split(&[format!("user:{number}")]).0.into_values().next().map(|head| head.seq)
    }

    #[test]
    fn only_what_is_committed_is_remembered() {
        let known = Known::default();
        for (is_committed, found) in [(true, Some(1)), (false, None)] {
            let moving = Moving::new(&known);
            moving.moved(&heads(1, [1]));
            moving.ended(is_committed);
            assert_eq!(seq(&known, 1), found);
        }
        known.keep(heads(1, [1, 2]));
        // Rolled back: it was not ended.
        Moving::new(&known).moved(&heads(2, [1]));
        assert_eq!(seq(&known, 1), Some(1));
        let moving = Moving::new(&known);
        moving.moved(&heads(2, [1]));
        moving.changes("user:1");
        assert_eq!(seq(&known, 1), None);
        moving.ended(true);
        assert_eq!((seq(&known, 1), seq(&known, 2)), (None, Some(1)));
    }

    #[test]
    fn a_bounded_number_is_remembered() {
        let known = Known::default();
        for number in 0..=HEADS_KNOWN {
            known.keep(heads(1, [number]));
        }
        assert!(known.map().len() <= HEADS_KNOWN);
        assert_eq!(seq(&known, HEADS_KNOWN), Some(1));
    }
}
