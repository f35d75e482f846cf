//! Days of a user: listing, reading, correcting.

use axum::extract::State;
use axum::response::Response;
use chrono::NaiveDate;
use http::HeaderMap;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::rest::Page;
use tidegate_protocol::rest::health::day::{CorrectDay, DailyEntry};

use crate::error::{ApiError, ApiResult};
use crate::health::date;
use crate::health::field::{Field, Shape, Value};
use crate::health::item::{self, Item};
use crate::http::body::{Anyone, SentText};
use crate::http::extract::{PathOf, QueryOf};
use crate::http::health::{DaysQuery, Subject, UserQuery, internal, list_text};
use crate::http::page::next_cursor;
use crate::http::tag::{expected_version, tagged_text, tagged_version};
use crate::ingest::health::person::Correction;
use crate::state::AppState;
use crate::store;
use crate::store::health::Days;

/// Days of a user that say something, newest first.
#[utoipa::path(get, path = "/api/v1/entries", tag = "health",
    operation_id = "list_entries",
    params(UserQuery, DaysQuery, ("If-None-Match" = Option<String>, Header)),
    security(("bearer" = ["device", "service"])),
    responses((status = 200, body = Page<DailyEntry>)))]
pub(in crate::http) async fn list(
    State(state): State<AppState>,
    subject: Subject,
    headers: HeaderMap,
    QueryOf(query): QueryOf<DaysQuery>,
) -> ApiResult<Response> {
    let (page, days) = (query.page(), query.days()?);
    let (below, limit) = (page.after()?, page.limit()?);
    let days = Days { below: below.as_deref(), ..days };
    let db = state.store.readers();
    let rows = store::health::day::page(db, &subject.user_id, days, limit + 1).await;
    let mut rows = rows.map_err(internal)?;
    let next = next_cursor(&mut rows, limit, |row| &row.date);
    let items: Vec<String> = rows.into_iter().map(|row| row.body).collect();
    Ok(tagged_text(&headers, list_text(&items, next.as_deref())))
}

fn day_of(path: &str) -> ApiResult<NaiveDate> {
    date::parse(path).ok_or_else(|| ApiError::invalid("date", "a day as yyyy-mm-dd"))
}

/// A day of a user.
#[utoipa::path(get, path = "/api/v1/entries/{date}", tag = "health",
    operation_id = "get_entry",
    params(UserQuery, ("date" = String, Path), ("If-None-Match" = Option<String>, Header)),
    security(("bearer" = ["device", "service"])),
    responses((status = 200, body = DailyEntry)))]
pub(in crate::http) async fn get(
    State(state): State<AppState>,
    subject: Subject,
    headers: HeaderMap,
    PathOf(date): PathOf,
) -> ApiResult<Response> {
    let key = (subject.user_id, day_of(&date)?.to_string());
    let rows = store::health::day::load(state.store.readers(), &[key]).await;
    let row = rows.map_err(internal)?.pop();
    let row =
        row.ok_or_else(|| ApiError::new(ErrorCode::NotFound, "there is nothing on this day"))?;
    Ok(tagged_version(&headers, row.version, row.body))
}

/// Corrects a day by hand: each field with its value, or null to take back what
/// a person said of it.
#[utoipa::path(patch, path = "/api/v1/entries/{date}", tag = "health",
    operation_id = "correct_entry",
    params(UserQuery, ("date" = String, Path), ("If-Match" = Option<String>, Header)),
    security(("bearer" = ["device", "service"])), request_body = CorrectDay,
    responses((status = 200, body = DailyEntry),
        (status = 409, description = "The day is not at the version of `If-Match`")))]
pub(in crate::http) async fn correct(
    State(state): State<AppState>,
    subject: Subject,
    headers: HeaderMap,
    PathOf(date): PathOf,
    sent: SentText<Anyone>,
) -> ApiResult<Response> {
    let date = day_of(&date)?;
    if !date::has_begun(date, state.clock.now()) {
        return Err(ApiError::invalid("date", "not later than today"));
    }
    let expected = expected_version(&headers)?;
    let values = values(sent.text())?;
    let Subject { user_id, by } = subject;
    let correction = Correction { user_id, date, values, expected, by };
    let body = state.ingest.correct_day(correction).await?;
    let version = serde_json::from_str::<Versioned>(&body).map_err(internal)?.version;
    Ok(tagged_version(&HeaderMap::new(), version, body))
}

#[derive(serde::Deserialize)]
struct Versioned {
    version: i64,
}

/// The fields of a correction, checked.
fn values(text: &str) -> ApiResult<Vec<(Field, Option<Value>)>> {
    let wrong = |field: &str, reason: &str| ApiError::invalid(field, reason);
    let item: Item<'_> = serde_json::from_str(text).map_err(internal)?;
    let mut values: Vec<(Field, Option<Value>)> = Vec::new();
    for (name, raw) in item.fields() {
        let field = Field::from_word(name).ok_or_else(|| wrong(name, "no such field"))?;
        let value = match (raw.get(), field.shape()) {
            ("null", _) => None,
            (_, Shape::Text { .. }) => {
                let text = item::text(raw).ok_or_else(|| wrong(name, "a text is required"))?;
                Some(field.text(&text).map_err(|reason| wrong(name, &reason))?)
            }
            _ => {
                let number = item.number(name).map_err(|error| wrong(name, &error.reason))?;
                let number = number.ok_or_else(|| wrong(name, "a number is required"))?;
                Some(field.number(number).map_err(|reason| wrong(name, &reason))?)
            }
        };
        values.retain(|(known, _)| *known != field);
        values.push((field, value));
    }
    if values.is_empty() {
        return Err(ApiError::invalid("", "at least one field"));
    }
    Ok(values)
}
