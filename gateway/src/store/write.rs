//! The one door for writes: a transaction that is run again where others broke
//! it.
//!
//! Owns when a write is tried again and what its failure means. What is written
//! may be run several times: it has no effect outside of its transaction.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryFutureExt as _;
use rand::Rng as _;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement};
use tidegate_durable::{Fault, WriteTransaction};

use crate::error::ApiError;
use crate::limits::{WRITE_ATTEMPTS, WRITE_RETRY_PAUSE_MAX};
use crate::store::Store;
use crate::store::head::Moving;
use crate::store::order::{Locked, Place};

/// Why nothing, or nothing certain, was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A statement failed, or the database could not be reached: nothing is
    /// written.
    #[error("{0}")]
    RolledBack(DbErr),
    /// Other transactions broke it, at each attempt: nothing is written.
    #[error("others were faster: {0}")]
    Overtaken(DbErr),
    /// The COMMIT failed: it may be written. Whoever goes on has to look.
    #[error("the outcome of the write is not known: {0}")]
    Unknown(DbErr),
}

impl From<WriteError> for DbErr {
    /// For callers that do the same after each failure: try again later.
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::RolledBack(error)
            | WriteError::Overtaken(error)
            | WriteError::Unknown(error) => error,
        }
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::RolledBack(error) => Self::internal(&error),
            WriteError::Overtaken(_) => Self::unavailable("another node was faster; try again"),
            WriteError::Unknown(_) => {
                Self::unavailable("the outcome of the write is not known; try again")
            }
        }
    }
}

/// The attempts of one write.
#[derive(Debug)]
pub struct Attempts {
    left: u32,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { left: WRITE_ATTEMPTS - 1 }
    }
}

impl Attempts {
    /// Whether to run the transaction again that failed with `error`; waits
    /// before that for a time of random length, so that those that broke each
    /// other do not meet again.
    pub async fn again(&mut self, error: &DbErr) -> bool {
        if !is_broken_by_others(error) || self.left == 0 {
            return false;
        }
        self.left -= 1;
        let longest_ms = u64::try_from(WRITE_RETRY_PAUSE_MAX.as_millis()).unwrap_or(u64::MAX);
        let pause_ms = rand::rng().random_range(1..=longest_ms);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        true
    }
}

/// Whether locks of others broke the transaction, so that the same one may go
/// through at once: a unique key that its twin just took counts too.
fn is_broken_by_others(error: &DbErr) -> bool {
    matches!(Fault::of(error), Fault::Contended | Fault::Taken)
}

impl Store {
    /// Runs `work` in a transaction and commits it; rolls back where it fails.
    /// Runs all of it again where other transactions broke it.
    pub async fn write<T, F>(&self, work: impl Fn(Transaction) -> F) -> Result<T, WriteError>
    where
        F: Future<Output = Result<T, DbErr>>,
    {
        let work = |tx| work(tx).map_ok(Ok::<T, Infallible>);
        match self.write_unless_refused(work).await? {
            Ok(done) => Ok(done),
        }
    }

    /// As [`write`](Self::write), for work that may find out that it is not to
    /// be done: then nothing is written, and what it says is given back.
    pub async fn write_unless_refused<T, R, F>(
        &self,
        work: impl Fn(Transaction) -> F,
    ) -> Result<Result<T, R>, WriteError>
    where
        F: Future<Output = Result<Result<T, R>, DbErr>>,
    {
        let mut attempts = Attempts::default();
        loop {
            let tx = self.begin_write().await.map_err(WriteError::RolledBack)?;
            let error = match work(tx.clone()).await {
                Ok(Ok(done)) => {
                    return tx.commit().await.map(|()| Ok(done)).map_err(WriteError::Unknown);
                }
                Ok(Err(refused)) => {
                    tx.rollback().await;
                    return Ok(Err(refused));
                }
                Err(error) => error,
            };
            tx.rollback().await;
            if !attempts.again(&error).await {
                return Err(self.gave_up(error));
            }
        }
    }

    fn gave_up(&self, error: DbErr) -> WriteError {
        // Of an embedded database this process is the only writer: a key that is
        // taken was taken by itself.
        let is_by_others = match Fault::of(&error) {
            Fault::Taken => !self.is_embedded(),
            _ => is_broken_by_others(&error),
        };
        if is_by_others { WriteError::Overtaken(error) } else { WriteError::RolledBack(error) }
    }

    /// Starts a write whose end is the caller's. For the writer's loop, which
    /// answers many callers with one commit; others use [`write`](Self::write).
    pub async fn begin_write(&self) -> Result<Transaction, DbErr> {
        let inner = self.writer.begin().await?;
        let heads = self.heads.as_ref().map(Moving::new);
        Ok(Transaction(Arc::new(Open { inner, locked: Locked::default(), heads })))
    }
}

/// A transaction that writes: [`WriteTransaction`], which knows what it has
/// locked. Clones are the same one; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct Transaction(Arc<Open>);

#[derive(Debug)]
struct Open {
    inner: WriteTransaction,
    locked: Locked,
    /// Of an embedded database.
    heads: Option<Moving>,
}

impl Transaction {
    /// Whether the database is part of this process, so that nobody else writes.
    pub fn is_embedded(&self) -> bool {
        self.get_database_backend() == DbBackend::Sqlite
    }

    /// The heads that are remembered, and what this transaction makes of them.
    pub(in crate::store) fn heads(&self) -> Option<&Moving> {
        self.0.heads.as_ref()
    }

    /// Notes that rows of a table are locked now.
    pub(crate) fn locks(&self, table: Place) {
        self.0.locked.note(table);
    }

    /// See [`WriteTransaction::commit`].
    ///
    /// # Errors
    /// Then nobody knows whether it is written.
    pub async fn commit(self) -> Result<(), DbErr> {
        let Some(open) = Arc::into_inner(self.0) else {
            // Whoever else has it may write until it is dropped.
            return Err(DbErr::Custom("a transaction is committed while it is used".to_owned()));
        };
        let committed = open.inner.commit().await;
        if let Some(heads) = open.heads {
            heads.ended(committed.is_ok());
        }
        committed
    }

    /// See [`WriteTransaction::rollback`].
    pub async fn rollback(self) {
        if let Some(open) = Arc::into_inner(self.0) {
            open.inner.rollback().await;
        }
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, DbErr>> + Send + 'a>>;

/// Written out, because the macro would box each answer once more.
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.0.inner.get_database_backend()
    }

    fn execute_raw<'life0, 'answer>(
        &'life0 self,
        statement: Statement,
    ) -> Answer<'answer, ExecResult>
    where
        'life0: 'answer,
        Self: 'answer,
    {
        self.0.locked.note_statement(&statement.sql);
        self.0.inner.execute_raw(statement)
    }

    fn execute_unprepared<'life0, 'life1, 'answer>(
        &'life0 self,
        sql: &'life1 str,
    ) -> Answer<'answer, ExecResult>
    where
        'life0: 'answer,
        'life1: 'answer,
        Self: 'answer,
    {
        self.0.locked.note_statement(sql);
        self.0.inner.execute_unprepared(sql)
    }

    fn query_one_raw<'life0, 'answer>(
        &'life0 self,
        statement: Statement,
    ) -> Answer<'answer, Option<QueryResult>>
    where
        'life0: 'answer,
        Self: 'answer,
    {
        self.0.locked.note_statement(&statement.sql);
        self.0.inner.query_one_raw(statement)
    }

    fn query_all_raw<'life0, 'answer>(
        &'life0 self,
        statement: Statement,
    ) -> Answer<'answer, Vec<QueryResult>>
    where
        'life0: 'answer,
        Self: 'answer,
    {
        self.0.locked.note_statement(&statement.sql);
        self.0.inner.query_all_raw(statement)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tempfile::TempDir;

    use super::*;
    use crate::store::schema::migrate;
    use crate::store::{StoreOptions, lease};

    const LONG: Duration = Duration::from_secs(10);

    async fn store() -> (Store, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            url: format!("sqlite://{}?mode=rwc", folder.path().join("file.db").display()),
            connections: 1,
            synchronous_full: false,
            acquire_timeout: LONG,
            statement_timeout: LONG,
            lock_timeout: LONG,
            check_limit: LONG,
        };
        let store = Store::open(&options).await.unwrap();
        migrate(&store).await.unwrap();
        (store, folder)
    }

    async fn make(tx: &Transaction, name: &str) -> Result<(), DbErr> {
        let sql = format!("INSERT INTO lease VALUES ('{name}', 'node', 1, {})", i64::MAX);
        tx.execute_unprepared(&sql).await.map(drop)
    }

    async fn is_there(store: &Store, name: &str) -> bool {
        lease::holder(store.readers(), name, 0, i64::MAX).await.unwrap().is_some()
    }

    /// What the attempts before wrote is undone.
    #[tokio::test]
    async fn what_others_broke_is_run_again_from_the_beginning() {
        let (store, _folder) = store().await;
        let runs = &AtomicU32::new(0);
        let written = store.write(|tx| async move {
            let run = runs.fetch_add(1, Ordering::Relaxed);
            make(&tx, &format!("run {run}")).await?;
            if run < 2 {
                make(&tx, &format!("run {run}")).await?;
            }
            Ok(run)
        });
        assert_eq!(written.await.unwrap(), 2);
        assert!(!is_there(&store, "run 1").await && is_there(&store, "run 2").await);
    }

    #[tokio::test]
    async fn it_is_not_run_for_ever_and_nothing_stays() {
        let (store, _folder) = store().await;
        let runs = &AtomicU32::new(0);
        let written = store.write(|tx| async move {
            runs.fetch_add(1, Ordering::Relaxed);
            make(&tx, "twice").await?;
            make(&tx, "twice").await
        });
        // Nobody else writes to this database: the key was its own.
        assert!(matches!(written.await, Err(WriteError::RolledBack(_))));
        assert_eq!(runs.load(Ordering::Relaxed), WRITE_ATTEMPTS);
        assert!(!is_there(&store, "twice").await);
    }

    #[tokio::test]
    async fn a_statement_at_fault_is_not_run_again() {
        let (store, _folder) = store().await;
        let runs = &AtomicU32::new(0);
        let written = store.write(|tx| async move {
            runs.fetch_add(1, Ordering::Relaxed);
            tx.execute_unprepared("INSERT INTO lease VALUES (1)").await.map(drop)
        });
        assert!(matches!(written.await, Err(WriteError::RolledBack(_))));
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn what_is_refused_leaves_nothing() {
        let (store, _folder) = store().await;
        let refused = store.write_unless_refused(|tx| async move {
            make(&tx, "refused").await?;
            Ok(Err::<(), _>("not today"))
        });
        assert_eq!(refused.await.unwrap(), Err("not today"));
        assert!(!is_there(&store, "refused").await);
    }

    /// Rows written through a handle that is kept would stand without a commit.
    #[tokio::test]
    async fn a_handle_that_is_kept_commits_nothing() {
        let (store, _folder) = store().await;
        let kept = &std::sync::Mutex::new(None);
        let written = store.write(|tx| async move {
            make(&tx, "kept").await?;
            *kept.lock().unwrap() = Some(tx);
            Ok(())
        });
        written.await.unwrap_err();
        let kept = kept.lock().unwrap().take().unwrap();
        kept.rollback().await;
        assert!(!is_there(&store, "kept").await);
    }
}
