//! A pool of connections, and the door to writing.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult,
    RuntimeErr, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use tokio::sync::watch;

use crate::deadline::{late, within};
use crate::fault::{Fault, is_cut};
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
    /// Whether they refuse to write, so that a statement may be asked twice.
    is_for_reading: bool,
}

/// A statement on its way, as the driver boxes it.
type Asked<'c, T> = Pin<Box<dyn Future<Output = Result<T, DbErr>> + Send + 'c>>;

impl Connections {
    /// Opens a pool. Sets the acquire time-out and the pool's hooks of
    /// `options`; whatever they held there is replaced.
    pub async fn open(mut options: ConnectOptions, deadlines: Deadlines) -> Result<Self, DbErr> {
        let guard = Guard::default();
        guard.watch(&mut options);
        options.acquire_timeout(deadlines.acquire);
        let pool = Arc::new(Pool::open(options).await?);
        Ok(Self { pool, guard, record: Record::new(), deadlines, is_for_reading: false })
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

    /// Says that these connections refuse to write. Then a statement is asked once
    /// more if its connection turns out to be cut.
    #[must_use]
    pub fn for_reading(self) -> Self {
        Self { is_for_reading: true, ..self }
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
        let mut begun = self.begin_outermost().await;
        if begun.as_ref().is_err_and(is_cut) {
            // Nothing was written yet.
            self.guard.retire();
            begun = self.begin_outermost().await;
        }
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
        let closed = within(deadline, pin!(self.pool.last().close())).await;
        closed.unwrap_or_else(|| Err(late("close", deadline)))
    }

    /// Asks a statement. A server that ended or was restarted leaves connections
    /// behind that are dead and do not show it before they are asked: whoever
    /// finds one retires them all, and reads from a new one.
    async fn ask<T>(
        &self,
        statement: impl for<'c> Fn(&'c DatabaseConnection) -> Asked<'c, T> + Send,
    ) -> Result<T, DbErr> {
        let current = self.pool.current();
        let answer = self.answer(&current, "a statement", statement(&current.pool)).await;
        if !self.is_for_reading || !answer.as_ref().is_err_and(is_cut) {
            return answer;
        }
        self.guard.retire();
        let current = self.pool.current();
        self.answer(&current, "a statement", statement(&current.pool)).await
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
        self.ask(|pool| pool.execute_raw(statement.clone())).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let sql: Arc<str> = sql.into();
        self.ask(|pool| {
            let sql = Arc::clone(&sql);
            Box::pin(async move { pool.execute_unprepared(&sql).await })
        })
        .await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.ask(|pool| pool.query_one_raw(statement.clone())).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.ask(|pool| pool.query_all_raw(statement.clone())).await
    }
}
