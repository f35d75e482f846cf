//! What a person does with a conflict: decide an open one, undo a decided one.
//!
//! Both are pure. Both say which remote the person saw, and are refused with
//! the present one when it moved in between.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_protocol::time::Timestamp;
use utoipa::ToSchema;

use crate::resolve::conflict::{Conflict, ConflictType, DecidedBy, Outcome, severity};
use crate::resolve::merge::{Decide, Trio, put};
use crate::resolve::rules::KindRules;
use crate::resolve::side::{Edits, Origin, Side};
use crate::resolve::{Policy, Verdict, local_wins, newest, number, resolve};

/// How long a loser can be brought back.
pub const RESTORE_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// What a person chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// Local's changes, on current remote.
    Local,
    /// Remote as it is.
    Remote,
    /// The value that comes along, or what merging by the rules gives.
    Merged,
    /// The named fields from the named sides, the rest merged by the rules.
    Fields,
}

/// A person's decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// What was chosen.
    pub choice: Choice,
    /// With `merged`: the value, if not what merging gives.
    #[serde(default)]
    pub data: Option<Value>,
    /// With `fields`: which field is taken from where.
    #[serde(default)]
    pub fields: BTreeMap<String, Origin>,
    /// Why.
    #[serde(default)]
    pub justification: Option<String>,
    /// The version of remote that the person saw.
    pub expected_remote_version: i64,
}

/// Why a decision is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Remote moved since the person looked.
    #[error("remote moved to version {current}")]
    Moved {
        /// Its present version.
        current: i64,
    },
    /// It was decided before.
    #[error("the conflict is not open")]
    NotOpen,
    /// It was not decided yet.
    #[error("the conflict is open")]
    StillOpen,
    /// The decision does not say what its choice needs, or more than that.
    #[error("the decision is not complete: {0}")]
    Incomplete(&'static str),
    /// Fields that the decision leaves open.
    #[error("these fields need a decision: {}", .0.join(", "))]
    Undecided(Vec<String>),
    /// A field that is not in conflict, or two sides for one group.
    #[error("`{0}` cannot be chosen")]
    Field(String),
    /// This side lost nothing.
    #[error("this side did not lose")]
    NoLoser,
    /// Longer ago than [`RESTORE_MS`].
    #[error("the conflict is older than 30 days")]
    TooOld,
}

/// Who acts, and when by the gateway's clock.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// The person.
    pub person: &'a str,
    /// The time.
    pub at: Timestamp,
}

/// Decides an open conflict on the present state of remote. Gives the row as
/// it is after the decision: its `remote` is the present one, its `result` the
/// value to publish.
pub fn settle(
    conflict: &Conflict,
    current: &Side,
    rules: &KindRules,
    decision: &Decision,
    actor: Actor<'_>,
) -> Result<Conflict, Refused> {
    if !conflict.is_open() {
        return Err(Refused::NotOpen);
    }
    expect_version(current, decision.expected_remote_version)?;
    check_shape(decision)?;
    let edits = Edits { remote: current, ..conflict.edits() };
    let trio = Trio::new(edits, rules);
    let data = match decision.choice {
        Choice::Local => local_wins(&trio),
        Choice::Remote => current.data.clone(),
        Choice::Merged if decision.data.is_some() => decision.data.clone(),
        Choice::Merged | Choice::Fields => merged(edits, &trio, decision, actor.at)?,
    };
    let result = number(edits, data);
    let is_lost = |origin: &Origin| !trio.keeps(*origin, result.data.as_ref());
    Ok(Conflict {
        fields: trio.disputed(),
        remote: current.clone(),
        losers: [Origin::Local, Origin::Remote].into_iter().filter(is_lost).collect(),
        result,
        proposal: None,
        undecided: Vec::new(),
        decided_by: DecidedBy::Person(actor.person.to_owned()),
        justification: decision.justification.clone(),
        at: actor.at,
        ..conflict.clone()
    })
}

/// An open conflict after remote moved on: it shows the present one, and what
/// merging with that would give. It stays open, also where nothing would be in
/// conflict any more: a person was asked, and decides.
pub fn follow(conflict: &Conflict, remote: Side, rules: &KindRules) -> Conflict {
    let result = Outcome { version: remote.version, data: remote.data.clone() };
    let edits = Edits { remote: &remote, ..conflict.edits() };
    let policy = Policy { rules, strategy: conflict.strategy, at: conflict.at };
    if let Verdict::Open(again) = resolve(edits, policy) {
        return Conflict { result, ..*again };
    }
    let fields = Trio::new(edits, rules).disputed();
    Conflict {
        conflict_type: ConflictType::of(&fields, &rules.types),
        severity: severity(&fields, &rules.severity),
        fields,
        proposal: None,
        undecided: Vec::new(),
        result,
        remote,
        ..conflict.clone()
    }
}

fn expect_version(current: &Side, expected: i64) -> Result<(), Refused> {
    if current.version == expected {
        Ok(())
    } else {
        Err(Refused::Moved { current: current.version })
    }
}

fn check_shape(decision: &Decision) -> Result<(), Refused> {
    let (has_data, has_fields) = (decision.data.is_some(), !decision.fields.is_empty());
    match decision.choice {
        Choice::Fields if !has_fields => Err(Refused::Incomplete("`fields` names no field")),
        Choice::Merged if decision.data.as_ref().is_some_and(|data| !data.is_object()) => {
            Err(Refused::Incomplete("`data` is not an object"))
        }
        choice if has_data && choice != Choice::Merged => {
            Err(Refused::Incomplete("`data` goes with `merged` only"))
        }
        choice if has_fields && choice != Choice::Fields => {
            Err(Refused::Incomplete("`fields` goes with `fields` only"))
        }
        _ => Ok(()),
    }
}

fn merged(
    edits: Edits<'_>,
    trio: &Trio<'_>,
    decision: &Decision,
    at: Timestamp,
) -> Result<Option<Value>, Refused> {
    if trio.local.is_none() || trio.remote.is_none() {
        return match decision.choice {
            Choice::Fields => Err(Refused::Incomplete("one side is deleted: choose a side")),
            _ => Ok(None),
        };
    }
    check_picks(trio, &decision.fields)?;
    let decide = Decide::Picks { picks: &decision.fields, newest: newest(edits, at) };
    let merged = trio.merge(decide).ok_or(Refused::Incomplete("the sides have no fields"))?;
    if merged.undecided.is_empty() {
        Ok(Some(merged.data))
    } else {
        Err(Refused::Undecided(merged.undecided))
    }
}

/// Only what is in conflict can be chosen, and a group from one side only.
fn check_picks(trio: &Trio<'_>, picks: &BTreeMap<String, Origin>) -> Result<(), Refused> {
    let disputed = disputed_units(trio.disputed().into_iter().map(|field| field.field), trio.rules);
    for (field, origin) in picks {
        let is_split = trio.rules.group(field).is_some_and(|group| {
            group.fields.iter().any(|other| picks.get(other).is_some_and(|pick| pick != origin))
        });
        if is_split || !disputed.contains(field) {
            return Err(Refused::Field(field.clone()));
        }
    }
    Ok(())
}

/// Fields with all that moves together with them.
fn disputed_units(fields: impl Iterator<Item = String>, rules: &KindRules) -> BTreeSet<String> {
    let mut units = BTreeSet::new();
    for field in fields {
        match rules.group(&field) {
            Some(group) => units.extend(group.fields.iter().cloned()),
            None => {
                units.insert(field);
            }
        }
    }
    units
}

/// Bringing back a loser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Undo {
    /// The side to bring back.
    pub loser: Origin,
    /// The version of remote that the person saw.
    pub expected_remote_version: i64,
}

/// The next edit of an item, made by a person on the present state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NextEdit {
    /// The version it is based on.
    pub base_version: i64,
    /// The value after it, with its number: the present one where nothing
    /// changes.
    pub outcome: Outcome,
    /// When, by the gateway's clock.
    pub edited_at: Timestamp,
    /// Who.
    pub source_id: String,
}

/// Brings back a loser: the fields that were in conflict become what they were
/// on its side. What was edited since in other fields stays, so that on an
/// item nobody touched since the result is the loser as it was.
pub fn restore(
    conflict: &Conflict,
    current: &Side,
    rules: &KindRules,
    undo: Undo,
    actor: Actor<'_>,
) -> Result<NextEdit, Refused> {
    if conflict.is_open() {
        return Err(Refused::StillOpen);
    }
    if !conflict.losers.contains(&undo.loser) {
        return Err(Refused::NoLoser);
    }
    if actor.at > conflict.at.plus_millis(RESTORE_MS) {
        return Err(Refused::TooOld);
    }
    expect_version(current, undo.expected_remote_version)?;
    let loser = conflict.edits().side(undo.loser);
    let data = restored(conflict, loser, current, rules);
    // The loser's own number counts among those that were used.
    let edits = Edits { local: loser, remote: current, base: conflict.base.as_ref() };
    Ok(NextEdit {
        base_version: current.version,
        outcome: number(edits, data),
        edited_at: actor.at,
        source_id: actor.person.to_owned(),
    })
}

fn restored(conflict: &Conflict, loser: &Side, current: &Side, rules: &KindRules) -> Option<Value> {
    let (Some(Value::Object(lost)), Some(Value::Object(now))) = (&loser.data, &current.data) else {
        return loser.data.clone();
    };
    let disputed = conflict.fields.iter().map(|disputed| disputed.field.clone());
    let mut fields = now.clone();
    for field in disputed_units(disputed, rules) {
        put(&mut fields, &field, lost.get(&field).cloned());
    }
    Some(Value::Object(fields))
}
