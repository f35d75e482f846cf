//! Skills that were read after their time was over: asked for by themselves,
//! before the next poll.
//!
//! Never deletes: a skill's time is over because polls fail, and an upstream
//! that is not well answers 404 for what it has. Only a sweep, which has read
//! the whole listing, knows what is gone. But it says what came: a skill that
//! upstream denies, or that cannot be read, is marked.

use tidegate_services::atom::error::ErrorKind;
use tokio::sync::mpsc;

use crate::ingest::market::Fault;
use crate::store::market::SKILL;
use crate::upstream::lead::Leader;
use crate::upstream::{Upstream, facts};

impl Upstream {
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

/// Refreshes what was asked for, one after the other. One try each: the poll
/// comes anyway.
pub(super) async fn refresh(leader: &Leader, refreshes: &mut mpsc::Receiver<String>) {
    loop {
        let id = tokio::select! {
            biased;
            () = leader.over.cancelled() => return,
            id = refreshes.recv() => id,
        };
        let Some(id) = id else { return };
        tokio::select! {
            biased;
            () = leader.over.cancelled() => return,
            () = one(leader, &id) => {}
        }
        leader.hints.refreshing.remove(&id);
    }
}

async fn one(leader: &Leader, id: &str) {
    if !leader.patience_left().is_zero() {
        return;
    }
    let as_of = leader.state.clock.now();
    let answer = leader.atom.skill(id).await;
    if let Err(error) = &answer {
        leader.heed(error.retry).await;
    }
    let fact = match answer {
        Ok(answer) => facts::single(id, answer.as_deref(), as_of).unwrap_or_else(|| {
            tracing::warn!("the marketplace denies a skill that was to be refreshed");
            facts::faulty(SKILL, id.to_owned(), as_of, Fault::NotFound)
        }),
        Err(error) if error.kind == ErrorKind::TooLarge => {
            facts::faulty(SKILL, id.to_owned(), as_of, Fault::TooLarge)
        }
        Err(error) => {
            tracing::debug!(%error, "a skill could not be refreshed");
            return;
        }
    };
    if facts::observe(leader, vec![fact], None, None).await.is_err() {
        tracing::debug!("a refreshed skill was not stored");
    }
}
