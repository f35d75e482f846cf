//! Conflicts: listing, reading, resolving, undoing. Operators see all, others
//! those of their own edits.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_entity::conflict;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::entry::{ConflictStatus, Severity};
use tidegate_protocol::rest::{ErrorDetail, Page};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Role;
use crate::error::{ApiError, ApiResult};
use crate::http::body::{Admin, AdminBatch, Sent};
use crate::http::extract::{Caller, PathOf, QueryOf};
use crate::http::page::{PageQuery, next_cursor};
use crate::ingest::market::{Ruling, RulingError, Word};
use crate::resolve::person::{Choice, Decision, Undo};
use crate::resolve::side::{Origin, Side};
use crate::state::AppState;
use crate::store;
use crate::store::conflict::Filter;

mod view;

use view::{ConflictView, Present, RulingRefused, views};

/// Conflicts resolved by one call at most.
const BULK_MAX: usize = 100;

/// Longest reason for a decision, in bytes.
const JUSTIFICATION_BYTES: usize = 2_000;

/// Which conflicts are asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConflictQuery {
    /// All unless asked.
    #[serde(default)]
    #[param(value_type = Option<ConflictStatus>)]
    status: Option<String>,
    /// `CRITICAL`, `HIGH`, `MEDIUM` or `LOW`, in any case.
    #[serde(default)]
    severity: Option<String>,
    /// `skill:{id}` …
    #[serde(default)]
    subject: Option<String>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// Items at most: 1 to 500, default 100.
    #[serde(default)]
    limit: Option<u64>,
}

impl ConflictQuery {
    fn filter(&self, caller: &Caller) -> ApiResult<Filter> {
        let status = self.status.as_deref();
        let status = status.map(|word| ConflictStatus::from_word(word).ok_or("open or resolved"));
        let status = status.transpose().map_err(|e| ApiError::invalid("status", e))?;
        let severity = self.severity.as_deref().map(|word| {
            let known = Severity::from_word(&word.to_ascii_uppercase());
            known.ok_or("CRITICAL, HIGH, MEDIUM or LOW")
        });
        let severity = severity.transpose().map_err(|e| ApiError::invalid("severity", e))?;
        let user_id = (!is_operator(caller)).then(|| caller.0.sub.as_str().to_owned());
        Ok(Filter { status, severity, subject: self.subject.clone(), user_id })
    }
}

fn is_operator(caller: &Caller) -> bool {
    caller.0.role.includes(Role::Admin)
}

/// Conflicts, newest first.
#[utoipa::path(get, path = "/api/v1/conflicts", tag = "conflicts", params(ConflictQuery),
    responses((status = 200, body = Page<ConflictView>)))]
pub(super) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    QueryOf(query): QueryOf<ConflictQuery>,
) -> ApiResult<Json<Page<ConflictView>>> {
    let filter = query.filter(&caller)?;
    let page = PageQuery { cursor: query.cursor, limit: query.limit };
    let (below, limit) = (page.after()?.unwrap_or_default(), page.limit()?);
    let rows = store::conflict::page(state.store.readers(), &filter, &below, limit + 1).await;
    let mut rows = rows.map_err(|error| ApiError::internal(&error))?;
    let next_cursor = next_cursor(&mut rows, limit, |row| &row.id);
    let items = views(&state, rows).await?;
    Ok(Json(Page { items, next_cursor }))
}

/// One conflict.
#[utoipa::path(get, path = "/api/v1/conflicts/{id}", tag = "conflicts",
    params(("id" = String, Path)),
    responses((status = 200, body = ConflictView), (status = 404, description = "No such conflict")))]
pub(super) async fn get(
    State(state): State<AppState>,
    caller: Caller,
    PathOf(id): PathOf,
) -> ApiResult<Json<ConflictView>> {
    let rows = store::conflict::load(state.store.readers(), &[id]).await;
    let mut rows = rows.map_err(|error| ApiError::internal(&error))?;
    rows.retain(|row| {
        let is_editor = |user_id: &String| user_id == caller.0.sub.as_str();
        is_operator(&caller) || store::conflict::editors(row).iter().any(is_editor)
    });
    let view = views(&state, rows).await?.pop();
    view.map(Json).ok_or_else(not_found)
}

fn not_found() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "there is no such conflict")
}

/// [`list`] beside what else operators do.
pub(super) async fn list_for_operators(
    state: State<AppState>,
    caller: Caller,
    query: QueryOf<ConflictQuery>,
) -> ApiResult<Json<Page<ConflictView>>> {
    caller.require_role(Role::Admin)?;
    list(state, caller, query).await
}

/// [`get`] beside what else operators do.
pub(super) async fn get_for_operators(
    state: State<AppState>,
    caller: Caller,
    id: PathOf,
) -> ApiResult<Json<ConflictView>> {
    caller.require_role(Role::Admin)?;
    get(state, caller, id).await
}

/// Decides an open conflict, on the version of the published state that the
/// caller saw. 409 with the present one when that moved.
#[utoipa::path(post, path = "/api/v1/conflicts/{id}/resolve", tag = "conflicts",
    security(("bearer" = ["admin"])), params(("id" = String, Path)), request_body = Decision,
    responses((status = 200, body = ConflictView),
        (status = 409, description = "It is decided, or the published state moved", body = RulingRefused),
        (status = 501, description = "Conflicts of this kind are only kept")))]
pub(super) async fn resolve(
    State(state): State<AppState>,
    PathOf(id): PathOf,
    Sent { caller, body: decision, .. }: Sent<Admin, Decision>,
) -> ApiResult<Response> {
    check("", &decision)?;
    answer(&state, ruling(&caller, id, Word::Settle(decision))).await
}

/// Brings back a side that lost, within 30 days.
#[utoipa::path(post, path = "/api/v1/conflicts/{id}/restore", tag = "conflicts",
    security(("bearer" = ["admin"])), params(("id" = String, Path)), request_body = Undo,
    responses((status = 200, body = ConflictView),
        (status = 409, description = "Nothing to restore, or the published state moved", body = RulingRefused),
        (status = 501, description = "Conflicts of this kind are only kept")))]
pub(super) async fn restore(
    State(state): State<AppState>,
    PathOf(id): PathOf,
    Sent { caller, body: undo, .. }: Sent<Admin, Undo>,
) -> ApiResult<Response> {
    answer(&state, ruling(&caller, id, Word::Restore(undo))).await
}

fn ruling(caller: &Caller, conflict_id: String, word: Word) -> Ruling {
    Ruling { conflict_id, word, actor: caller.0.sub.as_str().to_owned() }
}

fn check(prefix: &str, decision: &Decision) -> ApiResult<()> {
    let reason = decision.justification.as_deref().unwrap_or_default();
    if reason.len() > JUSTIFICATION_BYTES {
        let field = format!("{prefix}justification");
        return Err(ApiError::invalid(field, format!("at most {JUSTIFICATION_BYTES} bytes")));
    }
    Ok(())
}

async fn answer(state: &AppState, ruling: Ruling) -> ApiResult<Response> {
    match state.ingest.rule(ruling).await {
        Ok(row) => {
            let view = views(state, vec![row]).await?.pop().ok_or_else(not_found)?;
            Ok(Json(view).into_response())
        }
        Err(RulingError::Refused(error)) => Err(error),
        Err(RulingError::Moved(remote)) => {
            let error = moved(&remote);
            let body = RulingRefused { error: error.detail(), remote: Some(present(*remote)) };
            Ok((StatusCode::CONFLICT, Json(body)).into_response())
        }
    }
}

fn moved(remote: &Side) -> ApiError {
    let message = "the published state moved since you looked";
    ApiError::new(ErrorCode::RemoteMoved, message)
        .with_current_version("expected_remote_version", remote.version)
}

fn present(remote: Side) -> Present {
    Present { version: remote.version, data: remote.data }
}

/// Several decisions at once.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct BulkResolve {
    /// 1 to 100 decisions, each with the conflict it is about.
    conflicts: Vec<OneOfBulk>,
}

/// A [`Decision`] and what it is about. Written out: of a flattened one no
/// refusal could name the field.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ConflictDecision)]
struct OneOfBulk {
    conflict_id: String,
    choice: Choice,
    #[serde(default)]
    data: Option<Value>,
    #[serde(default)]
    fields: BTreeMap<String, Origin>,
    #[serde(default)]
    justification: Option<String>,
    expected_remote_version: i64,
}

impl OneOfBulk {
    fn into_parts(self) -> (String, Decision) {
        let Self { conflict_id, choice, data, fields, justification, expected_remote_version } =
            self;
        (conflict_id, Decision { choice, data, fields, justification, expected_remote_version })
    }
}

/// What became of one of several decisions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BulkResult {
    conflict_id: String,
    /// The HTTP status that it would have had by itself.
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    conflict: Option<ConflictView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDetail>,
    /// With `remote_moved`: the present state.
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<Present>,
}

/// What became of several decisions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BulkResults {
    /// In the order of the request.
    results: Vec<BulkResult>,
    /// How many were carried out.
    resolved_count: usize,
    /// How many were not.
    failed_count: usize,
}

/// Decides several conflicts, each by itself.
#[utoipa::path(post, path = "/api/v1/conflicts/bulk-resolve", tag = "conflicts",
    security(("bearer" = ["admin"])), request_body = BulkResolve,
    responses((status = 207, body = BulkResults)))]
pub(super) async fn bulk_resolve(
    State(state): State<AppState>,
    Sent { caller, body: request, .. }: Sent<AdminBatch, BulkResolve>,
) -> ApiResult<(StatusCode, Json<BulkResults>)> {
    if !(1..=BULK_MAX).contains(&request.conflicts.len()) {
        return Err(ApiError::invalid("conflicts", format!("1 to {BULK_MAX} decisions")));
    }
    let conflicts: Vec<_> = request.conflicts.into_iter().map(OneOfBulk::into_parts).collect();
    for (index, (_, decision)) in conflicts.iter().enumerate() {
        check(&format!("conflicts[{index}]."), decision)?;
    }
    let mut results = Vec::with_capacity(conflicts.len());
    for (conflict_id, decision) in conflicts {
        let word = Word::Settle(decision);
        let ruled = state.ingest.rule(ruling(&caller, conflict_id.clone(), word));
        results.push(bulk_result(&state, conflict_id, ruled.await).await?);
    }
    let resolved_count = results.iter().filter(|result| result.error.is_none()).count();
    let failed_count = results.len() - resolved_count;
    let body = BulkResults { results, resolved_count, failed_count };
    Ok((StatusCode::MULTI_STATUS, Json(body)))
}

async fn bulk_result(
    state: &AppState,
    conflict_id: String,
    ruled: Result<conflict::Model, RulingError>,
) -> ApiResult<BulkResult> {
    let (error, remote) = match ruled {
        Ok(row) => {
            let conflict = views(state, vec![row]).await?.pop();
            return Ok(BulkResult {
                conflict_id,
                status: 200,
                conflict,
                error: None,
                remote: None,
            });
        }
        Err(RulingError::Moved(remote)) => (moved(&remote), Some(present(*remote))),
        Err(RulingError::Refused(error)) => (error, None),
    };
    let status = error.code.number();
    Ok(BulkResult { conflict_id, status, conflict: None, error: Some(error.detail()), remote })
}
