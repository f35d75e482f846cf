//! The rules that hold where settings say nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::resolve::rules::{
    FieldRule, Group, KindRules, Rules, SeverityFields, Strategy, TypeFields,
};

/// What a skill runs.
const PROGRAM: [&str; 3] = ["code", "command", "local_files"];
/// What it needs to run.
const PACKAGES: [&str; 2] = ["python_packages", "npm_packages"];
/// Who has to do what, in the spellings that apps use.
const DUTIES: [&str; 8] = [
    "status",
    "priority",
    "severity",
    "assignee",
    "assigned_to",
    "assignedTo",
    "approval_status",
    "approvalStatus",
];
/// How a skill is set up, and what a record is judged by.
const ASSESSMENTS: [&str; 11] = [
    "parameters",
    "metadata",
    "env_vars",
    "score",
    "risk",
    "risk_level",
    "riskLevel",
    "response_type",
    "responseType",
    "resources",
    "timeline",
];

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

fn field_rules<const N: usize>(rules: [(&str, FieldRule); N]) -> BTreeMap<String, FieldRule> {
    rules.into_iter().map(|(field, rule)| (field.to_owned(), rule)).collect()
}

/// One table for every kind; only what identifies an item differs.
fn severity<const N: usize>(identity: [&str; N]) -> SeverityFields {
    SeverityFields {
        identity: names(identity),
        critical: names(PROGRAM),
        high: names(["version", "packages", "approval"].into_iter().chain(PACKAGES).chain(DUTIES)),
        medium: names(ASSESSMENTS),
    }
}

fn types(rest_is_content: bool) -> TypeFields {
    TypeFields {
        version: names(["version"]),
        content: names(["content_hash"].into_iter().chain(PROGRAM)),
        dependency: names(["packages", "dependencies"].into_iter().chain(PACKAGES)),
        rest_is_content,
    }
}

/// Marketplace skills.
pub fn skill() -> KindRules {
    let mut fields = field_rules([
        ("version", FieldRule::NextVersion),
        ("tags", FieldRule::Union),
        ("packages", FieldRule::Union),
    ]);
    fields.extend(PACKAGES.map(|list| (list.to_owned(), FieldRule::Union)));
    let mut absent = BTreeMap::from([("version".to_owned(), json!("1.0.0"))]);
    absent.extend(PACKAGES.map(|list| (list.to_owned(), json!([]))));
    KindRules {
        strategy: Strategy::RemoteWins,
        fields,
        groups: Vec::new(),
        owned_by_remote: names([
            "average_rating",
            "rating_count",
            "ratings",
            "created_at",
            "updated_at",
        ]),
        absent,
        types: types(false),
        severity: severity(["id", "skill_id"]),
    }
}

/// Marketplace categories, which are known by their name.
pub fn category() -> KindRules {
    KindRules {
        owned_by_remote: names(["skill_count", "created_at", "updated_at"]),
        types: types(true),
        severity: severity(["id", "category_id", "name"]),
        ..KindRules::default()
    }
}

/// Ratings: a person's last word counts, stars and comment together.
pub fn rating() -> KindRules {
    KindRules {
        strategy: Strategy::NewestWins,
        groups: vec![Group { fields: names(["rating", "comment"]), rule: FieldRule::Newest }],
        types: types(true),
        severity: severity(["id", "skill_id", "user_id"]),
        ..KindRules::default()
    }
}

/// Records of any collection.
pub fn record() -> KindRules {
    KindRules {
        fields: field_rules([("version", FieldRule::NextVersion), ("tags", FieldRule::Union)]),
        types: types(true),
        severity: severity(["id", "record_id", "entity_id", "entityId"]),
        ..KindRules::default()
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            skill: skill(),
            category: category(),
            rating: rating(),
            record: record(),
            collections: BTreeMap::new(),
        }
    }
}
