//! A local edit against what upstream says now.

use serde_json::Value;
use tidegate_entity::market_item::Kind;
use tidegate_entity::{conflict, market_item, sync_state};
use tidegate_protocol::entry::ConflictStatus;
use tidegate_protocol::time::Timestamp;

use crate::ingest::market::item::{self, Before};
use crate::ingest::market::rule;
use crate::ingest::unit::UnitOfWork;
use crate::resolve::conflict::Conflict;
use crate::resolve::rules::{ItemKind, Strategy};
use crate::resolve::side::{Base, Edits, Origin, Side};
use crate::resolve::{Policy, Verdict};
use crate::store::market::shown::editors;

/// Who upstream is in conflicts.
pub(super) const UPSTREAM: &str = "upstream";

/// What an item becomes.
#[derive(Debug)]
pub(super) struct Weighed {
    /// The effective value.
    pub(super) after: Option<Value>,
    /// Its version, if it differs from the one before.
    pub(super) version: i64,
    /// The row of the verdict, where both sides had changed.
    pub(super) conflict: Option<conflict::Model>,
    /// The verdict in it.
    verdict: Option<Conflict>,
    /// What upstream has.
    remote: Option<Value>,
    /// Whether the local edit goes on standing on what upstream has now.
    is_edited: bool,
}

impl Weighed {
    /// Stores what upstream has and what remains of the local edit, on the
    /// row that is published already.
    pub(super) fn store(&self, unit: &mut UnitOfWork, row: &mut market_item::Model) {
        row.remote_data = item::text(self.remote.as_ref());
        if self.is_edited {
            row.base_version = Some(row.version);
            row.base_data.clone_from(&row.remote_data);
        } else {
            forget_edit(row);
        }
        if let Some(conflict) = &self.conflict {
            if conflict.status == ConflictStatus::Open {
                row.conflict_id = Some(conflict.id.clone());
            }
            rule::tell(unit, conflict);
            if let Some(found) = self.verdict.clone() {
                rule::count(unit, found);
            }
            unit.rows.put::<conflict::Entity>(conflict.clone());
        }
    }
}

/// The item is what upstream says.
pub(super) fn forget_edit(row: &mut market_item::Model) {
    row.base_version = None;
    row.base_data = None;
    row.edited_by = None;
    row.editors = None;
    row.edited_at = None;
}

/// Editors of one item that are remembered: the newest.
const EDITORS_MAX: usize = 100;

/// Somebody edits the item, beside those whose edits are in it already.
pub(super) fn note_editor(row: &mut market_item::Model, editor: &str) {
    let mut known = editors(row);
    known.retain(|other| other != editor);
    known.push(editor.to_owned());
    let from = known.len().saturating_sub(EDITORS_MAX);
    row.editors = item::text(Some(&known[from..].into()));
    row.edited_by = Some(editor.to_owned());
}

/// The kind of item a row is, for its rules.
pub(super) fn item_kind(row: &market_item::Model) -> ItemKind<'static> {
    match row.kind {
        Kind::Skill => ItemKind::Skill,
        Kind::Category => ItemKind::Category,
    }
}

/// Weighs what upstream has now against the local edit, if there is one.
pub(super) fn weigh(
    unit: &UnitOfWork,
    row: &market_item::Model,
    before: &Before,
    remote: Option<Value>,
    said_at: Timestamp,
) -> Weighed {
    let next = row.version + 1;
    let Some(base_version) = row.base_version else {
        let after = remote.clone();
        return Weighed {
            after,
            version: next,
            conflict: None,
            verdict: None,
            remote,
            is_edited: false,
        };
    };
    let base = Base { version: base_version, data: item::parsed(row.base_data.as_deref()) };
    let local = Side {
        version: row.version,
        data: before.value.clone(),
        edited_at: Timestamp::from_millis(row.edited_at.unwrap_or_default()),
        source_id: row.edited_by.clone().unwrap_or_default(),
    };
    let remote_side = Side {
        version: next,
        data: remote.clone(),
        edited_at: said_at,
        source_id: UPSTREAM.to_owned(),
    };
    let rules = unit.options.rules.of(item_kind(row));
    let strategy = strategy_now(unit).unwrap_or(rules.strategy);
    let policy = Policy { rules, strategy, at: unit.now };
    let edits = Edits { base: Some(&base), local: &local, remote: &remote_side };
    let verdict = crate::resolve::resolve(edits, policy);
    let is_edited = match &verdict {
        Verdict::NoConflict(applied) => applied.from == Origin::Local,
        Verdict::Resolved(conflict) => {
            !crate::resolve::is_same(conflict.result.data.as_ref(), remote.as_ref())
        }
        Verdict::Open(_) => false,
    };
    let after = verdict.data().cloned();
    let mut found = verdict.conflict().cloned();
    if let Some(found) = &mut found
        && crate::resolve::is_same(before.value.as_ref(), after.as_ref())
    {
        // Nothing is published, so that no number is used up.
        found.result.version = row.version;
    }
    Weighed {
        after,
        version: verdict.version().max(next),
        conflict: found.as_ref().map(|found| {
            let subject = format!("{}:{}", row.kind, row.id);
            rule::new_row(unit, &subject, row.edited_by.as_deref(), &editors(row), found)
        }),
        verdict: found,
        remote,
        is_edited,
    }
}

/// The strategy that an operator set at run time.
fn strategy_now(unit: &UnitOfWork) -> Option<Strategy> {
    let state = unit.rows.all::<sync_state::Entity>().next()?;
    state.strategy.as_deref()?.parse().ok()
}
