//! Waiting for a database no longer than agreed.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::sqlx::Error as SqlxError;
use sea_orm::{DbErr, RuntimeErr};

/// Waits for an answer. `None`: it did not come within `deadline`. The caller
/// keeps what it waited for, and says with it what became of the connection
/// before it drops it.
///
/// The database is another process or a disk, and keeps real time: where a test
/// moves tokio's clock by a minute, a statement under way has not been late.
#[expect(clippy::disallowed_methods, reason = "the real time that a database took")]
pub(crate) async fn within<T>(
    deadline: Duration,
    mut answer: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    let started = Instant::now();
    let mut left = deadline;
    loop {
        if let Ok(answer) = tokio::time::timeout(left, answer.as_mut()).await {
            return Some(answer);
        }
        left = deadline.saturating_sub(started.elapsed());
        if left.is_zero() {
            return None;
        }
    }
}

/// The error of a statement that was not answered in time.
pub(crate) fn late(what: &str, deadline: Duration) -> DbErr {
    let text = format!("the database did not answer {what} within {} ms", deadline.as_millis());
    let late = std::io::Error::new(std::io::ErrorKind::TimedOut, text);
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(SqlxError::Io(late))))
}
