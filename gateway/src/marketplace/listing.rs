//! Requests to upstream, tried again while that makes sense.

use tidegate_services::atom::error::{AtomError, ErrorKind, Retry};

use crate::config::marketplace::Marketplace;
use crate::marketplace::lead::Leader;
use crate::retry::{Jitter, Waits};

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
    /// Upstream asked for patience for so many more seconds.
    #[error("the marketplace asks to be left alone for {0} s")]
    Patience(u64),
    /// The database or the writer failed.
    #[error("storing failed")]
    Store,
    /// The writer had no room, or the database no time, for as long as is waited
    /// for it.
    #[error("storing took too long")]
    Late,
    /// The lease is lost or the node goes away: somebody else goes on.
    #[error("interrupted")]
    Over,
}

impl Failure {
    /// Whether it is the fault of one answer: the ones beside it may be whole.
    pub(super) const fn is_of_one_answer(&self) -> bool {
        match self {
            Self::NotWhole(_) => true,
            Self::Upstream { error, .. } => is_alone(error.kind),
            Self::Patience(_) | Self::Store | Self::Late | Self::Over => false,
        }
    }
}

/// Whether an answer to one request says nothing of other requests.
const fn is_alone(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Transport(_) | ErrorKind::Unauthorized | ErrorKind::RateLimited)
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
    let waits = waits(leader.settings());
    let mut waits = waits.walk();
    loop {
        leader.be_patient().await?;
        let error = tokio::select! {
            biased;
            () = leader.term.over.cancelled() => return Err(Failure::Over),
            answer = request() => match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            },
        };
        leader.heed(error.retry).await;
        let next = if error.retry == Retry::Never { None } else { waits.next() };
        let Some(wait) = next else {
            return Err(Failure::Upstream { place: place(), error });
        };
        tracing::debug!(place = place(), %error, "upstream is asked again");
        if !leader.wait(wait).await {
            return Err(Failure::Over);
        }
    }
}

/// Waits after failures in a row, of requests and of the socket.
pub(super) fn waits(settings: &Marketplace) -> Waits {
    Waits::new(&settings.backoff_ms, Jitter::Around(JITTER))
}
