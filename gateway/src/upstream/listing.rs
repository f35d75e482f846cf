//! Requests to upstream, tried again while that makes sense.

use std::time::Duration;

use tidegate_services::atom::error::{AtomError, Retry};

use crate::retry::Schedule;
use crate::upstream::lead::Leader;

/// Longest `Retry-After` that a run waits for; beyond it the run fails, and
/// the next one is scheduled as ever.
const WAIT_MAX: Duration = Duration::from_mins(5);

/// Share by which waits differ, so that installations do not return together.
const JITTER: f64 = 0.25;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Upstream did not answer as it should.
    #[error("{place}: {error}")]
    Upstream {
        /// What was asked.
        place: String,
        /// What came.
        error: AtomError,
    },
    /// Upstream's answer is not whole.
    #[error("{0}")]
    NotWhole(String),
    /// The database or the writer failed.
    #[error("storing failed")]
    Store,
    /// The lease is lost or the node goes away: somebody else goes on.
    #[error("interrupted")]
    Over,
}

/// Asks until there is an answer, the schedule is used up, or asking again
/// makes no sense.
pub(super) async fn ask<T, F>(
    leader: &Leader,
    place: impl Fn() -> String,
    request: impl Fn() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, AtomError>>,
{
    let mut waits = leader.settings().backoff_ms.iter();
    loop {
        let error = tokio::select! {
            biased;
            () = leader.over.cancelled() => return Err(Failure::Over),
            answer = request() => match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            },
        };
        let floor = match error.retry {
            Retry::Backoff => Duration::ZERO,
            Retry::After(floor) if floor <= WAIT_MAX => floor,
            Retry::After(_) | Retry::Never => {
                return Err(Failure::Upstream { place: place(), error });
            }
        };
        let Some(wait_ms) = waits.next() else {
            return Err(Failure::Upstream { place: place(), error });
        };
        tracing::debug!(place = place(), %error, "upstream is asked again");
        if !leader.wait(jittered(*wait_ms).max(floor)).await {
            return Err(Failure::Over);
        }
    }
}

/// A wait, a little longer or shorter.
pub(super) fn jittered(wait_ms: u64) -> Duration {
    let base = Duration::from_millis(wait_ms);
    let schedule = Schedule { base, factor: 1.0, cap: base.mul_f64(1.0 + JITTER), jitter: JITTER };
    schedule.delays().next().unwrap_or(base)
}
