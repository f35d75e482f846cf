//! Conflicts: their rows, what devices are told of them, and what a person
//! makes of them.

use sea_orm::DbErr;
use serde_json::Value;
use tidegate_entity::market_item::Kind;
use tidegate_entity::{audit_log, conflict, market_item, skill_rating};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::entry::{ConflictStatus, kind};
use tidegate_protocol::time::Timestamp;
use uuid::Uuid;

use crate::config::check::MARKETPLACE;
use crate::error::{ApiError, ApiResult};
use crate::ingest::IngestOptions;
use crate::ingest::market::edit;
use crate::ingest::market::item::{self, Before};
use crate::ingest::market::{Ruling, RulingError, Word, locate_editors};
use crate::ingest::market::{rating, weigh};
use crate::ingest::unit::{ReadSet, UnitOfWork, user_stream};
use crate::ingest::write::Write;
use crate::journal::snapshot::conflict_body;
use crate::resolve::conflict::{Conflict, Outcome};
use crate::resolve::person::{Actor, Refused, restore, settle};
use crate::resolve::rules::Strategy;
use crate::resolve::side::Side;
use crate::store;
use crate::store::conflict::{Wanted, editors};
use crate::store::market::ItemKey;
use crate::store::write::Transaction;

impl Write for Ruling {
    type Draft = Result<conflict::Model, RulingError>;
    type Answer = Result<conflict::Model, RulingError>;

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        reads.streams.insert(MARKETPLACE.to_owned());
        reads.rows.want::<conflict::Entity>(Wanted::Id(self.conflict_id.clone()));
    }

    /// Finds out what the conflict is about and whom it concerns.
    async fn locate(&self, tx: &Transaction, reads: &mut ReadSet) -> Result<(), DbErr> {
        let mut keys = Vec::new();
        for row in store::conflict::load(tx, std::slice::from_ref(&self.conflict_id)).await? {
            reads.streams.extend(editors(&row).iter().map(|user_id| user_stream(user_id)));
            if let Some(key) = rating::of_subject(&row) {
                reads.rows.want::<skill_rating::Entity>(key);
            }
            keys.extend(item_of(&row.subject));
        }
        for key in &keys {
            reads.rows.want::<market_item::Entity>(key.clone());
        }
        locate_editors(tx, reads, &keys).await
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<Self::Draft> {
        Ok(rule(unit, self))
    }

    fn answer(&self, _: &mut UnitOfWork, ruled: Self::Draft) -> ApiResult<Self::Answer> {
        Ok(ruled)
    }
}

/// Counts a conflict that was found, once it is committed.
pub(super) fn count(unit: &mut UnitOfWork, found: Conflict) {
    unit.after_commit(move |metrics| {
        metrics.conflicts_detected.of(found.conflict_type).inc();
        if !found.is_open() {
            metrics.conflicts_resolved.of(found.strategy).inc();
        }
    });
}

/// Counts a conflict that a person decided, once it is committed.
pub(super) fn count_decided(unit: &mut UnitOfWork, strategy: Strategy) {
    unit.after_commit(move |metrics| metrics.conflicts_resolved.of(strategy).inc());
}

/// The item that a subject names.
fn item_of(subject: &str) -> Option<ItemKey> {
    let id = subject.strip_prefix("skill:")?;
    Some((Kind::Skill, id.to_owned()))
}

/// The row of a new verdict.
pub(super) fn new_row(
    unit: &UnitOfWork,
    subject: &str,
    user_id: Option<&str>,
    editors: &[String],
    found: &Conflict,
) -> conflict::Model {
    let now = unit.now.millis();
    conflict::Model {
        id: Uuid::now_v7().to_string(),
        subject: subject.to_owned(),
        user_id: user_id.map(str::to_owned),
        editors: item::text(Some(&editors.into())),
        status: status(found),
        severity: found.severity,
        verdict: text(found),
        created_at: now,
        resolved_at: (!found.is_open()).then_some(now),
        restored_at: None,
    }
}

fn status(conflict: &Conflict) -> ConflictStatus {
    if conflict.is_open() { ConflictStatus::Open } else { ConflictStatus::Resolved }
}

/// Notes in the row that the conflict was decided.
pub(super) fn resolve(unit: &UnitOfWork, row: &mut conflict::Model, decided: &Conflict) {
    row.status = ConflictStatus::Resolved;
    row.severity = decided.severity;
    row.verdict = text(decided);
    row.resolved_at = Some(unit.now.millis());
}

pub(super) fn text(conflict: &Conflict) -> String {
    serde_json::to_string(conflict).expect("a conflict serialises: its keys are text")
}

/// Shows in an open conflict what upstream has now, and tells the editors: they
/// decide on that, not on what it was when the conflict was found.
pub(super) fn follow(unit: &mut UnitOfWork, item: &market_item::Model, said_at: Timestamp) {
    let Some(id) = &item.conflict_id else { return };
    let Ok((mut row, found)) = look_up(unit, id) else { return };
    if !found.is_open() {
        return;
    }
    let remote = Side {
        version: item.version,
        data: item::parsed(item.data.as_deref()),
        edited_at: said_at,
        source_id: weigh::UPSTREAM.to_owned(),
    };
    let rules = unit.options.rules.of(weigh::item_kind(item));
    let found = crate::resolve::person::follow(&found, remote, rules);
    row.severity = found.severity;
    row.verdict = text(&found);
    tell(unit, &row);
    unit.rows.put::<conflict::Entity>(row);
}

/// Tells the devices of the users whose edits are in it of a new verdict.
pub(super) fn tell(unit: &mut UnitOfWork, row: &conflict::Model) {
    tell_with(unit, row, None);
}

/// The same after a person's word, which may have published a version that the
/// verdict does not know: a restore leaves it as it was.
pub(super) fn tell_published(unit: &mut UnitOfWork, row: &conflict::Model, version: i64) {
    tell_with(unit, row, Some(version));
}

fn tell_with(unit: &mut UnitOfWork, row: &conflict::Model, version: Option<i64>) {
    let Some(mut body) = conflict_body(row) else { return };
    body.version = version.unwrap_or(body.version);
    for user_id in editors(row) {
        let append = item::entry(&user_stream(&user_id), kind::CONFLICT, &body);
        unit.append(append);
    }
}

/// Carries out a person's word; the conflict after it.
fn rule(unit: &mut UnitOfWork, ruling: &Ruling) -> Result<conflict::Model, RulingError> {
    let (mut row, found) = look_up(unit, &ruling.conflict_id)?;
    if row.subject.starts_with("rating:") {
        return rating::rule(unit, ruling, row, &found);
    }
    let item = subject(unit, &row)?;
    let current = Side {
        version: item.version,
        data: item::parsed(item.data.as_deref()),
        edited_at: Timestamp::from_millis(item.updated_at),
        source_id: weigh::UPSTREAM.to_owned(),
    };
    let rules = unit.options.rules.of(weigh::item_kind(&item)).clone();
    let actor = Actor { person: &ruling.actor, at: unit.now };
    let (action, outcome) = match &ruling.word {
        Word::Settle(decision) => {
            let decided = settle(&found, &current, &rules, decision, actor)
                .map_err(|refused| refusal(refused, &current))?;
            if let Some(given) = &decision.data {
                let known = current.data.as_ref().or(found.local.data.as_ref());
                edit::check_given(given, known, &rules.owned_by_remote)?;
            }
            resolve(unit, &mut row, &decided);
            count_decided(unit, found.strategy);
            ("conflict.resolve", decided.result)
        }
        Word::Restore(undo) => {
            if item.conflict_id.is_some() {
                let message = "an open conflict of this item has to be resolved first";
                return Err(ApiError::new(ErrorCode::ConflictOpen, message).into());
            }
            let next = restore(&found, &current, &rules, *undo, actor)
                .map_err(|refused| refusal(refused, &current))?;
            row.restored_at = Some(unit.now.millis());
            ("conflict.restore", next.outcome)
        }
    };
    if item::is_too_large(&item, outcome.data.as_ref()) {
        let message = "the result is larger than 128 KiB";
        return Err(ApiError::new(ErrorCode::TooLarge, message).into());
    }
    let version = put(unit, item, &row, &outcome, &ruling.actor);
    let detail = serde_json::json!({ "conflict_id": row.id });
    audit(unit, &ruling.actor, action, &row.subject, &detail);
    tell_published(unit, &row, version);
    unit.rows.put::<conflict::Entity>(row.clone());
    Ok(row)
}

fn missing() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "there is no such conflict")
}

fn look_up(unit: &UnitOfWork, id: &str) -> Result<(conflict::Model, Conflict), ApiError> {
    let row = unit.rows.get::<conflict::Entity>(&id.to_owned()).cloned().ok_or_else(missing)?;
    let found: Conflict =
        serde_json::from_str(&row.verdict).map_err(|error| ApiError::internal(&error))?;
    Ok((row, found))
}

/// The item that a conflict is about.
fn subject(unit: &UnitOfWork, row: &conflict::Model) -> Result<market_item::Model, ApiError> {
    let key = item_of(&row.subject).ok_or_else(|| {
        ApiError::new(ErrorCode::NotSupported, "conflicts of this kind are only kept")
    })?;
    unit.rows.get::<market_item::Entity>(&key).cloned().ok_or_else(missing)
}

/// Publishes what a person decided; where it is not what upstream has, it is
/// that person's edit. The item's version after it.
fn put(
    unit: &mut UnitOfWork,
    mut item: market_item::Model,
    row: &conflict::Model,
    outcome: &Outcome,
    actor: &str,
) -> i64 {
    let standing = Before::of(&item);
    let remote = item::parsed(item.remote_data.as_deref());
    if item.conflict_id.as_ref() == Some(&row.id) {
        item.conflict_id = None;
    }
    if crate::resolve::is_same(remote.as_ref(), outcome.data.as_ref()) {
        weigh::forget_edit(&mut item);
    } else {
        item.base_version = Some(item.version);
        item.base_data.clone_from(&item.remote_data);
        // What was decided may hold what each of them wrote.
        item.editors = item::text(Some(&editors(row).into()));
        weigh::note_editor(&mut item, actor);
        item.edited_at = Some(unit.now.millis());
    }
    let version = outcome.version.max(item.version + 1);
    item::publish(unit, &mut item, &standing, outcome.data.as_ref(), version);
    let published = item.version;
    unit.rows.put::<market_item::Entity>(item);
    published
}

pub(super) fn refusal(refused: Refused, current: &Side) -> RulingError {
    let message = refused.to_string();
    let error = match refused {
        Refused::Moved { .. } => return RulingError::Moved(Box::new(current.clone())),
        Refused::NotOpen | Refused::StillOpen | Refused::NoLoser | Refused::TooOld => {
            ApiError::new(ErrorCode::ConflictState, message)
        }
        Refused::Incomplete(_) => ApiError::invalid("choice", message),
        Refused::Undecided(_) => ApiError::invalid("fields", message),
        Refused::Field(field) => ApiError::invalid(format!("fields.{field}"), message),
    };
    RulingError::Refused(error)
}

/// Notes who did what, in the transaction that does it.
pub(super) fn audit(
    unit: &mut UnitOfWork,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &Value,
) {
    let row = audit_log::Model {
        id: Uuid::now_v7().to_string(),
        at: unit.now.millis(),
        actor: actor.to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail: Some(detail.to_string()),
    };
    unit.rows.put::<audit_log::Entity>(row);
}
