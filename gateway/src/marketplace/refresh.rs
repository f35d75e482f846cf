//! Skills that were read after their time was over: asked for by themselves,
//! before the next poll.
//!
//! Never deletes: a skill's time is over because polls fail, and an upstream
//! that is not well answers 404 for what it has. Only a sweep, which has read
//! the whole listing, knows what is gone. But it says what came: a skill that
//! upstream denies, or that cannot be read, is marked.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::ingest::market::{Fault, Said};
use crate::marketplace::lead::Leader;
use crate::marketplace::{MarketplaceHandle, facts};
use tidegate_entity::market_item::Kind;

impl MarketplaceHandle {
    /// Asks for a skill whose time is over; forgotten when it, or many, wait.
    pub fn refresh(&self, id: &str) {
        self.hint(|hints| {
            if hints.refreshing.insert(id.to_owned())
                && hints.refreshes.try_send(id.to_owned()).is_err()
            {
                hints.refreshing.remove(id);
            }
        });
    }
}

/// How long a skill is not asked for again after an answer that did not refresh
/// it: it stays stale, so that every read of it asks.
const IN_VAIN: Duration = Duration::from_mins(1);

/// Skills of which that is remembered.
const IN_VAIN_MAX: usize = 1_000;

/// Skills that were asked for in vain, and when.
#[derive(Debug, Default)]
struct InVain(HashMap<String, Instant>);

impl InVain {
    fn note(&mut self, id: String) {
        if self.0.len() >= IN_VAIN_MAX {
            self.0.retain(|_, at| at.elapsed() < IN_VAIN);
        }
        if self.0.len() < IN_VAIN_MAX {
            self.0.insert(id, Instant::now());
        }
    }

    fn holds(&mut self, id: &str) -> bool {
        let is_held = self.0.get(id).is_some_and(|at| at.elapsed() < IN_VAIN);
        if !is_held {
            self.0.remove(id);
        }
        is_held
    }
}

/// Refreshes what was asked for, one after the other. One try each: the poll
/// comes anyway.
pub(super) async fn refresh(leader: &Leader, refreshes: &mut mpsc::Receiver<String>) {
    let mut in_vain = InVain::default();
    loop {
        let id = tokio::select! {
            biased;
            () = leader.term.over.cancelled() => return,
            id = refreshes.recv() => id,
        };
        let Some(id) = id else { return };
        if leader.patience_left().is_zero() && !in_vain.holds(&id) {
            let is_fresh = tokio::select! {
                biased;
                () = leader.term.over.cancelled() => return,
                is_fresh = one(leader, &id) => is_fresh,
            };
            if !is_fresh {
                in_vain.note(id.clone());
            }
        }
        leader.hints.refreshing.remove(&id);
    }
}

/// Asks for a skill; whether it is fresh now.
async fn one(leader: &Leader, id: &str) -> bool {
    let as_of = leader.market.clock.now();
    let answer = leader.atom.skill(id).await;
    if let Err(error) = &answer {
        leader.heed(error.retry).await;
    }
    let fact = match facts::single(id, answer, as_of) {
        Ok(fact) => fact.unwrap_or_else(|| {
            tracing::warn!("the marketplace denies a skill that was to be refreshed");
            facts::faulty(Kind::Skill, id.to_owned(), as_of, Fault::NotFound)
        }),
        Err(error) => {
            tracing::debug!(%error, "a skill could not be refreshed");
            return false;
        }
    };
    let is_whole = !matches!(fact.said, Said::Faulty(_));
    let stored = facts::observe(leader, vec![fact], None, None).await;
    if stored.is_err() {
        tracing::debug!("a refreshed skill was not stored");
    }
    is_whole && stored.is_ok()
}
