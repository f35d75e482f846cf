//! Ratings: kept when a user gives one, uploaded in batches, dead letters
//! when upstream does not want them.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use sea_orm::DbErr;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::to_raw_value;
use tidegate_entity::{conflict, skill_rating};
use tidegate_protocol::time::Timestamp;
use tidegate_services::atom::NewRating;
use tidegate_services::atom::error::{AtomError, ErrorKind, Retry};
use tidegate_services::atom::item::parse_time;
use uuid::Uuid;

use crate::error::ApiResult;
use crate::metrics::label::UploadResult;
use crate::resolve::side::{Edits, Side};
use crate::resolve::{Policy, Verdict};
use crate::state::AppState;
use crate::store;
use crate::store::rating::{FAILED, PENDING, UPLOADED};
use crate::upstream::lead::Leader;

/// Ratings uploaded in one batch.
const BATCH: u64 = 100;

/// Uploads at once: upstream allows 10.
const AT_ONCE: usize = 10;

/// Keeps what a user says of a skill; newer words replace older ones.
pub async fn keep(
    state: &AppState,
    skill_id: &str,
    user_id: &str,
    rating: u8,
    comment: Option<String>,
) -> ApiResult<skill_rating::Model> {
    let now = state.clock.now().millis();
    let work = async {
        let tx = state.store.begin_write().await?;
        let before = store::rating::lock(&tx, skill_id, user_id).await?;
        let row = skill_rating::Model {
            skill_id: skill_id.to_owned(),
            user_id: user_id.to_owned(),
            id: before.as_ref().map_or_else(|| Uuid::now_v7().to_string(), |row| row.id.clone()),
            rating: i64::from(rating),
            comment,
            // Later than what is being uploaded, so that it is told apart.
            rated_at: before.as_ref().map_or(now, |row| now.max(row.rated_at + 1)),
            state: PENDING.to_owned(),
            remote_id: before.and_then(|row| row.remote_id),
            retry_count: 0,
            last_error: None,
            last_try_at: None,
            due_at: now,
        };
        store::rating::upsert(&tx, row.clone()).await?;
        tx.commit().await?;
        Ok::<_, DbErr>(row)
    };
    work.await.map_err(|error| crate::error::ApiError::internal(&error))
}

/// Uploads what waits: now and then, and when somebody asks.
pub(super) async fn upload(leader: &Leader) {
    let interval = Duration::from_secs(u64::from(leader.settings().rating_interval_s));
    while !leader.over.is_cancelled() {
        if let Err(error) = round(leader).await {
            tracing::warn!(%error, "ratings were not uploaded");
        }
        tokio::select! {
            biased;
            () = leader.over.cancelled() => {}
            () = leader.hints.ratings.notified() => {}
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// Uploads everything that is due.
async fn round(leader: &Leader) -> Result<(), DbErr> {
    loop {
        let now = leader.state.clock.now().millis();
        let due = store::rating::due(leader.state.store.readers(), now, BATCH).await?;
        if due.is_empty() || leader.over.is_cancelled() {
            return Ok(());
        }
        let uploads: Vec<_> = due.into_iter().map(|row| one(leader, row).boxed()).collect();
        let settled: Vec<Settled> = stream::iter(uploads).buffer_unordered(AT_ONCE).collect().await;
        let mut is_stopped = false;
        for settled in settled {
            is_stopped |= settled.is_stopped;
            let result = match settled.row.state.as_str() {
                UPLOADED => UploadResult::Uploaded,
                FAILED => UploadResult::Failed,
                _ => UploadResult::Postponed,
            };
            leader.state.metrics.rating_uploads.of(result).inc();
            settle(leader, settled).await?;
        }
        if is_stopped {
            return Ok(());
        }
    }
}

/// A rating after its upload was tried.
struct Settled {
    row: skill_rating::Model,
    conflict: Option<conflict::Model>,
    /// Whether trying others makes no sense now.
    is_stopped: bool,
}

async fn settle(leader: &Leader, settled: Settled) -> Result<(), DbErr> {
    let tx = leader.state.store.begin_write().await?;
    let is_kept = store::rating::settle(&tx, settled.row).await?;
    tx.commit().await?;
    if let Some(conflict) = settled.conflict.filter(|_| is_kept)
        && let Err(error) = leader.state.ingest.note(conflict).await
    {
        tracing::warn!(%error, "a conflict of ratings was not noted");
    }
    Ok(())
}

async fn one(leader: &Leader, mut row: skill_rating::Model) -> Settled {
    let now = leader.state.clock.now();
    row.last_try_at = Some(now.millis());
    let rating = NewRating {
        skill_id: row.skill_id.clone(),
        user_id: row.user_id.clone(),
        rating: u8::try_from(row.rating).unwrap_or(1),
        comment: row.comment.clone(),
    };
    let mut conflict = None;
    let mut is_stopped = false;
    match leader.atom.rate(&rating).await {
        Ok(rated) => uploaded(&mut row, Some(rated.rating_id)),
        Err(error) if error.kind == ErrorKind::Conflict => {
            (row, conflict) = against(leader, row, now).await;
        }
        Err(error) => {
            is_stopped = error.retry != Retry::Never || error.kind == ErrorKind::Unauthorized;
            refused(leader, &mut row, &error, now);
        }
    }
    Settled { row, conflict, is_stopped }
}

fn uploaded(row: &mut skill_rating::Model, remote_id: Option<String>) {
    UPLOADED.clone_into(&mut row.state);
    row.remote_id = remote_id.or_else(|| row.remote_id.take());
    row.last_error = None;
}

/// Notes a failure: tried again in the next round while that may help, or
/// later where upstream asks for more time.
fn refused(leader: &Leader, row: &mut skill_rating::Model, error: &AtomError, now: Timestamp) {
    row.retry_count += 1;
    row.last_error = Some(error.kind.as_str().to_owned());
    let may_help = error.retry != Retry::Never || error.kind == ErrorKind::Unauthorized;
    if may_help && row.retry_count < i64::from(leader.settings().rating_attempts) {
        let interval = Duration::from_secs(u64::from(leader.settings().rating_interval_s));
        let wait = match error.retry {
            Retry::After(asked) => interval.max(asked),
            Retry::Backoff | Retry::Never => interval,
        };
        row.due_at = now.plus_millis(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)).millis();
    } else {
        FAILED.clone_into(&mut row.state);
    }
}

/// Upstream has a rating of this user already: the newer one counts. It takes
/// no second one, so that a newer one of ours waits for a person.
async fn against(
    leader: &Leader,
    mut row: skill_rating::Model,
    now: Timestamp,
) -> (skill_rating::Model, Option<conflict::Model>) {
    let remote = match leader.atom.skill(&row.skill_id).await {
        Ok(found) => found.and_then(|raw| remote_rating(raw.get(), &row.user_id)),
        Err(error) => {
            refused(leader, &mut row, &error, now);
            return (row, None);
        }
    };
    let Some(remote) = remote else {
        row.retry_count += 1;
        row.last_error = Some(ErrorKind::Conflict.as_str().to_owned());
        FAILED.clone_into(&mut row.state);
        return (row, None);
    };
    if remote.rating == row.rating && remote.comment == row.comment {
        uploaded(&mut row, None);
        return (row, None);
    }
    let conflict = weigh(leader, &row, &remote, now);
    if remote.at().millis() >= row.rated_at {
        row.rating = remote.rating;
        row.comment = remote.comment;
        uploaded(&mut row, None);
    } else {
        row.retry_count += 1;
        row.last_error = Some("update_not_supported".to_owned());
        FAILED.clone_into(&mut row.state);
    }
    (row, conflict)
}

/// A rating as upstream has it.
#[derive(Debug, Deserialize)]
struct Remote {
    user_id: String,
    rating: i64,
    #[serde(default)]
    comment: Option<String>,
    #[serde(default, alias = "timestamp")]
    created_at: Option<String>,
}

impl Remote {
    fn at(&self) -> Timestamp {
        self.created_at.as_deref().and_then(parse_time).unwrap_or_default()
    }
}

fn remote_rating(skill: &str, user_id: &str) -> Option<Remote> {
    #[derive(Deserialize)]
    struct Detail {
        #[serde(default)]
        ratings: Vec<Remote>,
    }
    let detail: Detail = serde_json::from_str(skill).ok()?;
    let mine = |rating: &Remote| rating.user_id == user_id && (1..=5).contains(&rating.rating);
    detail.ratings.into_iter().find(mine)
}

/// The row of the verdict, by the rules of ratings.
fn weigh(
    leader: &Leader,
    row: &skill_rating::Model,
    remote: &Remote,
    now: Timestamp,
) -> Option<conflict::Model> {
    let rules = &leader.state.rules.rating;
    let side = |rating: i64, comment: &Option<String>, at: Timestamp, source: &str| Side {
        version: 1,
        data: Some(json!({ "rating": rating, "comment": comment })),
        edited_at: at,
        source_id: source.to_owned(),
    };
    let rated_at = Timestamp::from_millis(row.rated_at);
    let local = side(row.rating, &row.comment, rated_at, &row.user_id);
    let remote = side(remote.rating, &remote.comment, remote.at(), "upstream");
    let edits = Edits { base: None, local: &local, remote: &remote };
    let Verdict::Resolved(found) = crate::resolve::resolve(edits, Policy::new(rules, now)) else {
        return None;
    };
    Some(conflict::Model {
        id: Uuid::now_v7().to_string(),
        subject: format!("rating:{}:{}", row.skill_id, row.user_id),
        user_id: Some(row.user_id.clone()),
        status: store::conflict::RESOLVED.to_owned(),
        severity: found.severity.as_str().to_owned(),
        verdict: to_raw_value(&found).ok()?.get().to_owned(),
        created_at: now.millis(),
        restored_at: None,
    })
}
