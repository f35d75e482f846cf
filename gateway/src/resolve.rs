//! The conflict engine: what becomes of an item that two sides edited.
//!
//! A pure function of (base, local, remote, strategy, field rules) for every
//! kind of item. It never reads a clock, a database or a setting, and never
//! throws a side away: whoever calls it stores the verdict's row together with
//! the state it leads to.
//!
//! A conflict exists only when both sides changed since their base and differ.
//! The base is found by version. Clocks decide nothing but `newest`, and there
//! none may be more than [`SKEW_MS`] ahead.

use serde_json::Value;
use tidegate_protocol::time::Timestamp;

use crate::resolve::conflict::{Conflict, ConflictType, DecidedBy, Outcome, severity};
use crate::resolve::merge::{Decide, Merged, Trio};
use crate::resolve::order::same_option;
use crate::resolve::rules::{KindRules, Strategy};
use crate::resolve::side::{Edits, Origin, Side};

mod combine;
pub mod conflict;
mod merge;
mod order;
pub mod patch;
pub mod person;
pub mod rules;
pub mod side;
#[cfg(test)]
mod tests;

/// How far ahead of the gateway's clock an edit's time counts: a clock that is
/// an hour fast wins by five minutes at most. Phones that set their clocks by
/// the network are within seconds; five minutes is what Kerberos allows.
pub const SKEW_MS: i64 = 5 * 60 * 1000;

/// How conflicts are judged.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// The rules of the item's kind.
    pub rules: &'a KindRules,
    /// How a conflict is decided.
    pub strategy: Strategy,
    /// The gateway's time, which bounds the sides' clocks.
    pub at: Timestamp,
}

impl<'a> Policy<'a> {
    /// The kind's own strategy.
    pub const fn new(rules: &'a KindRules, at: Timestamp) -> Self {
        Self { rules, strategy: rules.strategy, at }
    }
}

/// What becomes of the item.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// At most one side changed, or both alike.
    NoConflict(Applied),
    /// Decided. The row is kept, and the losers in it.
    Resolved(Box<Conflict>),
    /// A person decides; remote stays, and local's edit is in the row.
    Open(Box<Conflict>),
}

impl Verdict {
    /// The version of the effective value.
    pub fn version(&self) -> i64 {
        match self {
            Self::NoConflict(applied) => applied.outcome.version,
            Self::Resolved(conflict) | Self::Open(conflict) => conflict.result.version,
        }
    }

    /// The effective value; `None`: deleted.
    pub fn data(&self) -> Option<&Value> {
        match self {
            Self::NoConflict(applied) => applied.outcome.data.as_ref(),
            Self::Resolved(conflict) | Self::Open(conflict) => conflict.result.data.as_ref(),
        }
    }

    /// The row to keep, if there is one.
    pub fn conflict(&self) -> Option<&Conflict> {
        match self {
            Self::NoConflict(_) => None,
            Self::Resolved(conflict) | Self::Open(conflict) => Some(conflict),
        }
    }
}

/// What applied without a conflict.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// Whose value it is; remote's where both have the same.
    pub from: Origin,
    /// The effective value.
    pub outcome: Outcome,
}

/// Whether two values, deleted ones included, mean the same: numbers are
/// compared by value, and the order of keys means nothing.
pub fn is_same(left: Option<&Value>, right: Option<&Value>) -> bool {
    same_option(left, right)
}

/// Judges two edits of one item.
pub fn resolve(edits: Edits<'_>, policy: Policy<'_>) -> Verdict {
    if is_late(edits) {
        let (from, data) = (Origin::Local, edits.local.data.clone());
        return Verdict::NoConflict(Applied { from, outcome: number(edits, data) });
    }
    let trio = Trio::new(edits, policy.rules);
    if let Some(from) = uncontested(edits, &trio) {
        let data = trio.side(from).cloned();
        return Verdict::NoConflict(Applied { from, outcome: number(edits, data) });
    }
    let decision = decide(edits, &trio, policy);
    let result = number(edits, decision.data);
    let fields = trio.disputed();
    // While nobody has decided, local waits, whatever of it remote has too.
    let waits = |origin: Origin| origin == Origin::Local && decision.by == DecidedBy::Nobody;
    let is_lost = |origin: &Origin| waits(*origin) || !trio.keeps(*origin, result.data.as_ref());
    let losers = [Origin::Local, Origin::Remote].into_iter().filter(is_lost).collect();
    let conflict = Box::new(Conflict {
        conflict_type: ConflictType::of(&fields, &policy.rules.types),
        severity: severity(&fields, &policy.rules.severity),
        fields,
        base: edits.base.cloned(),
        local: edits.local.clone(),
        remote: edits.remote.clone(),
        losers,
        result,
        proposal: decision.proposal,
        undecided: decision.undecided,
        strategy: policy.strategy,
        decided_by: decision.by,
        justification: None,
        at: policy.at,
    });
    if conflict.is_open() { Verdict::Open(conflict) } else { Verdict::Resolved(conflict) }
}

/// Whether remote is older than the base: news that came late. It went into
/// the base already, so that it is not an edit.
fn is_late(edits: Edits<'_>) -> bool {
    edits.base.is_some_and(|base| edits.remote.version < base.version)
}

/// The side that applies because nothing speaks against it.
fn uncontested(edits: Edits<'_>, trio: &Trio<'_>) -> Option<Origin> {
    let (local, remote) = (trio.side(Origin::Local), trio.side(Origin::Remote));
    if trio.is_alike(local, remote) {
        return Some(Origin::Remote);
    }
    let Some(base) = edits.base else {
        return match (edits.local.never_existed(), edits.remote.never_existed()) {
            (true, _) => Some(Origin::Remote),
            (false, true) => Some(Origin::Local),
            (false, false) => None,
        };
    };
    debug_assert!(edits.remote.version >= base.version, "late news is no side of a conflict");
    if trio.is_alike(remote, trio.base.as_deref()) {
        return Some(Origin::Local);
    }
    trio.is_alike(local, trio.base.as_deref()).then_some(Origin::Remote)
}

/// Numbers a value. Remote's keeps its number, and so does local's where that
/// is the highest and not the number of something else; any other value gets
/// the next one.
fn number(edits: Edits<'_>, data: Option<Value>) -> Outcome {
    let Edits { base, local, remote } = edits;
    if same_option(data.as_ref(), remote.data.as_ref()) && !is_late(edits) {
        return Outcome { version: remote.version, data: remote.data.clone() };
    }
    let is_numbered = base.is_none_or(|base| {
        local.version > base.version
            || (local.version == base.version
                && same_option(local.data.as_ref(), base.data.as_ref()))
    });
    let is_local = same_option(data.as_ref(), local.data.as_ref());
    let version = if is_local && is_numbered && local.version > remote.version {
        local.version
    } else {
        edits.next_version()
    };
    Outcome { version, data }
}

/// What a strategy makes of a conflict.
struct Decision {
    data: Option<Value>,
    by: DecidedBy,
    proposal: Option<Value>,
    undecided: Vec<String>,
}

impl Decision {
    const fn made(data: Option<Value>) -> Self {
        Self { data, by: DecidedBy::Strategy, proposal: None, undecided: Vec::new() }
    }

    /// Remote stays, and a person is shown what merging would give.
    fn open(trio: &Trio<'_>, merged: Option<Merged>) -> Self {
        let (proposal, undecided) =
            merged.map_or((None, Vec::new()), |merged| (Some(merged.data), merged.undecided));
        Self { data: trio.remote.cloned(), by: DecidedBy::Nobody, proposal, undecided }
    }
}

fn decide(edits: Edits<'_>, trio: &Trio<'_>, policy: Policy<'_>) -> Decision {
    let newest = newest(edits, policy.at);
    let by_rules = Decide::Rules { newest };
    match policy.strategy {
        Strategy::LocalWins => Decision::made(local_wins(trio)),
        Strategy::NewestWins if newest == Origin::Local => Decision::made(local_wins(trio)),
        Strategy::RemoteWins | Strategy::NewestWins => Decision::made(trio.remote.cloned()),
        Strategy::Manual => Decision::open(trio, trio.merge(by_rules)),
        Strategy::Merge if trio.local.is_none() || trio.remote.is_none() => {
            Decision { by: DecidedBy::Delete, ..Decision::made(None) }
        }
        Strategy::Merge => match trio.merge(by_rules) {
            Some(merged) if merged.undecided.is_empty() => Decision::made(Some(merged.data)),
            Some(merged) => Decision::open(trio, Some(merged)),
            None => Decision::made(trio.remote.cloned()),
        },
    }
}

/// Local's changes on current remote; local itself where there are no fields.
fn local_wins(trio: &Trio<'_>) -> Option<Value> {
    match trio.merge(Decide::Local) {
        Some(merged) => Some(merged.data),
        None => trio.local.as_deref().cloned(),
    }
}

/// The side that was edited later. A time ahead of `at` counts only as far as
/// [`SKEW_MS`]; ties go to the greater version, then to the greater source id.
fn newest(edits: Edits<'_>, at: Timestamp) -> Origin {
    let rank = |side: &Side| (side.edited_at.min(at.plus_millis(SKEW_MS)), side.version);
    let (local, remote) = (edits.local, edits.remote);
    let order = rank(local).cmp(&rank(remote)).then_with(|| local.source_id.cmp(&remote.source_id));
    if order.is_gt() { Origin::Local } else { Origin::Remote }
}
