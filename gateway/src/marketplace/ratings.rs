//! Ratings: kept when a user gives one, uploaded in batches, dead letters
//! when upstream does not want them.
//!
//! What became of an upload goes through the writer, under the lease.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use sea_orm::DbErr;
use tidegate_entity::skill_rating;
use tidegate_entity::skill_rating::UploadState;
use tidegate_protocol::time::Timestamp;
use tidegate_services::atom::NewRating;
use tidegate_services::atom::error::{AtomError, ErrorKind, Retry};
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::ApiResult;
use crate::hub::lock;
use crate::ingest::market::SettledRating;
use crate::marketplace::MarketplaceHandle;
use crate::marketplace::lead::{LOOK, Leader};
use crate::marketplace::status::change;
use crate::metrics::label::UploadResult;
use crate::store;

mod against;

/// Ratings uploaded in one batch.
const BATCH: u64 = 100;

/// Uploads in a row over which upstream fails before the rest waits for the next
/// round: then it is not these ratings.
const FAILURES_MAX: u32 = 5;

/// Uploads at once: upstream allows 10.
const AT_ONCE: usize = 10;

/// Keeps what a user says of a skill; newer words replace older ones.
pub async fn keep(
    market: &MarketplaceHandle,
    skill_id: &str,
    user_id: &str,
    rating: u8,
    comment: Option<String>,
) -> ApiResult<skill_rating::Model> {
    let now = market.clock.now().millis();
    let comment = &comment;
    let kept = market.store.write(|tx| async move {
        let before = store::rating::lock(&tx, skill_id, user_id).await?;
        let row = skill_rating::Model {
            skill_id: skill_id.to_owned(),
            user_id: user_id.to_owned(),
            id: before.as_ref().map_or_else(|| Uuid::now_v7().to_string(), |row| row.id.clone()),
            rating: i64::from(rating),
            comment: comment.clone(),
            // Later than what is being uploaded, so that it is told apart.
            rated_at: before.as_ref().map_or(now, |row| now.max(row.rated_at + 1)),
            state: UploadState::Pending,
            remote_id: before.and_then(|row| row.remote_id),
            retry_count: 0,
            last_error: None,
            last_try_at: None,
            due_at: now,
            asked_until: None,
        };
        store::rating::upsert(&tx, row.clone()).await?;
        // Another call may have been first, and given it its id.
        Ok(store::rating::lock(&tx, skill_id, user_id).await?.unwrap_or(row))
    });
    Ok(kept.await?)
}

/// Uploads what waits if it is time, or somebody asked on any node; when to look
/// again.
pub(super) async fn turn(leader: &Leader, due: &Mutex<Instant>) -> Instant {
    let is_due = Instant::now() >= *lock(due);
    if leader.patience_left().is_zero() && (is_due || is_asked(leader).await) {
        if let Err(error) = round(leader).await {
            tracing::warn!(%error, "ratings were not uploaded");
        }
        let interval = Duration::from_secs(u64::from(leader.settings().rating_interval_s));
        *lock(due) = Instant::now() + interval;
    }
    Instant::now() + LOOK
}

/// Whether somebody asked for an upload; forgets it.
async fn is_asked(leader: &Leader) -> bool {
    let row = store::sync_state::read(leader.market.store.readers()).await;
    if !row.is_ok_and(|row| row.ratings_requested_at.is_some()) {
        return false;
    }
    let taken = change(leader, |row| row.ratings_requested_at.take());
    taken.await.is_ok_and(|asked| asked.is_some())
}

/// Uploads everything that is due, batch by batch, until upstream has had
/// enough.
async fn round(leader: &Leader) -> Result<(), DbErr> {
    loop {
        let now = leader.market.clock.now().millis();
        let due = store::rating::due(leader.market.store.readers(), now, BATCH).await?;
        if due.is_empty() || !batch(leader, due).await {
            return Ok(());
        }
    }
}

/// Uploads these; whether going on makes sense.
async fn batch(leader: &Leader, due: Vec<skill_rating::Model>) -> bool {
    let mut waiting = due.into_iter();
    let mut under_way = FuturesUnordered::new();
    let (mut is_stopped, mut failures) = (false, 0);
    loop {
        while under_way.len() < AT_ONCE && !is_stopped {
            let Some(row) = waiting.next() else { break };
            under_way.push(one(leader, row).boxed());
        }
        let next = tokio::select! {
            biased;
            () = leader.term.over.cancelled() => return false,
            next = under_way.next() => next,
        };
        let Some(tried) = next else { return !is_stopped };
        failures = if tried.end == End::Failed { failures + 1 } else { 0 };
        is_stopped |= tried.end == End::Refused || failures >= FAILURES_MAX;
        let result = match tried.settled.row.state {
            UploadState::Uploaded => UploadResult::Uploaded,
            UploadState::Failed => UploadResult::Failed,
            UploadState::Pending => UploadResult::Postponed,
        };
        leader.market.metrics.rating_uploads.of(result).inc();
        if let Err(error) = leader.market.ingest.settle_rating(tried.settled).await {
            tracing::warn!(%error, "what became of a rating was not stored");
            is_stopped = true;
        }
    }
}

/// A rating after its upload was tried.
struct Tried {
    settled: SettledRating,
    end: End,
}

/// What the end of one upload says of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nothing: it is taken, or it is this rating that is not.
    Own,
    /// Upstream failed over this one. By itself that says nothing either.
    Failed,
    /// Upstream wants nothing now, or cannot be reached.
    Refused,
}

impl End {
    fn of(error: &AtomError) -> Self {
        match (error.retry, error.kind) {
            (Retry::After(_), _) | (_, ErrorKind::Unauthorized | ErrorKind::Transport(_)) => {
                Self::Refused
            }
            (Retry::Backoff, _) => Self::Failed,
            (Retry::Never, _) => Self::Own,
        }
    }
}

async fn one(leader: &Leader, mut row: skill_rating::Model) -> Tried {
    let now = leader.market.clock.now();
    row.last_try_at = Some(now.millis());
    let rating = NewRating {
        skill_id: row.skill_id.clone(),
        user_id: row.user_id.clone(),
        rating: u8::try_from(row.rating).unwrap_or(1),
        comment: row.comment.clone(),
    };
    let (mut verdict, mut end) = (None, End::Own);
    match leader.atom.rate(&rating).await {
        Ok(rated) => uploaded(&mut row, Some(rated.rating_id)),
        Err(error) if error.kind == ErrorKind::Conflict => {
            verdict = against::weigh(leader, &mut row, now).await;
        }
        Err(error) => {
            end = End::of(&error);
            leader.heed(error.retry).await;
            refused(leader, &mut row, &error, now);
        }
    }
    let fence = leader.term.fence.clone();
    Tried { settled: SettledRating { fence, row, verdict }, end }
}

fn uploaded(row: &mut skill_rating::Model, remote_id: Option<String>) {
    row.state = UploadState::Uploaded;
    row.remote_id = remote_id.or_else(|| row.remote_id.take());
    row.last_error = None;
}

/// Notes a failure: tried again in a later round while that may help. Being
/// asked for patience is no failure of the rating; it holds for all of them.
fn refused(leader: &Leader, row: &mut skill_rating::Model, error: &AtomError, now: Timestamp) {
    row.last_error = Some(error.kind.as_str().to_owned());
    let settings = leader.settings();
    if !matches!(error.retry, Retry::After(_)) {
        row.retry_count += 1;
    }
    let may_help = error.retry != Retry::Never || error.kind == ErrorKind::Unauthorized;
    if may_help && row.retry_count < i64::from(settings.rating_attempts) {
        row.due_at = now.plus_millis(i64::from(settings.rating_interval_s) * 1000).millis();
    } else {
        row.state = UploadState::Failed;
    }
}

/// Waits for a person, for this reason.
fn dead(row: &mut skill_rating::Model, reason: &str) {
    row.retry_count += 1;
    row.last_error = Some(reason.to_owned());
    row.state = UploadState::Failed;
}
