//! A pool of connections, and the door to writing.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{
    ConnectOptions, ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use tokio::sync::watch;

use crate::deadline::{late, within};
use crate::fault::Fault;
use crate::guard::Guard;
use crate::health::{Health, Record};
use crate::pool::{Current, Pool};
use crate::transaction::WriteTransaction;

/// How long a database may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// To give a connection: one that is free, or a new one.
    pub acquire: Duration,
    /// To answer a statement, BEGIN, COMMIT and ROLLBACK included.
    pub statement: Duration,
}

/// A pool of connections to a database. Clones share it.
///
/// As a [`ConnectionTrait`] it answers single statements, each within its
/// deadline. What must stand when this process dies is written in a transaction
/// of [`begin`](Self::begin).
#[derive(Clone, Debug)]
pub struct Connections {
    pool: Arc<Pool>,
    guard: Guard,
    record: Record,
    deadlines: Deadlines,
}

impl Connections {
    /// Opens a pool. Sets the acquire time-out and the pool's hooks of
    /// `options`; whatever they held there is replaced.
    pub async fn open(mut options: ConnectOptions, deadlines: Deadlines) -> Result<Self, DbErr> {
        let guard = Guard::default();
        guard.watch(&mut options);
        options.acquire_timeout(deadlines.acquire);
        let pool = Arc::new(Pool::open(options).await?);
        Ok(Self { pool, guard, record: Record::new(), deadlines })
    }

    /// Opens another pool of the same database. Damage that either of them
    /// finds stops the writing of both.
    pub async fn open_beside(
        &self,
        options: ConnectOptions,
        deadlines: Deadlines,
    ) -> Result<Self, DbErr> {
        let other = Self::open(options, deadlines).await?;
        Ok(Self { record: self.record.clone(), ..other })
    }

    /// Starts a transaction that is outermost, so that its COMMIT is the one
    /// that makes it durable. On SQLite it takes the write lock at once: a
    /// deferred transaction that reads first fails with "database is locked" as
    /// soon as another one commits.
    ///
    /// # Errors
    /// Those of the database; and always, once it was found damaged.
    pub async fn begin(&self) -> Result<WriteTransaction, DbErr> {
        if self.health() == Health::Stopped {
            let text = "the database is damaged; nothing is written any more".to_owned();
            return Err(DbErr::Conn(RuntimeErr::Internal(text)));
        }
        let begun = self.begin_outermost().await;
        let inner = begun.inspect_err(|error| self.record.refused(error))?;
        let (guard, record) = (self.guard.clone(), self.record.clone());
        Ok(WriteTransaction::new(inner, guard, record, self.deadlines.statement))
    }

    /// SQLite's driver itself refuses this BEGIN inside of another transaction,
    /// and the guard lets no connection through that counts one.
    async fn begin_outermost(&self) -> Result<sea_orm::DatabaseTransaction, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        // A free connection, or a new one, and then BEGIN.
        let current = self.pool.current();
        // Boxed: it is large, and every future that writes would hold it.
        let begin = Box::pin(current.pool.begin_with_options(options));
        self.answer(&current, "BEGIN", begin).await
    }

    /// Whether writing works, as the last writes showed.
    pub fn health(&self) -> Health {
        self.record.health()
    }

    /// Tells of each change of [`health`](Self::health).
    pub fn health_changes(&self) -> watch::Receiver<Health> {
        self.record.changes()
    }

    /// How long ago the last commit was; since the start if there was none.
    pub fn since_commit(&self) -> Duration {
        self.record.since_commit()
    }

    /// Closes all connections.
    pub async fn close(self) -> Result<(), DbErr> {
        let deadline = self.deadlines.statement;
        let closed = within(deadline, pin!(self.pool.current().pool.close())).await;
        closed.unwrap_or_else(|| Err(late("close", deadline)))
    }

    /// Asks a connection: one that is free, or a new one. If no answer comes, all
    /// connections are renewed, before the future that holds one drops it.
    async fn answer<T>(
        &self,
        asked: &Current,
        what: &str,
        statement: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        let deadline = self.deadlines.acquire + self.deadlines.statement;
        let mut statement = pin!(statement);
        let mut waiting = Waiting { guard: &self.guard, is_over: false };
        let answer = within(deadline, statement.as_mut()).await;
        waiting.is_over = true;
        let answer = answer.unwrap_or_else(|| {
            self.guard.retire();
            Err(late(what, deadline))
        });
        if let Err(error) = &answer {
            Box::pin(self.judge(error, asked)).await;
        }
        answer
    }

    async fn judge(&self, error: &DbErr, asked: &Current) {
        let fault = Fault::of(error);
        if fault.is_of_connection() {
            self.guard.retire();
        }
        if fault == Fault::Corrupt {
            self.record.failed(error);
        }
        if matches!(error, DbErr::ConnectionAcquire(_)) {
            self.pool.renew(asked).await;
        }
    }
}

/// Says so if waiting is given up. Made after the future that holds the
/// connection, so that it is dropped first.
struct Waiting<'a> {
    guard: &'a Guard,
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.guard.give_up();
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Connections {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.current().pool.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let current = self.pool.current();
        self.answer(&current, "a statement", current.pool.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let current = self.pool.current();
        self.answer(&current, "a statement", current.pool.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let current = self.pool.current();
        self.answer(&current, "a statement", current.pool.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let current = self.pool.current();
        self.answer(&current, "a statement", current.pool.query_all_raw(statement)).await
    }
}
