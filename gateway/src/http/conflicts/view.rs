//! Conflicts as the API shows them.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;
use tidegate_entity::conflict;
use tidegate_protocol::time::Timestamp;
use utoipa::ToSchema;

use crate::error::{ApiError, ApiResult};
use crate::resolve::conflict::Conflict;
use crate::state::AppState;
use crate::store;
use crate::store::market::SKILL;

/// A conflict as the API shows it: both sides whole.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ConflictView {
    conflict_id: String,
    /// What it is about: `skill:{id}`, `rating:{skill_id}:{user_id}`.
    subject: String,
    /// Whose edit is in it.
    user_id: Option<String>,
    /// `open` or `resolved`.
    status: String,
    /// `VERSION_MISMATCH`, `CONTENT_MISMATCH`, `DEPENDENCY_CONFLICT`, `OTHER`.
    conflict_type: &'static str,
    /// `CRITICAL`, `HIGH`, `MEDIUM`, `LOW`.
    severity: String,
    /// The fields in which the sides differ, `[{field, changed_by}]`.
    #[schema(value_type = Vec<Object>)]
    fields: Value,
    /// What both started from, `{version, data}`; null where that is not known.
    #[schema(value_type = Object)]
    base: Value,
    /// The local edit, `{version, data, edited_at, source_id}`.
    #[schema(value_type = Object)]
    local: Value,
    /// What upstream had, in the same shape.
    #[schema(value_type = Object)]
    remote: Value,
    /// The effective value, `{version, data}`; upstream's while it is open.
    #[schema(value_type = Object)]
    result: Value,
    /// Sides that are not, or not wholly, in the result: they can be restored.
    #[schema(value_type = Vec<String>)]
    losers: Value,
    /// While it is open: what merging would give.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    proposal: Option<Value>,
    /// While it is open: fields that only a person can decide.
    undecided: Vec<String>,
    strategy: &'static str,
    /// `strategy`, `delete` or a person's id; null while it is open.
    decided_by: Option<String>,
    justification: Option<String>,
    /// The published version now: what `expected_remote_version` must name.
    #[serde(skip_serializing_if = "Option::is_none")]
    current_version: Option<i64>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was decided; null while it is open.
    #[schema(value_type = Option<String>, format = DateTime)]
    decided_at: Option<Timestamp>,
    /// When a loser was brought back.
    #[schema(value_type = Option<String>, format = DateTime)]
    restored_at: Option<Timestamp>,
}

/// The rows as the API shows them.
pub(super) async fn views(
    state: &AppState,
    rows: Vec<conflict::Model>,
) -> ApiResult<Vec<ConflictView>> {
    let keys: Vec<_> = rows
        .iter()
        .filter_map(|row| row.subject.strip_prefix("skill:"))
        .map(|id| (SKILL.to_owned(), id.to_owned()))
        .collect();
    let items = store::market::load(state.store.readers(), &keys).await;
    let items = items.map_err(|error| ApiError::internal(&error))?;
    let versions: HashMap<String, i64> =
        items.into_iter().map(|item| (format!("skill:{}", item.id), item.version)).collect();
    rows.into_iter()
        .map(|row| {
            let version = versions.get(&row.subject).copied();
            view(row, version).map_err(|error| ApiError::internal(&error))
        })
        .collect()
}

fn view(row: conflict::Model, current_version: Option<i64>) -> serde_json::Result<ConflictView> {
    let verdict: Conflict = serde_json::from_str(&row.verdict)?;
    let is_open = verdict.is_open();
    // Of ratings upstream has one and no other.
    let is_rating = row.subject.starts_with("rating:");
    let current_version = current_version.or(is_rating.then_some(verdict.remote.version));
    Ok(ConflictView {
        conflict_id: row.id,
        subject: row.subject,
        user_id: row.user_id,
        status: row.status,
        conflict_type: verdict.conflict_type.as_str(),
        severity: row.severity,
        fields: serde_json::to_value(&verdict.fields)?,
        base: serde_json::to_value(&verdict.base)?,
        local: serde_json::to_value(&verdict.local)?,
        remote: serde_json::to_value(&verdict.remote)?,
        result: serde_json::to_value(&verdict.result)?,
        losers: serde_json::to_value(&verdict.losers)?,
        proposal: verdict.proposal,
        undecided: verdict.undecided,
        strategy: verdict.strategy.as_str(),
        decided_by: verdict.decided_by.word(),
        justification: verdict.justification,
        current_version,
        created_at: Timestamp::from_millis(row.created_at),
        decided_at: (!is_open).then_some(verdict.at),
        restored_at: row.restored_at.map(Timestamp::from_millis),
    })
}
