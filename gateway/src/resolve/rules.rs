//! What is allowed to differ per kind of item: strategies, field rules, groups
//! and the tables that say how grave a conflict is. Data, not code: the
//! defaults are in [`defaults`], what settings change of them in [`settings`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub mod defaults;
pub mod settings;

/// How a conflict is decided.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Remote is kept whole.
    #[default]
    RemoteWins,
    /// Local's field changes are applied again, on current remote.
    LocalWins,
    /// The later edit wins, as under one of the two above.
    NewestWins,
    /// Field by field, against what both started from.
    Merge,
    /// A person decides; until then remote stays.
    Manual,
}

impl Strategy {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::RemoteWins, Self::LocalWins, Self::NewestWins, Self::Merge, Self::Manual];

    /// Its name in settings, rows and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RemoteWins => "remote_wins",
            Self::LocalWins => "local_wins",
            Self::NewestWins => "newest_wins",
            Self::Merge => "merge",
            Self::Manual => "manual",
        }
    }
}

/// The text names no strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one of remote_wins, local_wins, newest_wins, merge, manual")]
pub struct UnknownStrategy;

impl std::str::FromStr for Strategy {
    type Err = UnknownStrategy;

    /// In any case, as environment variables are written.
    fn from_str(text: &str) -> Result<Self, UnknownStrategy> {
        let text = text.trim();
        let found = Self::ALL.iter().find(|strategy| strategy.as_str().eq_ignore_ascii_case(text));
        found.copied().ok_or(UnknownStrategy)
    }
}

/// What happens to a field that both sides changed differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldRule {
    /// Remote's value.
    #[default]
    Remote,
    /// Local's value.
    Local,
    /// The value of the later edit.
    Newest,
    /// Lists: everything either side has, sorted.
    Union,
    /// Lists and texts: remote's, then what local added.
    Append,
    /// Numbers: both sides' changes added.
    Sum,
    /// The greater number or text.
    Max,
    /// The lesser number or text.
    Min,
    /// The text with more characters.
    LongerText,
    /// The number after the greater of the two versions.
    NextVersion,
    /// A person decides: the whole conflict stays open.
    Manual,
}

impl FieldRule {
    /// Whether the rule takes a side as it is, which is all that can be done
    /// with several fields at once.
    pub const fn takes_a_side(self) -> bool {
        matches!(self, Self::Remote | Self::Local | Self::Newest | Self::Manual)
    }
}

/// Fields that make sense only together: they all come from one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Their names, two or more.
    pub fields: BTreeSet<String>,
    /// What happens when both sides changed one of them.
    #[serde(default)]
    pub rule: FieldRule,
}

/// Which fields make which type of conflict; the first hit counts, in the
/// order of the fields here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TypeFields {
    /// `VERSION_MISMATCH`.
    pub version: BTreeSet<String>,
    /// `CONTENT_MISMATCH`.
    pub content: BTreeSet<String>,
    /// `DEPENDENCY_CONFLICT`.
    pub dependency: BTreeSet<String>,
    /// Whether a field that is named nowhere counts as content; otherwise it
    /// is `OTHER`.
    pub rest_is_content: bool,
}

/// Which fields make a conflict how grave; the first hit counts. What is named
/// nowhere is LOW.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SeverityFields {
    /// Fields that say which item this is: CRITICAL.
    pub identity: BTreeSet<String>,
    /// CRITICAL.
    pub critical: BTreeSet<String>,
    /// HIGH.
    pub high: BTreeSet<String>,
    /// MEDIUM.
    pub medium: BTreeSet<String>,
}

/// Everything the engine knows of one kind of item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KindRules {
    /// How conflicts are decided, unless the caller says otherwise.
    pub strategy: Strategy,
    /// Rules of single fields; others are remote's.
    pub fields: BTreeMap<String, FieldRule>,
    /// Fields that move together.
    pub groups: Vec<Group>,
    /// Fields that only remote writes (counters, times): always remote's,
    /// never an edit.
    pub owned_by_remote: BTreeSet<String>,
    /// What a field means when it is missing.
    pub absent: BTreeMap<String, Value>,
    /// Types of conflict.
    pub types: TypeFields,
    /// Severities.
    pub severity: SeverityFields,
}

impl KindRules {
    /// The rule of a single field.
    pub fn rule(&self, field: &str) -> FieldRule {
        self.fields.get(field).copied().unwrap_or_default()
    }

    /// The group a field moves with.
    pub fn group(&self, field: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.fields.contains(field))
    }
}

/// What kind of item is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind<'a> {
    /// A marketplace skill.
    Skill,
    /// A marketplace category.
    Category,
    /// Somebody's rating of a skill.
    Rating,
    /// A record of a collection.
    Record {
        /// The collection.
        collection: &'a str,
    },
}

/// The rules of every kind of item. Made by [`settings::Settings::rules`].
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Skills.
    pub skill: KindRules,
    /// Categories.
    pub category: KindRules,
    /// Ratings.
    pub rating: KindRules,
    /// Records of collections that are not named.
    pub record: KindRules,
    /// Records of named collections.
    pub collections: BTreeMap<String, KindRules>,
}

impl Rules {
    /// The rules of a kind.
    pub fn of(&self, kind: ItemKind<'_>) -> &KindRules {
        match kind {
            ItemKind::Skill => &self.skill,
            ItemKind::Category => &self.category,
            ItemKind::Rating => &self.rating,
            ItemKind::Record { collection } => {
                self.collections.get(collection).unwrap_or(&self.record)
            }
        }
    }
}
