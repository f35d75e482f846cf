//! Sockets that have not said hello: how many may wait, and who makes room.
//!
//! Nobody is turned away at the door, or a thousand sockets that say nothing
//! would lock every device out. The one that has been silent for longest makes
//! room instead: a client that means it says hello within a round trip, so what
//! is old means nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_protocol::id::UserId;
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::hub::peer::Origin;

/// Who a silent socket counts for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Waiter {
    /// A user, by a good token in the upgrade's header. Not among the unknown.
    Known(UserId),
    /// Whoever is there.
    Unknown(Origin),
}

/// How many may be silent at once.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// Unknown ones in all.
    pub unknown: usize,
    /// Unknown ones of one origin.
    pub of_origin: usize,
    /// Those of one user.
    pub of_user: usize,
}

impl From<&Limits> for Shares {
    fn from(limits: &Limits) -> Self {
        Self {
            unknown: limits.sockets_before_hello,
            of_origin: limits.sockets_before_hello_per_address,
            of_user: limits.connections_per_user,
        }
    }
}

/// The sockets that have not said hello.
#[derive(Debug)]
pub struct Silent {
    shares: Shares,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    entered: u64,
    by_waiter: HashMap<Waiter, BTreeMap<u64, CancellationToken>>,
    /// The unknown ones, by when they came.
    unknown: BTreeMap<u64, Waiter>,
}

impl Silent {
    /// Nobody waits yet.
    pub fn new(shares: Shares) -> Arc<Self> {
        Arc::new(Self { shares, waiting: Mutex::default() })
    }

    /// Takes a place, for which the oldest silent one may have to go: of the
    /// same waiter where that has its share, else of all unknown ones.
    pub fn enter(self: &Arc<Self>, waiter: Waiter) -> Place {
        let mut waiting = self.lock();
        let share = match &waiter {
            Waiter::Known(_) => self.shares.of_user,
            // It speaks for many, and so may have all there is.
            Waiter::Unknown(Origin::Many) => self.shares.unknown,
            Waiter::Unknown(_) => self.shares.of_origin.min(self.shares.unknown),
        };
        let own = waiting.by_waiter.get(&waiter);
        let oldest = own.filter(|own| own.len() >= share).and_then(BTreeMap::first_key_value);
        if let Some((number, _)) = oldest {
            let number = *number;
            waiting.remove(&waiter, number);
        }
        let is_unknown = matches!(waiter, Waiter::Unknown(_));
        if is_unknown && waiting.unknown.len() >= self.shares.unknown {
            let oldest = waiting.unknown.first_key_value();
            if let Some((number, waiter)) = oldest.map(|(number, waiter)| (*number, waiter.clone()))
            {
                waiting.remove(&waiter, number);
            }
        }
        waiting.entered += 1;
        let number = waiting.entered;
        let told = CancellationToken::new();
        waiting.by_waiter.entry(waiter.clone()).or_default().insert(number, told.clone());
        if is_unknown {
            waiting.unknown.insert(number, waiter.clone());
        }
        Place { silent: Arc::clone(self), waiter, number, told }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().by_waiter.values().map(BTreeMap::len).sum()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Takes one out and tells it; nothing where it has gone already.
    fn remove(&mut self, waiter: &Waiter, number: u64) {
        self.unknown.remove(&number);
        let Some(own) = self.by_waiter.get_mut(waiter) else { return };
        if let Some(told) = own.remove(&number) {
            told.cancel();
        }
        // Waiters that have gone must not fill the map.
        if own.is_empty() {
            self.by_waiter.remove(waiter);
        }
    }
}

/// A place among the silent, until dropped or until another needs it.
#[derive(Debug)]
pub struct Place {
    silent: Arc<Silent>,
    waiter: Waiter,
    number: u64,
    told: CancellationToken,
}

impl Place {
    /// Waits until another needs this place.
    pub async fn needed(&self) {
        self.told.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.silent.lock().remove(&self.waiter, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent(unknown: usize, of_origin: usize) -> Arc<Silent> {
        Silent::new(Shares { unknown, of_origin, of_user: 2 })
    }

    fn at(address: &str) -> Waiter {
        Waiter::Unknown(Origin::of(address.parse().unwrap()))
    }

    fn must_go(place: &Place) -> bool {
        place.told.is_cancelled()
    }

    #[test]
    fn the_oldest_of_an_address_makes_room_for_its_next() {
        let silent = silent(10, 2);
        let other = silent.enter(at("192.0.2.9"));
        let [first, second, third] = [1, 2, 3].map(|_| silent.enter(at("192.0.2.1")));
        assert!(must_go(&first) && !must_go(&second) && !must_go(&third) && !must_go(&other));
        assert_eq!(silent.len(), 3);
        drop((first, second, third, other));
        assert!(silent.is_empty() && silent.lock().by_waiter.is_empty());
    }

    #[test]
    fn the_oldest_of_all_makes_room_when_all_places_are_taken() {
        let silent = silent(2, 2);
        let [first, second, third] =
            ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|address| silent.enter(at(address)));
        assert!(must_go(&first) && !must_go(&second) && !must_go(&third));
        drop(second);
        let _fourth = silent.enter(at("192.0.2.4"));
        assert!(!must_go(&third), "a place was free");
    }

    #[test]
    fn what_cannot_be_told_apart_shares_and_what_speaks_for_many_does_not() {
        let silent = silent(4, 1);
        let unreadable = [1, 2].map(|_| silent.enter(Waiter::Unknown(Origin::Unreadable)));
        assert!(must_go(&unreadable[0]) && !must_go(&unreadable[1]));
        let many = [1, 2, 3].map(|_| silent.enter(Waiter::Unknown(Origin::Many)));
        assert!(many.iter().all(|place| !must_go(place)));
    }

    #[test]
    fn known_users_are_not_among_the_unknown() {
        let silent = silent(1, 1);
        let user = || Waiter::Known(UserId::parse("u1").unwrap());
        let known = [1, 2].map(|_| silent.enter(user()));
        let unknown = silent.enter(at("192.0.2.1"));
        let third = silent.enter(user());
        assert!(!must_go(&unknown) && !must_go(&known[1]) && !must_go(&third));
        assert!(must_go(&known[0]), "a user has a share, too");
    }
}
