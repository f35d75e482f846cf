//! Memory that callers may make the gateway hold, counted in bytes: in all, and
//! for each of them.
//!
//! Never waits: who finds no room is refused.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many bytes, shared by all callers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget<K>(Arc<Inner<K>>);

#[derive(Debug)]
struct Inner<K> {
    most: usize,
    held: Mutex<Held<K>>,
}

#[derive(Debug)]
struct Held<K> {
    total: usize,
    by_caller: HashMap<K, usize>,
}

/// What there was no room in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// What all callers may hold together.
    Total,
    /// What this caller may hold.
    Caller,
}

impl<K: Clone + Eq + Hash> Budget<K> {
    /// A budget of so many bytes.
    pub fn new(most: usize) -> Self {
        let held = Mutex::new(Held { total: 0, by_caller: HashMap::new() });
        Self(Arc::new(Inner { most, held }))
    }

    /// A share that holds nothing yet, of a caller that may hold `most` bytes.
    pub fn share(&self, caller: K, most: usize) -> Share<K> {
        Share { budget: self.clone(), caller, most, bytes: 0 }
    }

    /// Bytes held in all.
    pub fn held(&self) -> usize {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Held<K>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that a caller holds until this is dropped.
#[derive(Debug)]
pub struct Share<K: Clone + Eq + Hash> {
    budget: Budget<K>,
    caller: K,
    most: usize,
    bytes: usize,
}

impl<K: Clone + Eq + Hash> Share<K> {
    /// Bytes that it holds.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds bytes. A caller's only share always has room among its own, and the
    /// only one of all in the whole: a bound that is set below the largest
    /// single thing must not refuse it for ever.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let mut held = self.budget.lock();
        let others = held.total - self.bytes;
        if others > 0 && held.total.saturating_add(bytes) > self.budget.0.most {
            return Err(Full::Total);
        }
        let of_caller = held.by_caller.get(&self.caller).copied().unwrap_or_default();
        if of_caller > self.bytes && of_caller.saturating_add(bytes) > self.most {
            return Err(Full::Caller);
        }
        held.total += bytes;
        *held.by_caller.entry(self.caller.clone()).or_default() += bytes;
        self.bytes += bytes;
        Ok(())
    }
}

impl<K: Clone + Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = self.budget.lock();
        held.total -= self.bytes;
        if let Some(of_caller) = held.by_caller.get_mut(&self.caller) {
            *of_caller -= self.bytes;
            // Callers that have gone must not fill the map.
            if *of_caller == 0 {
                held.by_caller.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold_and_are_given_back() {
        let budget = Budget::new(100);
        let (mut one, mut other) = (budget.share("a", 60), budget.share("a", 60));
        assert_eq!(one.grow(40), Ok(()));
        assert_eq!(other.grow(20), Ok(()));
        assert_eq!(other.grow(1), Err(Full::Caller));
        let mut stranger = budget.share("b", 60);
        assert_eq!(stranger.grow(41), Err(Full::Total));
        assert_eq!(stranger.grow(40), Ok(()));
        drop((one, other));
        assert_eq!(budget.held(), 40);
        assert_eq!(stranger.grow(20), Ok(()));
        drop(stranger);
        assert_eq!(budget.held(), 0);
        assert!(budget.lock().by_caller.is_empty());
    }

    #[test]
    fn a_single_thing_larger_than_a_bound_has_room_alone() {
        let budget = Budget::new(10);
        let mut large = budget.share("a", 5);
        assert_eq!(large.grow(6), Ok(()));
        assert_eq!(large.grow(6), Ok(()));
        assert_eq!(budget.share("a", 5).grow(1), Err(Full::Total));
        assert_eq!(budget.share("b", 5).grow(1), Err(Full::Total));
    }
}
