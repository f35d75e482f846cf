//! Whether writing works, as the last writes showed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sea_orm::DbErr;
use tokio::sync::watch;

use crate::fault::Fault;

/// Whether writing works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// The last write committed, or none was tried yet.
    #[default]
    Writing,
    /// The last write failed on the database's own trouble. The next one that
    /// commits ends it.
    Failing(Fault),
    /// The database is damaged: nothing is written until somebody mended it and
    /// started the process again.
    Stopped,
}

/// Keeps what the last writes showed. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    health: Arc<watch::Sender<Health>>,
    started: Instant,
    /// Milliseconds from `started` to the last commit.
    committed_ms: Arc<AtomicU64>,
}

impl Record {
    #[expect(clippy::disallowed_methods, reason = "the real time since a commit")]
    pub(crate) fn new() -> Self {
        let health = Arc::new(watch::Sender::new(Health::default()));
        Self { health, started: Instant::now(), committed_ms: Arc::default() }
    }

    pub(crate) fn health(&self) -> Health {
        *self.health.borrow()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    pub(crate) fn since_commit(&self) -> Duration {
        let committed = Duration::from_millis(self.committed_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(committed)
    }

    pub(crate) fn committed(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.committed_ms.store(now, Ordering::Relaxed);
        self.turn(Health::Writing);
    }

    /// Notes an error of a write; those of one statement say nothing.
    pub(crate) fn failed(&self, error: &DbErr) {
        match Fault::of(error) {
            Fault::Corrupt => self.turn(Health::Stopped),
            fault if fault.is_of_database() => self.turn(Health::Failing(fault)),
            _ => {}
        }
    }

    /// Notes that no write could even begin.
    pub(crate) fn refused(&self, error: &DbErr) {
        match Fault::of(error) {
            Fault::Corrupt => self.turn(Health::Stopped),
            fault => self.turn(Health::Failing(fault)),
        }
    }

    /// Damage is for good.
    fn turn(&self, next: Health) {
        self.health.send_if_modified(|health| {
            let changes = *health != next && *health != Health::Stopped;
            if changes {
                *health = next;
            }
            changes
        });
    }
}
