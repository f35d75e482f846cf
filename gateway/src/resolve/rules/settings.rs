//! What settings change of the default rules, and whether that makes sense.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::resolve::rules::{
    FieldRule, Group, KindRules, Rules, SeverityFields, Strategy, TypeFields, defaults,
};

/// Most fields that rules, groups and tables of one kind may name: each is
/// looked up for every field of every conflict.
pub const FIELDS_MAX: usize = 500;

/// Longest name of a field, bytes.
pub const FIELD_NAME_BYTES_MAX: usize = 200;

/// Changes to the rules of all kinds. Empty settings are the defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Marketplace skills.
    pub skill: KindSettings,
    /// Marketplace categories.
    pub category: KindSettings,
    /// Ratings.
    pub rating: KindSettings,
    /// Records.
    pub record: KindSettings,
    /// Records of single collections, on top of `record`.
    pub collections: BTreeMap<String, KindSettings>,
}

/// Changes to the rules of one kind; what is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KindSettings {
    /// How conflicts are decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Rules of single fields, each in place of its default.
    pub fields: BTreeMap<String, FieldRule>,
    /// All groups, in place of the default ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<Group>>,
    /// All fields that only remote writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owned_by_remote: Option<BTreeSet<String>>,
    /// What missing fields mean, each in place of its default.
    pub absent: BTreeMap<String, Value>,
    /// The table of types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub types: Option<TypeFields>,
    /// The table of severities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<SeverityFields>,
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Invalid {
    /// Which setting, from [`Settings`] down.
    pub path: String,
    /// Why.
    pub reason: &'static str,
}

impl Settings {
    /// The rules these settings make, or everything that is wrong with them.
    pub fn rules(&self) -> Result<Rules, Vec<Invalid>> {
        let record = self.record.on(defaults::record());
        let mut collections = BTreeMap::new();
        for (name, settings) in &self.collections {
            collections.insert(name.clone(), settings.on(record.clone()));
        }
        let rules = Rules {
            skill: self.skill.on(defaults::skill()),
            category: self.category.on(defaults::category()),
            rating: self.rating.on(defaults::rating()),
            record,
            collections,
        };
        let mut found = Found::default();
        found.kind("skill", &rules.skill);
        found.kind("category", &rules.category);
        found.kind("rating", &rules.rating);
        found.kind("record", &rules.record);
        for (name, kind) in &rules.collections {
            found.name(&format!("collections.{name}"), name);
            found.kind(&format!("collections.{name}"), kind);
        }
        if found.0.is_empty() { Ok(rules) } else { Err(found.0) }
    }
}

impl KindSettings {
    /// `rules` with these changes.
    fn on(&self, mut rules: KindRules) -> KindRules {
        rules.strategy = self.strategy.unwrap_or(rules.strategy);
        rules.fields.extend(self.fields.iter().map(|(field, rule)| (field.clone(), *rule)));
        rules.absent.extend(self.absent.clone());
        if let Some(groups) = &self.groups {
            rules.groups.clone_from(groups);
            // A default rule gives way to a group; one that was set does not.
            let default_only = |field: &String| !self.fields.contains_key(field);
            let grouped: BTreeSet<&String> =
                groups.iter().flat_map(|group| &group.fields).collect();
            rules.fields.retain(|field, _| !(grouped.contains(field) && default_only(field)));
        }
        if let Some(owned) = &self.owned_by_remote {
            rules.owned_by_remote.clone_from(owned);
        }
        if let Some(types) = &self.types {
            rules.types.clone_from(types);
        }
        if let Some(severity) = &self.severity {
            rules.severity.clone_from(severity);
        }
        rules
    }
}

/// What is wrong, gathered so that one run names everything.
#[derive(Debug, Default)]
struct Found(Vec<Invalid>);

impl Found {
    fn add(&mut self, path: &str, reason: &'static str) {
        self.0.push(Invalid { path: path.to_owned(), reason });
    }

    fn name(&mut self, path: &str, name: &str) {
        if name.is_empty() || name.len() > FIELD_NAME_BYTES_MAX {
            self.add(path, "a name has 1 to 200 bytes");
        }
    }

    fn kind(&mut self, path: &str, rules: &KindRules) {
        let severity = &rules.severity;
        let tables = [
            ("owned_by_remote", &rules.owned_by_remote),
            ("types.version", &rules.types.version),
            ("types.content", &rules.types.content),
            ("types.dependency", &rules.types.dependency),
            ("severity.identity", &severity.identity),
            ("severity.critical", &severity.critical),
            ("severity.high", &severity.high),
            ("severity.medium", &severity.medium),
        ];
        let mut fields = rules.fields.len() + rules.absent.len();
        for (table, names) in tables {
            fields += names.len();
            for name in names {
                self.name(&format!("{path}.{table}"), name);
            }
        }
        for field in rules.fields.keys() {
            self.name(&format!("{path}.fields"), field);
            if rules.owned_by_remote.contains(field) {
                self.add(&format!("{path}.fields.{field}"), "only remote writes this field");
            }
        }
        fields += self.groups(path, rules);
        if fields > FIELDS_MAX {
            self.add(path, "names more than 500 fields");
        }
    }

    /// Checks the groups and counts their fields.
    fn groups(&mut self, path: &str, rules: &KindRules) -> usize {
        let mut seen = BTreeSet::new();
        let mut fields = 0;
        for (index, group) in rules.groups.iter().enumerate() {
            let path = format!("{path}.groups[{index}]");
            fields += group.fields.len();
            if group.fields.len() < 2 {
                self.add(&path, "a group has at least two fields");
            }
            if !group.rule.takes_a_side() {
                self.add(&path, "a group's rule is remote, local, newest or manual");
            }
            for field in &group.fields {
                self.name(&path, field);
                if !seen.insert(field) {
                    self.add(&path, "a field is in one group only");
                }
                if rules.fields.contains_key(field) {
                    self.add(&path, "a field of a group has no rule of its own");
                }
                if rules.owned_by_remote.contains(field) {
                    self.add(&path, "only remote writes one of these fields");
                }
            }
        }
        fields
    }
}
