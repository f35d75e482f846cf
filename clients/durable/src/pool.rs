//! The driver's pool, and another one where it has no connection left to give.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbBackend, DbErr};

/// A pool of the driver, or the one that took its place.
///
/// A connection that goes back to its pool is asked for a sign of life there,
/// without a deadline: where the network swallowed it, its place is lost until
/// the operating system gives the connection up, after a quarter of an hour. A
/// pool that could give none in time is left to that and replaced.
pub(crate) struct Pool {
    current: RwLock<Current>,
    /// How to open another one. `None` for SQLite: what hangs there is the disk,
    /// and a second pool would hang as well.
    options: Option<ConnectOptions>,
    /// Closed for good: nothing takes its place.
    is_closed: AtomicBool,
}

/// A pool, and how many there were before it.
#[derive(Clone)]
pub(crate) struct Current {
    pub(crate) pool: DatabaseConnection,
    number: u64,
}

impl Pool {
    pub(crate) async fn open(mut options: ConnectOptions) -> Result<Self, DbErr> {
        let pool = Database::connect(options.clone()).await?;
        let is_remote = pool.get_database_backend() != DbBackend::Sqlite;
        // The next one connects when it is asked.
        options.connect_lazy(true);
        let current = RwLock::new(Current { pool, number: 0 });
        let options = is_remote.then_some(options);
        Ok(Self { current, options, is_closed: AtomicBool::new(false) })
    }

    pub(crate) fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The pool to be closed, for good.
    pub(crate) fn last(&self) -> DatabaseConnection {
        self.is_closed.store(true, Ordering::Release);
        self.current().pool
    }

    /// Puts another pool in the place of the one that was asked, unless somebody
    /// did already.
    pub(crate) async fn renew(&self, asked: &Current) {
        let Some(options) = &self.options else { return };
        if self.is_closed.load(Ordering::Acquire) {
            return;
        }
        let Ok(pool) = Database::connect(options.clone()).await else { return };
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.number == asked.number {
            *current = Current { pool, number: asked.number + 1 };
        }
    }
}

/// The options hold the password.
impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pool").finish_non_exhaustive()
    }
}
