//! Publishing to shared streams.

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::entry::RecordOp;
use tidegate_protocol::id::StreamName;
use tidegate_protocol::limits::SHORT_TEXT_BYTES;
use tidegate_protocol::rest::{PublishRecords, Published, RECORDS_PER_PUBLISH, RecordChange};

use crate::error::{ApiError, ApiResult};
use crate::http::body::{Sent, ServiceBatch};
use crate::http::commands::idempotency_key;
use crate::http::extract::PathOf;
use crate::state::AppState;

/// Changes records of a shared stream: all or none.
#[utoipa::path(post, path = "/api/v1/streams/{stream}/records", tag = "streams",
    security(("bearer" = ["service"])),
    params(("stream" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = PublishRecords,
    responses((status = 202, body = Published), (status = 200, description = "Published before", body = Published),
        (status = 409, description = "A base version moved, or the key was used otherwise")))]
pub(super) async fn publish(
    State(state): State<AppState>,
    PathOf(stream): PathOf,
    headers: HeaderMap,
    Sent { caller, body: request, .. }: Sent<ServiceBatch, PublishRecords>,
) -> ApiResult<(StatusCode, Json<Published>)> {
    let stream = StreamName::parse(&stream)
        .ok()
        .filter(|stream| state.config.streams.shared.contains(stream))
        .ok_or_else(|| ApiError::new(ErrorCode::StreamNotFound, "no such shared stream"))?;
    check(&request)?;
    let key = idempotency_key(&headers, &caller)?;
    let answer = state.ingest.publish(stream, request.records, key).await?;
    let status = if answer.is_new { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(answer.published)))
}

fn check(request: &PublishRecords) -> ApiResult<()> {
    if !(1..=RECORDS_PER_PUBLISH).contains(&request.records.len()) {
        return Err(ApiError::invalid("records", format!("1 to {RECORDS_PER_PUBLISH} changes")));
    }
    request.records.iter().enumerate().try_for_each(|(index, change)| check_one(index, change))
}

fn check_one(index: usize, change: &RecordChange) -> ApiResult<()> {
    let field = |name: &str| format!("records[{index}].{name}");
    for (name, text) in [("collection", &change.collection), ("id", &change.id)] {
        if !(1..=SHORT_TEXT_BYTES).contains(&text.len()) {
            return Err(ApiError::invalid(field(name), format!("1 to {SHORT_TEXT_BYTES} bytes")));
        }
    }
    if change.base_version.is_some_and(|version| version < 0) {
        return Err(ApiError::invalid(field("base_version"), "0 (must not exist) or more"));
    }
    let (needed, other) = match change.op {
        RecordOp::Put => (Some(("data", &change.data)), [("patch", &change.patch)].to_vec()),
        RecordOp::Patch => (Some(("patch", &change.patch)), [("data", &change.data)].to_vec()),
        RecordOp::Delete => (None, vec![("data", &change.data), ("patch", &change.patch)]),
    };
    if let Some((name, _)) = other.iter().find(|(_, value)| value.is_some()) {
        return Err(ApiError::invalid(field(name), format!("does not go with `{}`", change.op)));
    }
    let Some((name, value)) = needed else { return Ok(()) };
    match value {
        Some(value) if value.get().starts_with('{') => Ok(()),
        _ => Err(ApiError::invalid(field(name), "a JSON object is required")),
    }
}
