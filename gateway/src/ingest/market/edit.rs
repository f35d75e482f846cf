//! A local edit of a skill.

use std::collections::BTreeSet;

use sea_orm::DbErr;
use serde_json::Value;
use tidegate_entity::market_item;
use tidegate_protocol::code::ErrorCode;

use crate::config::check::MARKETPLACE;
use crate::error::{ApiError, ApiResult};
use crate::ingest::IngestOptions;
use crate::ingest::market::SkillEdit;
use crate::ingest::market::item::{self, Before};
use crate::ingest::market::observe::skill_key;
use crate::ingest::market::{locate_editors, rule, weigh};
use crate::ingest::unit::{ReadSet, UnitOfWork};
use crate::ingest::write::Write;
use crate::resolve::patch::patched;
use crate::resolve::rules::ItemKind;
use crate::store::write::Transaction;

/// When it makes sense to try again what waits for upstream.
const UNCONFIRMED_RETRY_S: u32 = 60;

/// Fields that say which skill it is.
const IDENTITY: [&str; 2] = ["skill_id", "id"];

impl Write for SkillEdit {
    type Draft = market_item::Model;
    type Answer = market_item::Model;

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        reads.streams.insert(MARKETPLACE.to_owned());
        reads.rows.want::<market_item::Entity>(skill_key(&self.id));
    }

    async fn locate(&self, tx: &Transaction, reads: &mut ReadSet) -> Result<(), DbErr> {
        locate_editors(tx, reads, &[skill_key(&self.id)]).await
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<market_item::Model> {
        edit(unit, self)
    }

    fn answer(&self, _: &mut UnitOfWork, item: market_item::Model) -> ApiResult<Self::Answer> {
        Ok(item)
    }
}

/// Puts the patch on the effective value; the item after it.
fn edit(unit: &mut UnitOfWork, edit: &SkillEdit) -> ApiResult<market_item::Model> {
    let found = unit.rows.get::<market_item::Entity>(&skill_key(&edit.id)).cloned();
    let Some((mut row, before)) =
        found.and_then(|row| Some((item::parsed(row.data.as_deref())?, row))).map(|(b, r)| (r, b))
    else {
        return Err(ApiError::new(ErrorCode::NotFound, "there is no such skill"));
    };
    check(unit, &row, edit)?;
    let after = patched(&before, &Value::Object(edit.patch.clone()))
        .map_err(|error| ApiError::internal(&error))?;
    check_result(&row, &after)?;
    if crate::resolve::is_same(Some(&before), Some(&after)) {
        return Ok(row);
    }
    let standing = Before::of(&row);
    let remote = item::parsed(row.remote_data.as_deref());
    if crate::resolve::is_same(remote.as_ref(), Some(&after)) {
        weigh::forget_edit(&mut row);
    } else {
        if row.base_version.is_none() {
            row.base_version = Some(row.version);
            row.base_data.clone_from(&row.remote_data);
        }
        weigh::note_editor(&mut row, &edit.editor);
        row.edited_at = Some(unit.now.millis());
    }
    let version = row.version + 1;
    item::publish(unit, &mut row, &standing, Some(&after), version);
    let fields: Vec<&String> = edit.patch.keys().collect();
    let detail = serde_json::json!({ "version": version, "fields": fields });
    rule::audit(unit, &edit.editor, "skill.edit", &format!("skill:{}", edit.id), &detail);
    unit.rows.put::<market_item::Entity>(row.clone());
    Ok(row)
}

fn check(unit: &UnitOfWork, row: &market_item::Model, edit: &SkillEdit) -> ApiResult<()> {
    if edit.expected_version.is_some_and(|version| version != row.version) {
        let message = "the skill is not at the version the edit was made on";
        return Err(ApiError::new(ErrorCode::VersionConflict, message)
            .with_current_version("if-match", row.version));
    }
    if row.conflict_id.is_some() {
        let message = "an open conflict of this skill has to be resolved first";
        return Err(ApiError::new(ErrorCode::ConflictOpen, message));
    }
    if row.withdrawn_at.is_some() {
        let message = "the marketplace has not confirmed this skill for too long";
        return Err(ApiError::unavailable(message).with_retry_after(UNCONFIRMED_RETRY_S));
    }
    let owned = &unit.options.rules.of(ItemKind::Skill).owned_by_remote;
    for field in edit.patch.keys() {
        if IDENTITY.contains(&field.as_str()) || owned.contains(field) {
            return Err(ApiError::invalid(field, "only the marketplace writes this field"));
        }
    }
    Ok(())
}

/// A skill without a name, or with a blank one, would not be taken from
/// upstream either.
fn check_name(skill: &Value, field: &str) -> ApiResult<()> {
    let name = skill.get("name").and_then(Value::as_str).unwrap_or_default();
    if name.trim().is_empty() {
        return Err(ApiError::invalid(field, "a text that is not blank is required"));
    }
    Ok(())
}

/// A value that a person gives for a skill, which stands for `known`: it
/// changes no more of it than an edit may.
pub(super) fn check_given(
    given: &Value,
    known: Option<&Value>,
    owned: &BTreeSet<String>,
) -> ApiResult<()> {
    for field in IDENTITY.into_iter().chain(owned.iter().map(String::as_str)) {
        let before = known.and_then(|known| known.get(field));
        if !crate::resolve::is_same(given.get(field), before) {
            let reason = "only the marketplace writes this field";
            return Err(ApiError::invalid(format!("data.{field}"), reason));
        }
    }
    check_name(given, "data.name")
}

fn check_result(row: &market_item::Model, after: &Value) -> ApiResult<()> {
    check_name(after, "name")?;
    if item::is_too_large(row, Some(after)) {
        return Err(ApiError::new(ErrorCode::TooLarge, "the skill is larger than 128 KiB"));
    }
    Ok(())
}
