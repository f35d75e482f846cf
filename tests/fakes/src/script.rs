//! Answers that a test lays down beforehand, per addressee.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Queues of answers by addressee, and one for when a queue is empty.
#[derive(Debug)]
pub struct Script<A> {
    queues: Mutex<HashMap<String, VecDeque<A>>>,
    fallback: Mutex<A>,
}

impl<A: Clone> Script<A> {
    /// Without queues everything is answered with `fallback`.
    pub fn new(fallback: A) -> Self {
        Self { queues: Mutex::default(), fallback: Mutex::new(fallback) }
    }

    /// Adds answers for `addressee`, each used once, in order.
    pub fn extend(&self, addressee: &str, answers: impl IntoIterator<Item = A>) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.entry(addressee.to_owned()).or_default().extend(answers);
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
        names
            .iter()
            .find_map(|name| queues.get_mut(*name)?.pop_front())
            .unwrap_or_else(|| self.fallback.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
