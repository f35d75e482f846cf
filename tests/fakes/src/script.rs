//! Answers that a test lays down beforehand, per addressee: some that are used
//! once, and one that stands.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Queues of answers by addressee, and one for when a queue is empty.
#[derive(Debug)]
pub struct Script<A> {
    queues: Mutex<HashMap<String, VecDeque<A>>>,
    standing: Mutex<HashMap<String, A>>,
    fallback: Mutex<A>,
}

impl<A: Clone> Script<A> {
    /// Without queues everything is answered with `fallback`.
    pub fn new(fallback: A) -> Self {
        Self {
            queues: Mutex::default(),
            standing: Mutex::default(),
            fallback: Mutex::new(fallback),
        }
    }

    /// Adds answers for `addressee`, each used once, in order.
    pub fn extend(&self, addressee: &str, answers: impl IntoIterator<Item = A>) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.entry(addressee.to_owned()).or_default().extend(answers);
    }

    /// Answers `addressee` so whenever its queue is empty; `None`: with the
    /// fallback again.
    pub fn set_standing(&self, addressee: &str, answer: Option<A>) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Some(answer) => standing.insert(addressee.to_owned(), answer),
            None => standing.remove(addressee),
        };
    }

    /// Changes the answer for when a queue is empty.
    pub fn set_fallback(&self, answer: A) {
        *self.fallback.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// The next answer for `addressee`.
    pub fn next(&self, addressee: &str) -> A {
        self.next_of(&[addressee])
    }

    /// The next answer for one who goes by several names: from the first of
    /// them that has an answer left.
    pub fn next_of(&self, names: &[&str]) -> A {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        names
            .iter()
            .find_map(|name| queues.get_mut(*name)?.pop_front())
            .or_else(|| names.iter().find_map(|name| standing.get(*name).cloned()))
            .unwrap_or_else(|| self.fallback.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
