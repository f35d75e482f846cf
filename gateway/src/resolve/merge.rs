//! Three-way by field: what each side changed since the base, and the value
//! that keeps both sides' changes as far as the rules allow.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::resolve::combine::{Values, combine};
use crate::resolve::conflict::{ChangedBy, Disputed, WHOLE};
use crate::resolve::order::same_option;
use crate::resolve::rules::{FieldRule, KindRules};
use crate::resolve::side::{Edits, Origin};

type Fields = Map<String, Value>;

/// The values of a conflict, without what only remote writes: those fields
/// are remote's in all three, so they never differ.
#[derive(Clone, Debug)]
pub(super) struct Trio<'a> {
    pub(super) base: Option<Cow<'a, Value>>,
    pub(super) local: Option<Cow<'a, Value>>,
    pub(super) remote: Option<&'a Value>,
    pub(super) rules: &'a KindRules,
}

/// How fields are decided that both sides changed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Decide<'a> {
    /// By the rules; `newest` is the side that was edited later.
    Rules { newest: Origin },
    /// Local's changes go on top.
    Local,
    /// By a person, who may also decide what one side alone changed; by the
    /// rules where the person says nothing.
    Picks { picks: &'a BTreeMap<String, Origin>, newest: Origin },
}

/// What merging gave.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Merged {
    pub(super) data: Value,
    /// Fields under the rule `manual` that both sides changed: remote's here.
    pub(super) undecided: Vec<String>,
}

/// Fields that are decided together, and how.
struct Unit<'a> {
    fields: Vec<&'a str>,
    rule: FieldRule,
}

impl<'a> Trio<'a> {
    pub(super) fn new(edits: Edits<'a>, rules: &'a KindRules) -> Self {
        let remote = edits.remote.data.as_ref();
        let base = edits.base.and_then(|base| base.data.as_ref());
        let local = edits.local.data.as_ref();
        Self {
            base: base.map(|data| with_remote_fields(data, remote, rules)),
            local: local.map(|data| with_remote_fields(data, remote, rules)),
            remote,
            rules,
        }
    }

    pub(super) fn side(&self, origin: Origin) -> Option<&Value> {
        match origin {
            Origin::Local => self.local.as_deref(),
            Origin::Remote => self.remote,
        }
    }

    /// Whether two states mean the same: fields that are missing have the
    /// value that their absence stands for.
    pub(super) fn is_alike(&self, left: Option<&Value>, right: Option<&Value>) -> bool {
        match (left, right) {
            (Some(Value::Object(left)), Some(Value::Object(right))) => {
                names([left, right]).into_iter().all(|field| self.is_same(left, right, field))
            }
            (left, right) => same_option(left, right),
        }
    }

    /// Whether a value is what a side wanted: all that the side changed since
    /// the base is in it.
    pub(super) fn keeps(&self, origin: Origin, result: Option<&Value>) -> bool {
        let side = self.side(origin);
        let (Some(side), Some(result)) = (side, result) else {
            return side.is_none() && result.is_none();
        };
        let (Some(side), Some(result)) = (side.as_object(), result.as_object()) else {
            return same_option(Some(side), Some(result));
        };
        names([side, result]).into_iter().all(|field| {
            let value = self.value(side, field);
            !self.has_changed(side, field) || same_option(value, self.value(result, field))
        })
    }

    /// The fields in which the sides differ. Where one side deleted the item,
    /// what the other changed.
    pub(super) fn disputed(&self) -> Vec<Disputed> {
        let whole = |changed_by| vec![Disputed { field: WHOLE.to_owned(), changed_by }];
        match (self.local.as_deref(), self.remote) {
            (None, None) => Vec::new(),
            (Some(data), None) => self.changes(data, Origin::Local),
            (None, Some(data)) => self.changes(data, Origin::Remote),
            (Some(Value::Object(local)), Some(Value::Object(remote))) => {
                let differing = names([remote, local])
                    .into_iter()
                    .filter(|field| !self.is_same(local, remote, field));
                let dispute = |field: &str| Disputed {
                    field: field.to_owned(),
                    changed_by: self.changed_by(local, remote, field),
                };
                differing.map(dispute).collect()
            }
            (Some(_), Some(_)) => whole(ChangedBy::Both),
        }
    }

    fn changes(&self, data: &Value, origin: Origin) -> Vec<Disputed> {
        let changed_by = origin.into();
        let Some(fields) = data.as_object() else {
            return vec![Disputed { field: WHOLE.to_owned(), changed_by }];
        };
        let known = self.base_fields();
        let changed = names(std::iter::once(fields).chain(known))
            .into_iter()
            .filter(|field| self.has_changed(fields, field));
        changed.map(|field| Disputed { field: field.to_owned(), changed_by }).collect()
    }

    /// Merges field by field. `None` where a side is deleted or not an object,
    /// so that there are no fields to merge.
    pub(super) fn merge(&self, decide: Decide<'_>) -> Option<Merged> {
        let local = self.local.as_deref()?.as_object()?;
        let remote = self.remote?.as_object()?;
        let mut result = remote.clone();
        let mut undecided = Vec::new();
        for unit in self.units(local, remote) {
            if unit.fields.iter().all(|field| self.is_same(local, remote, field)) {
                continue;
            }
            let by_local = unit.fields.iter().any(|field| self.has_changed(local, field));
            let by_remote = unit.fields.iter().any(|field| self.has_changed(remote, field));
            let picked = decide.picked(&unit);
            let taken = match (picked, by_local, by_remote) {
                (Some(origin), ..) => Taken::Side(origin),
                (None, true, true) => decide.taken(unit.rule),
                (None, true, false) => Taken::Side(Origin::Local),
                (None, false, _) => Taken::Side(Origin::Remote),
            };
            match taken {
                Taken::Side(Origin::Remote) => {}
                Taken::Side(Origin::Local) => {
                    for field in &unit.fields {
                        put(&mut result, field, local.get(*field).cloned());
                    }
                }
                Taken::Combined(rule) => self.combined(&mut result, &unit, rule, local, remote),
                Taken::Undecided => {
                    undecided.extend(unit.fields.iter().map(|&field| field.to_owned()));
                }
            }
        }
        Some(Merged { data: Value::Object(result), undecided })
    }

    fn combined(
        &self,
        result: &mut Fields,
        unit: &Unit<'_>,
        rule: FieldRule,
        local: &Fields,
        remote: &Fields,
    ) {
        for field in &unit.fields {
            let values = Values {
                base: self.base_fields().and_then(|base| self.value(base, field)),
                local: self.value(local, field),
                remote: self.value(remote, field),
            };
            let combined = combine(rule, values);
            // Remote's value stays as remote writes it, missing or not.
            if combined.is_some() && !same_option(combined.as_ref(), values.remote) {
                put(result, field, combined);
            }
        }
    }

    fn base_fields(&self) -> Option<&Fields> {
        self.base.as_deref().and_then(Value::as_object)
    }

    /// A field's value, or what its absence means.
    fn value<'v>(&'v self, fields: &'v Fields, field: &str) -> Option<&'v Value> {
        fields.get(field).or_else(|| self.rules.absent.get(field))
    }

    fn is_same(&self, left: &Fields, right: &Fields, field: &str) -> bool {
        same_option(self.value(left, field), self.value(right, field))
    }

    /// Whether a side's field differs from the base. Without a base every
    /// field that is there was put there, and none was removed.
    fn has_changed(&self, side: &Fields, field: &str) -> bool {
        self.base_fields()
            .map_or_else(|| side.contains_key(field), |base| !self.is_same(base, side, field))
    }

    fn changed_by(&self, local: &Fields, remote: &Fields, field: &str) -> ChangedBy {
        match (self.has_changed(local, field), self.has_changed(remote, field)) {
            (true, false) => ChangedBy::Local,
            (false, true) => ChangedBy::Remote,
            _ => ChangedBy::Both,
        }
    }

    /// Every field once, alone or with its group, in remote's order.
    fn units<'f>(&'f self, local: &'f Fields, remote: &'f Fields) -> Vec<Unit<'f>> {
        let mut seen = BTreeSet::new();
        let mut units = Vec::new();
        for field in names([remote, local]) {
            if seen.contains(field) {
                continue;
            }
            let unit = match self.rules.group(field) {
                Some(group) => Unit {
                    fields: group.fields.iter().map(String::as_str).collect(),
                    rule: group.rule,
                },
                None => Unit { fields: vec![field], rule: self.rules.rule(field) },
            };
            seen.extend(unit.fields.iter().copied());
            units.push(unit);
        }
        units
    }
}

/// Where the value of a unit comes from.
enum Taken {
    Side(Origin),
    Combined(FieldRule),
    Undecided,
}

impl Decide<'_> {
    /// What a person said of a unit; one word decides a whole group.
    fn picked(&self, unit: &Unit<'_>) -> Option<Origin> {
        let Self::Picks { picks, .. } = self else { return None };
        unit.fields.iter().find_map(|field| picks.get(*field).copied())
    }

    /// Where a unit that both sides changed comes from.
    fn taken(&self, rule: FieldRule) -> Taken {
        let newest = match self {
            Self::Local => return Taken::Side(Origin::Local),
            Self::Rules { newest } | Self::Picks { newest, .. } => *newest,
        };
        match rule {
            FieldRule::Remote => Taken::Side(Origin::Remote),
            FieldRule::Local => Taken::Side(Origin::Local),
            FieldRule::Newest => Taken::Side(newest),
            FieldRule::Manual => Taken::Undecided,
            rule => Taken::Combined(rule),
        }
    }
}

/// Sets or removes a field; those that stay keep their places.
pub(super) fn put(fields: &mut Fields, field: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            fields.insert(field.to_owned(), value);
        }
        None => {
            fields.shift_remove(field);
        }
    }
}

/// The names of all fields, each once, in the order of their first appearance.
fn names<'f>(maps: impl IntoIterator<Item = &'f Fields>) -> Vec<&'f str> {
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for name in maps.into_iter().flat_map(Map::keys) {
        if seen.insert(name.as_str()) {
            names.push(name.as_str());
        }
    }
    names
}

/// A value with the fields that only remote writes as remote has them.
fn with_remote_fields<'a>(
    data: &'a Value,
    remote: Option<&Value>,
    rules: &KindRules,
) -> Cow<'a, Value> {
    let (Value::Object(fields), Some(Value::Object(remote))) = (data, remote) else {
        return Cow::Borrowed(data);
    };
    let is_remotes = |field: &String| fields.get(field) == remote.get(field);
    if rules.owned_by_remote.iter().all(is_remotes) {
        return Cow::Borrowed(data);
    }
    let mut fields = fields.clone();
    for field in &rules.owned_by_remote {
        put(&mut fields, field, remote.get(field).cloned());
    }
    Cow::Owned(Value::Object(fields))
}
