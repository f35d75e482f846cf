//! Skills that were read after their time was over: asked for by themselves,
//! before the next poll.

use tokio::sync::mpsc;

use crate::ingest::market::Observed;
use crate::store::market::SKILL;
use crate::upstream::lead::Leader;
use crate::upstream::{Upstream, facts};

impl Upstream {
    /// Asks for a skill whose time is over; forgotten when many wait.
    pub fn refresh(&self, id: &str) {
        self.hint(|hints| {
            let _ = hints.refreshes.try_send(id.to_owned());
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
        let as_of = leader.state.clock.now();
        let fact = match leader.atom.skill(&id).await {
            Ok(None) => facts::gone(SKILL, id, as_of, None),
            Ok(Some(raw)) => match facts::skill(&raw, as_of, false) {
                Ok(fact) if fact.key.1 == id => fact,
                _ => continue,
            },
            Err(error) => {
                tracing::debug!(%error, "a skill could not be refreshed");
                continue;
            }
        };
        let fence = leader.fence.clone();
        let observed = Observed { fence, facts: vec![fact], checkpoint: None, message_at: None };
        if facts::submit(leader, observed).await.is_err() {
            tracing::debug!("a refreshed skill was not stored");
        }
    }
}
