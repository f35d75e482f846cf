//! Workouts of a user: listing, reading, deleting.

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use tidegate_entity::activity::{self, State as Standing};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::rest::Page;
use tidegate_protocol::rest::health::Activity;
use utoipa::IntoParams;

use crate::error::{ApiError, ApiResult};
use crate::health::source::Source;
use crate::http::extract::{PathOf, QueryOf};
use crate::http::health::{DaysQuery, Subject, UserQuery, internal, list_text};
use crate::http::tag::{tagged_text, tagged_version};
use crate::journal::health::activity_row;
use crate::state::AppState;
use crate::store::health::activity::{Filter, duplicates_of, one, page, raw};

/// Which workouts are listed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Which {
    /// Only those that are shown (default), or duplicates too.
    #[serde(default)]
    canonical: Option<bool>,
    /// Only those of this source.
    #[serde(default)]
    source: Option<String>,
}

/// Workouts of a user, newest first.
#[utoipa::path(get, path = "/api/v1/activities", tag = "health",
    operation_id = "list_activities",
    params(UserQuery, DaysQuery, Which, ("If-None-Match" = Option<String>, Header)),
    security(("bearer" = ["device", "service"])),
    responses((status = 200, body = Page<Activity>)))]
pub(in crate::http) async fn list(
    State(state): State<AppState>,
    subject: Subject,
    headers: HeaderMap,
    QueryOf(query): QueryOf<DaysQuery>,
    QueryOf(which): QueryOf<Which>,
) -> ApiResult<Response> {
    let (asked, days) = (query.page(), query.days()?);
    let (after, limit) = (asked.after()?, asked.limit()?);
    let below = after.as_deref().map(position).transpose()?;
    let source = which.source.as_deref().map(|word| {
        let source = Source::from_word(word);
        source.map(Source::as_str).ok_or_else(|| ApiError::invalid("source", "no such source"))
    });
    let source = source.transpose()?;
    let filter = Filter { days, source, is_canonical: which.canonical.unwrap_or(true) };
    let db = state.store.readers();
    let mut rows = page(db, &subject.user_id, filter, below, limit + 1).await.map_err(internal)?;
    let has_more = rows.len() as u64 > limit;
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = rows.last().filter(|_| has_more).map(next_position);
    let items: Vec<String> =
        rows.iter().map(|row| Json::Object(activity_row(row)).to_string()).collect();
    Ok(tagged_text(&headers, list_text(&items, next.as_deref())))
}

fn next_position(row: &activity::Model) -> String {
    URL_SAFE_NO_PAD.encode(format!("{} {} {}", row.date, row.start_at, row.id))
}

fn position(text: &str) -> ApiResult<(&str, i64, &str)> {
    let mut parts = text.splitn(3, ' ');
    let found = (|| {
        let (date, start) = (parts.next()?, parts.next()?.parse().ok()?);
        Some((date, start, parts.next()?))
    })();
    found.ok_or_else(|| ApiError::invalid("cursor", "not a cursor of this list"))
}

fn not_found() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "there is no such activity")
}

/// One workout, with the others that are the same one, and as it came.
#[utoipa::path(get, path = "/api/v1/activities/{id}", tag = "health",
    operation_id = "get_activity",
    params(UserQuery, ("id" = String, Path), ("If-None-Match" = Option<String>, Header)),
    security(("bearer" = ["device", "service"])),
    responses((status = 200, body = Activity)))]
pub(in crate::http) async fn get(
    State(state): State<AppState>,
    subject: Subject,
    headers: HeaderMap,
    PathOf(id): PathOf,
) -> ApiResult<Response> {
    let (db, user_id) = (state.store.readers(), subject.user_id.as_str());
    let row = one(db, user_id, &id).await.map_err(internal)?;
    let row = row.filter(|row| row.state == Standing::Live).ok_or_else(not_found)?;
    let shown = row.duplicate_of.as_deref().unwrap_or(&id);
    let mut members = duplicates_of(db, user_id, shown).await.map_err(internal)?;
    members.extend(row.duplicate_of.clone());
    members.retain(|member| *member != id);
    members.sort_unstable();
    let mut body = activity_row(&row);
    body.insert("members".to_owned(), members.into());
    let raw = raw(db, user_id, &id).await.map_err(internal)?;
    let raw = raw.and_then(|raw| RawValue::from_string(raw).ok());
    let shown = Whole { body, raw };
    let text = serde_json::to_string(&shown).map_err(internal)?;
    Ok(tagged_version(&headers, row.version, text))
}

#[derive(serde::Serialize)]
struct Whole {
    #[serde(flatten)]
    body: serde_json::Map<String, Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<Box<RawValue>>,
}

/// Deletes a workout. It does not return when its source sends it again.
#[utoipa::path(delete, path = "/api/v1/activities/{id}", tag = "health",
    operation_id = "delete_activity",
    params(UserQuery, ("id" = String, Path)),
    security(("bearer" = ["device", "service"])),
    responses((status = 204)))]
pub(in crate::http) async fn delete(
    State(state): State<AppState>,
    subject: Subject,
    PathOf(id): PathOf,
) -> ApiResult<StatusCode> {
    state.ingest.delete_activity(&subject.user_id, &id, subject.by.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
