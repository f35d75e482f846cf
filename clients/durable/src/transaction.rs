//! A transaction that writes.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr,
    Statement,
};

use crate::deadline::{late, within};
use crate::fault::Fault;
use crate::guard::Guard;
use crate::health::Record;

/// A transaction that writes. Dropped without an end, it is rolled back; if that
/// does not end cleanly, its connection does not serve again.
///
/// After a statement that failed it takes no other one: some errors make SQLite
/// roll back by itself, and what followed would be written outside of any
/// transaction; PostgreSQL would answer its COMMIT with a rollback.
#[derive(Debug)]
pub struct WriteTransaction {
    inner: Option<DatabaseTransaction>,
    state: AtomicU8,
    /// Whether a statement changed a row: only then does its COMMIT reach the
    /// disk, and show that writing works.
    has_written: AtomicBool,
    guard: Guard,
    record: Record,
    deadline: Duration,
}

/// Statements go through.
const OPEN: u8 = 0;
/// A statement failed: it can only be rolled back.
const FAILED: u8 = 1;
/// A statement was not answered, or waiting for it was given up: nobody knows
/// in which state the connection is.
const LOST: u8 = 2;

impl WriteTransaction {
    pub(crate) const fn new(
        inner: DatabaseTransaction,
        guard: Guard,
        record: Record,
        deadline: Duration,
    ) -> Self {
        let (state, has_written) = (AtomicU8::new(OPEN), AtomicBool::new(false));
        Self { inner: Some(inner), state, has_written, guard, record, deadline }
    }

    /// Makes everything written durable.
    ///
    /// # Errors
    /// Whether it is written is then unknown, unless a statement had failed
    /// before: then nothing is.
    pub async fn commit(mut self) -> Result<(), DbErr> {
        if self.state.load(Ordering::Relaxed) != OPEN {
            let error = has_failed();
            self.rollback().await;
            return Err(error);
        }
        let Some(inner) = self.inner.take() else { return Err(has_failed()) };
        let mut commit = pin!(inner.commit());
        // Until it is known to have ended well, dropping it retires the
        // connection: also when nobody waits for the answer any more.
        let mut ending = Ending { guard: &self.guard, is_clean: false };
        let ended = within(self.deadline, commit.as_mut()).await;
        let ended = ended.unwrap_or_else(|| Err(late("COMMIT", self.deadline)));
        ending.is_clean = ended.is_ok();
        match &ended {
            Ok(()) if self.has_written.load(Ordering::Relaxed) => self.record.committed(),
            Ok(()) => {}
            Err(error) => self.record.failed(error),
        }
        ended
    }

    /// Undoes everything written. An error of it is no news: what is not
    /// committed is undone when the connection ends, and it ends here.
    pub async fn rollback(mut self) {
        if self.state.load(Ordering::Relaxed) == LOST {
            return;
        }
        let Some(inner) = self.inner.take() else { return };
        let mut rollback = pin!(inner.rollback());
        let mut ending = Ending { guard: &self.guard, is_clean: false };
        let ended = within(self.deadline, rollback.as_mut()).await;
        ending.is_clean = matches!(ended, Some(Ok(())));
    }

    fn note_written(&self, done: &ExecResult) {
        if done.rows_affected() > 0 {
            self.has_written.store(true, Ordering::Relaxed);
        }
    }

    async fn answer<'a, T, F>(
        &'a self,
        ask: impl FnOnce(&'a DatabaseTransaction) -> F,
    ) -> Result<T, DbErr>
    where
        F: Future<Output = Result<T, DbErr>>,
    {
        let open = self.inner.as_ref().filter(|_| self.state.load(Ordering::Relaxed) == OPEN);
        let inner = open.ok_or_else(has_failed)?;
        // Holds if waiting is given up half-way.
        self.state.store(LOST, Ordering::Relaxed);
        let answer = within(self.deadline, pin!(ask(inner))).await;
        match answer {
            Some(Ok(answer)) => {
                self.state.store(OPEN, Ordering::Relaxed);
                Ok(answer)
            }
            Some(Err(error)) => {
                self.state.store(FAILED, Ordering::Relaxed);
                if Fault::of(&error).is_of_connection() {
                    self.guard.retire();
                }
                self.record.failed(&error);
                Err(error)
            }
            None => {
                let error = late("a statement", self.deadline);
                self.record.failed(&error);
                Err(error)
            }
        }
    }
}

fn has_failed() -> DbErr {
    let text = "a statement of this transaction failed; it can only be rolled back".to_owned();
    DbErr::Exec(RuntimeErr::Internal(text))
}

/// Retires the connection unless the transaction ended well. Made after the
/// future that holds the connection, so that it is dropped first. Where that
/// future ended by itself with an error, the connection may be back already; it
/// is turned away when it is asked for the next time.
struct Ending<'a> {
    guard: &'a Guard,
    is_clean: bool,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.is_clean {
            self.guard.retire();
        }
    }
}

impl Drop for WriteTransaction {
    fn drop(&mut self) {
        // Runs before the field `inner` queues its rollback and gives the
        // connection back. A rollback that fails leaves the connection counting
        // a transaction, and with one it is not handed out.
        if self.inner.is_some() && *self.state.get_mut() == LOST {
            self.guard.retire();
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for WriteTransaction {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.as_ref().map_or(DbBackend::Sqlite, DatabaseTransaction::get_database_backend)
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let done = self.answer(|inner| inner.execute_raw(statement)).await;
        done.inspect(|done| self.note_written(done))
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let done = self.answer(|inner| inner.execute_unprepared(sql)).await;
        done.inspect(|done| self.note_written(done))
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.answer(|inner| inner.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.answer(|inner| inner.query_all_raw(statement)).await
    }
}
