//! Which connections of a pool may still serve.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sea_orm::ConnectOptions;
use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::{Connection, Database, Postgres, Sqlite};

use crate::deadline::within;

/// Keeps connections from serving whose last transaction did not end cleanly.
///
/// A pool hands out no names of its connections, so all that were open at the
/// moment of the trouble are retired: the guilty one is among them, and opening
/// the others again costs a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard(Arc<Mutex<Marks>>);

#[derive(Debug, Default)]
struct Marks {
    /// Connections opened up to this moment do not serve any more.
    retired: Option<Instant>,
    /// When waiting for a statement was last given up.
    given_up: Option<Instant>,
}

/// Clock readings of one connection are taken one after the other; a connection
/// retired right after it was opened must not slip through between them.
const SLACK: Duration = Duration::from_millis(1);

/// Whoever gives up waiting for a statement lets go of its connection within
/// this time. It may hang: it is asked for a sign of life.
const SUSPECT: Duration = Duration::from_secs(1);

/// A connection that lay unused for longer is asked for a sign of life.
const IDLE: Duration = Duration::from_secs(10);

/// How long that sign may take: it is not worth more than a new connection.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

impl Guard {
    /// Retires all connections that are open now. Call it before the one at
    /// fault goes back to its pool.
    pub(crate) fn retire(&self) {
        self.marks().retired = Some(now());
    }

    /// Says that somebody gave up waiting for a statement, before its
    /// connection goes back to the pool.
    pub(crate) fn give_up(&self) {
        self.marks().given_up = Some(now());
    }

    fn is_retired(&self, age: Duration) -> bool {
        self.marks().retired.is_some_and(|at| at.elapsed() <= age + SLACK)
    }

    fn is_suspect(&self) -> bool {
        self.marks().given_up.is_some_and(|at| at.elapsed() <= SUSPECT)
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the guard over the pools that `options` describe.
    pub(crate) fn watch(&self, options: &mut ConnectOptions) {
        let (sqlite, postgres) = (self.clone(), self.clone());
        options.map_sqlx_sqlite_pool_opts(move |pool| sqlite.hooks::<Sqlite>(pool, false));
        options.map_sqlx_postgres_pool_opts(move |pool| postgres.hooks::<Postgres>(pool, true));
    }

    fn hooks<D: Database>(&self, pool: PoolOptions<D>, is_remote: bool) -> PoolOptions<D> {
        let (on_release, on_acquire) = (self.clone(), self.clone());
        pool.test_before_acquire(false)
            // At once, so that it keeps no lock and no place.
            .after_release(move |connection, about| {
                let serves = !on_release.is_retired(about.age);
                let is_suspect = is_remote && on_release.is_suspect();
                Box::pin(async move {
                    Ok(serves && (!is_suspect || gives_sign_of_life(connection).await))
                })
            })
            // Once more, when the rollback of a dropped transaction had its
            // chance: the next BEGIN must be an outermost one. Costs a look at
            // a number.
            .before_acquire(move |connection, about| {
                let serves = !connection.is_in_transaction() && !on_acquire.is_retired(about.age);
                let was_idle = is_remote && about.idle_for >= IDLE;
                Box::pin(async move {
                    Ok(serves && (!was_idle || gives_sign_of_life(connection).await))
                })
            })
    }
}

#[expect(clippy::disallowed_methods, reason = "compared with the pool's own clock readings")]
fn now() -> Instant {
    Instant::now()
}

async fn gives_sign_of_life<C: Connection>(connection: &mut C) -> bool {
    let answered = within(SIGN_OF_LIFE, pin!(connection.ping())).await;
    matches!(answered, Some(Ok(())))
}
