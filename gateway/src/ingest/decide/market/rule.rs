//! Conflicts: their rows, what devices are told of them, and what a person
//! makes of them.

use serde_json::Value;
use tidegate_entity::{audit_log, conflict, market_item};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::entry::kind;
use tidegate_protocol::time::Timestamp;
use uuid::Uuid;

use crate::config::check::MARKETPLACE;
use crate::error::ApiError;
use crate::ingest::decide::market::edit;
use crate::ingest::decide::market::item::{self, Draft};
use crate::ingest::decide::market::{rating, weigh};
use crate::ingest::market::{Ruling, RulingError, Word};
use crate::ingest::working::{Needs, Working, user_stream};
use crate::journal::snapshot::conflict_body;
use crate::resolve::conflict::{Conflict, Outcome};
use crate::resolve::person::{Actor, Refused, restore, settle};
use crate::resolve::side::Side;
use crate::store::conflict::{OPEN, RESOLVED, editors};
use crate::store::market::{ItemKey, SKILL};

pub(crate) fn needs(ruling: &Ruling, needs: &mut Needs) {
    needs.streams.insert(MARKETPLACE.to_owned());
    needs.conflicts.insert(ruling.conflict_id.clone());
}

/// The item that a subject names.
pub(crate) fn item_of(subject: &str) -> Option<ItemKey> {
    let id = subject.strip_prefix("skill:")?;
    Some((SKILL.to_owned(), id.to_owned()))
}

/// The row of a new verdict.
pub(super) fn new_row(
    working: &Working,
    subject: &str,
    user_id: Option<&str>,
    editors: &[String],
    found: &Conflict,
) -> conflict::Model {
    let now = working.now.millis();
    conflict::Model {
        id: Uuid::now_v7().to_string(),
        subject: subject.to_owned(),
        user_id: user_id.map(str::to_owned),
        editors: item::text(Some(&editors.into())),
        status: status(found).to_owned(),
        severity: found.severity.as_str().to_owned(),
        verdict: text(found),
        created_at: now,
        resolved_at: (!found.is_open()).then_some(now),
        restored_at: None,
    }
}

fn status(conflict: &Conflict) -> &'static str {
    if conflict.is_open() { OPEN } else { RESOLVED }
}

/// Notes in the row that the conflict was decided.
pub(super) fn resolve(working: &Working, row: &mut conflict::Model, decided: &Conflict) {
    RESOLVED.clone_into(&mut row.status);
    decided.severity.as_str().clone_into(&mut row.severity);
    row.verdict = text(decided);
    row.resolved_at = Some(working.now.millis());
}

pub(super) fn text(conflict: &Conflict) -> String {
    serde_json::to_string(conflict).expect("a conflict serialises: its keys are text")
}

/// Shows in an open conflict what upstream has now, and tells the editors: they
/// decide on that, not on what it was when the conflict was found.
pub(super) fn follow(working: &mut Working, item: &market_item::Model, said_at: Timestamp) {
    let Some(id) = &item.conflict_id else { return };
    let Ok((mut row, found)) = look_up(working, id) else { return };
    if !found.is_open() {
        return;
    }
    let remote = Side {
        version: item.version,
        data: item::parsed(item.data.as_deref()),
        edited_at: said_at,
        source_id: weigh::UPSTREAM.to_owned(),
    };
    let rules = working.options.rules.of(weigh::item_kind(item));
    let found = crate::resolve::person::follow(&found, remote, rules);
    found.severity.as_str().clone_into(&mut row.severity);
    row.verdict = text(&found);
    tell(working, &row);
    working.keep_conflict(row);
}

/// Tells the devices of the users whose edits are in it of a new verdict.
pub(super) fn tell(working: &mut Working, row: &conflict::Model) {
    tell_with(working, row, None);
}

/// The same after a person's word, which may have published a version that the
/// verdict does not know: a restore leaves it as it was.
pub(super) fn tell_published(working: &mut Working, row: &conflict::Model, version: i64) {
    tell_with(working, row, Some(version));
}

fn tell_with(working: &mut Working, row: &conflict::Model, version: Option<i64>) {
    let Some(mut body) = conflict_body(row) else { return };
    body.version = version.unwrap_or(body.version);
    for user_id in editors(row) {
        let append = item::append(&user_stream(&user_id), kind::CONFLICT, &body);
        working.changes.appends.push(append);
    }
}

/// Carries out a person's word; the conflict after it.
pub(crate) fn rule(
    working: &mut Working,
    ruling: &Ruling,
) -> Result<Box<conflict::Model>, RulingError> {
    let (mut row, found) = look_up(working, &ruling.conflict_id)?;
    if row.subject.starts_with("rating:") {
        return rating::rule(working, ruling, row, &found);
    }
    let item = subject(working, &row)?;
    let current = Side {
        version: item.version,
        data: item::parsed(item.data.as_deref()),
        edited_at: Timestamp::from_millis(item.updated_at),
        source_id: weigh::UPSTREAM.to_owned(),
    };
    let rules = working.options.rules.of(weigh::item_kind(&item)).clone();
    let actor = Actor { person: &ruling.actor, at: working.now };
    let (action, outcome) = match &ruling.word {
        Word::Settle(decision) => {
            let decided = settle(&found, &current, &rules, decision, actor)
                .map_err(|refused| refusal(refused, &current))?;
            if let Some(given) = &decision.data {
                let known = current.data.as_ref().or(found.local.data.as_ref());
                edit::check_given(given, known, &rules.owned_by_remote)?;
            }
            resolve(working, &mut row, &decided);
            working.changes.decided.push(found.strategy);
            ("conflict.resolve", decided.result)
        }
        Word::Restore(undo) => {
            if item.conflict_id.is_some() {
                let message = "an open conflict of this item has to be resolved first";
                return Err(ApiError::new(ErrorCode::ConflictOpen, message).into());
            }
            let next = restore(&found, &current, &rules, *undo, actor)
                .map_err(|refused| refusal(refused, &current))?;
            row.restored_at = Some(working.now.millis());
            ("conflict.restore", next.outcome)
        }
    };
    if item::is_too_large(&item, outcome.data.as_ref()) {
        let message = "the result is larger than 128 KiB";
        return Err(ApiError::new(ErrorCode::TooLarge, message).into());
    }
    let version = put(working, item, &row, &outcome, &ruling.actor);
    let detail = serde_json::json!({ "conflict_id": row.id });
    audit(working, &ruling.actor, action, &row.subject, &detail);
    tell_published(working, &row, version);
    working.keep_conflict(row.clone());
    Ok(Box::new(row))
}

fn missing() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "there is no such conflict")
}

fn look_up(working: &Working, id: &str) -> Result<(conflict::Model, Conflict), ApiError> {
    let row = working.conflicts.get(id).cloned().ok_or_else(missing)?;
    let found: Conflict =
        serde_json::from_str(&row.verdict).map_err(|error| ApiError::internal(&error))?;
    Ok((row, found))
}

/// The item that a conflict is about.
fn subject(working: &Working, row: &conflict::Model) -> Result<market_item::Model, ApiError> {
    let key = item_of(&row.subject).ok_or_else(|| {
        ApiError::new(ErrorCode::NotSupported, "conflicts of this kind are only kept")
    })?;
    working.market.get(&key).cloned().ok_or_else(missing)
}

/// Publishes what a person decided; where it is not what upstream has, it is
/// that person's edit. The item's version after it.
fn put(
    working: &mut Working,
    mut item: market_item::Model,
    row: &conflict::Model,
    outcome: &Outcome,
    actor: &str,
) -> i64 {
    let draft = Draft::of(&item);
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
        item.edited_at = Some(working.now.millis());
    }
    let version = outcome.version.max(item.version + 1);
    item::publish(working, &mut item, &draft, outcome.data.as_ref(), version);
    let published = item.version;
    working.keep_item(item);
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
    working: &mut Working,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &Value,
) {
    working.changes.audit.push(audit_log::Model {
        id: Uuid::now_v7().to_string(),
        at: working.now.millis(),
        actor: actor.to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail: Some(detail.to_string()),
    });
}
