//! Conflicts as the API shows them.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;
use tidegate_entity::conflict;
use tidegate_entity::market_item::Kind;
use tidegate_protocol::entry::{ConflictStatus, Severity};
use tidegate_protocol::rest::ErrorDetail;
use tidegate_protocol::time::Timestamp;
use utoipa::ToSchema;

use crate::error::{ApiError, ApiResult};
use crate::resolve::conflict::{Conflict, ConflictType, Disputed, Outcome};
use crate::resolve::rules::Strategy;
use crate::resolve::side::{Base, Origin, Side};
use crate::state::AppState;
use crate::store;

/// A conflict as the API shows it: both sides whole.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ConflictView {
    conflict_id: String,
    /// What it is about: `skill:{id}`, `rating:{skill_id}:{user_id}`.
    subject: String,
    /// Who edited last.
    user_id: Option<String>,
    /// Everybody whose edit is in it.
    editors: Vec<String>,
    /// Whether somebody still has to decide.
    status: ConflictStatus,
    /// What the sides disagree about.
    conflict_type: ConflictType,
    /// How grave that is.
    severity: Severity,
    /// The fields in which the sides differ.
    fields: Vec<Disputed>,
    /// What both started from; null where that is not known.
    base: Option<Base>,
    /// The local edit.
    local: Side,
    /// What upstream had.
    remote: Side,
    /// The effective value; upstream's while it is open.
    result: Outcome,
    /// Sides that are not, or not wholly, in the result: they can be restored.
    losers: Vec<Origin>,
    /// While it is open: what merging would give.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    proposal: Option<Value>,
    /// While it is open: fields that only a person can decide.
    undecided: Vec<String>,
    /// How it was, or is to be, decided.
    strategy: Strategy,
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

/// The published state, which another one than the caller expected.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Present {
    pub(super) version: i64,
    /// Null: deleted.
    pub(super) data: Option<Value>,
}

/// Why a word on a conflict was refused.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct RulingRefused {
    pub(super) error: ErrorDetail,
    /// With `remote_moved`: the present state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remote: Option<Present>,
}

/// The rows as the API shows them.
pub(super) async fn views(
    state: &AppState,
    rows: Vec<conflict::Model>,
) -> ApiResult<Vec<ConflictView>> {
    let keys: Vec<_> = rows
        .iter()
        .filter_map(|row| row.subject.strip_prefix("skill:"))
        .map(|id| (Kind::Skill, id.to_owned()))
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
        editors: store::conflict::editors(&row),
        conflict_id: row.id,
        subject: row.subject,
        user_id: row.user_id,
        status: row.status,
        conflict_type: verdict.conflict_type,
        severity: verdict.severity,
        fields: verdict.fields,
        base: verdict.base,
        local: verdict.local,
        remote: verdict.remote,
        result: verdict.result,
        losers: verdict.losers,
        proposal: verdict.proposal,
        undecided: verdict.undecided,
        strategy: verdict.strategy,
        decided_by: verdict.decided_by.word(),
        justification: verdict.justification,
        current_version,
        created_at: Timestamp::from_millis(row.created_at),
        decided_at: (!is_open).then_some(verdict.at),
        restored_at: row.restored_at.map(Timestamp::from_millis),
    })
}
