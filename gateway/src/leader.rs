//! Leadership: what only one node of all does, elected by a lease in the
//! database.
//!
//! Owns how a lease is taken, kept and lost. Who wins has a [`Term`]: its fence
//! goes with every write, so that a node that was replaced changes nothing, and
//! its token ends the work. Knows nothing of what is led.

use std::time::Duration;

use sea_orm::DbErr;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::Store;
use crate::store::device::skewed;
use crate::store::lease::{self, Applicant, Fence, Taking};
use crate::store::write::{Transaction, WriteError};
use tidegate_clock::Clock;

/// A node that stands for election, again and again.
#[derive(Debug)]
pub struct Election {
    store: Store,
    clock: Clock,
    lease: &'static str,
    /// Its name, the same after a restart.
    candidate: String,
    /// How long a leader may be silent.
    ttl: Duration,
    /// Whether it takes back what stands under its name: at its start only.
    retakes: bool,
    watch: Watch,
    has_stood: bool,
}

/// The time that a node leads.
#[derive(Clone, Debug)]
pub struct Term {
    /// What every write must still hold.
    pub fence: Fence,
    /// Cancelled when the lease is lost or the node goes away.
    pub over: CancellationToken,
}

/// Why nothing was written in a term.
#[derive(Debug, thiserror::Error)]
pub enum TermError {
    /// Another node leads.
    #[error("another node took over")]
    Over,
    /// The database did not take it.
    #[error(transparent)]
    Store(#[from] WriteError),
}

impl Term {
    /// Waits, unless the term is over first; whether to go on.
    pub async fn wait(&self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.over.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }

    /// Writes on behalf of the leader; nothing when that is another node by now.
    /// This is how work keeps its checkpoints.
    ///
    /// # Errors
    /// When nothing, or nothing certain, was written.
    pub async fn write<T, F>(
        &self,
        store: &Store,
        work: impl Fn(Transaction) -> F,
    ) -> Result<T, TermError>
    where
        F: Future<Output = Result<T, DbErr>>,
    {
        let (fence, work) = (&self.fence, &work);
        let written = store.write_unless_refused(|tx| async move {
            if !lease::holds(&tx, fence).await? {
                return Ok(Err(TermError::Over));
            }
            work(tx).await.map(Ok)
        });
        written.await?
    }
}

/// The end of another node's lease that lies farther ahead than any can, and
/// since when it is seen. The clock of that node is wrong, or was: it holds the
/// lease as long as it moves the end.
#[derive(Debug, Default)]
struct Watch(Option<(i64, Instant)>);

impl Watch {
    /// The end, if it was not moved for as long as a lease lasts.
    fn unmoved(&self, ttl: Duration) -> Option<i64> {
        self.0.filter(|(_, since)| since.elapsed() >= ttl).map(|(end, _)| end)
    }

    fn see(&mut self, end: i64, longest: i64) {
        let is_same = self.0.is_some_and(|(known, _)| known == end);
        if !is_same {
            self.0 = (end > longest).then(|| (end, Instant::now()));
        }
    }
}

impl Election {
    /// For a lease that lasts `ttl` unless it is renewed.
    pub fn new(
        store: Store,
        clock: Clock,
        lease: &'static str,
        candidate: String,
        ttl: Duration,
    ) -> Self {
        let watch = Watch::default();
        Self { store, clock, lease, candidate, ttl, retakes: true, watch, has_stood: false }
    }

    /// Stands until it is elected; `None` when it was told to stop.
    pub async fn win(&mut self, stop: &CancellationToken) -> Option<Term> {
        loop {
            if std::mem::replace(&mut self.has_stood, true) {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return None,
                    () = tokio::time::sleep(self.pause()) => {}
                }
            }
            match self.stand().await {
                Ok(Some(fence)) => return Some(Term { fence, over: stop.child_token() }),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, lease = self.lease, "a lease cannot be taken");
                }
            }
        }
    }

    /// Keeps the lease while `work` goes on, which ends with the term; then gives
    /// it back.
    pub async fn hold(&self, term: &Term, work: impl Future<Output = ()>) {
        tokio::join!(self.keep(term), work);
        let (fence, store) = (&term.fence, &self.store);
        let release = store.write(|tx| async move { lease::release(&tx, fence).await });
        if let Err(error) = release.await {
            let lease = self.lease;
            tracing::warn!(%error, lease, "a lease was not given back; it runs out");
        }
    }

    /// How often the lease is renewed, or tried for.
    fn pause(&self) -> Duration {
        self.ttl / 3
    }

    fn until(&self, now: i64) -> i64 {
        now.saturating_add(i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX))
    }

    /// One try.
    async fn stand(&mut self) -> Result<Option<Fence>, WriteError> {
        let now = self.clock.now().millis();
        let (lease, until) = (self.lease, self.until(now));
        let unmoved = self.watch.unmoved(self.ttl);
        let applicant = Applicant { holder: &self.candidate, retakes: self.retakes, unmoved };
        let taken = self
            .store
            .write(|tx| async move { lease::take(&tx, lease, applicant, now, until).await });
        let taken = taken.await?;
        self.retakes = false;
        Ok(match taken {
            Taking::Taken(fence) => Some(fence),
            Taking::Held(end) => {
                self.watch.see(end, skewed(until));
                None
            }
        })
    }

    async fn renew(&self, fence: &Fence) -> Result<bool, WriteError> {
        let until = self.until(self.clock.now().millis());
        self.store.write(|tx| async move { lease::renew(&tx, fence, until).await }).await
    }

    /// Keeps the lease, and ends the term when it is lost. A lease that could not
    /// be renewed in time counts as lost.
    async fn keep(&self, term: &Term) {
        let lease = self.lease;
        let mut held_until = Instant::now() + self.ttl;
        while term.wait(self.pause()).await {
            let began = Instant::now();
            match tokio::time::timeout(self.pause(), self.renew(&term.fence)).await {
                Ok(Ok(true)) => held_until = began + self.ttl,
                Ok(Ok(false)) => {
                    tracing::warn!(lease, "another node took over");
                    break;
                }
                Ok(Err(error)) => tracing::warn!(%error, lease, "a lease was not renewed"),
                Err(_) => {
                    tracing::warn!(lease, "the database does not answer; a lease was not renewed");
                }
            }
            if Instant::now() + self.pause() >= held_until {
                break;
            }
        }
        term.over.cancel();
    }
}

#[cfg(test)]
mod tests;
