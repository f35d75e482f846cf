//! A conflict as it is kept: both sides whole, what they came from, and what
//! was made of them. A row can be judged again and undone from itself alone.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_protocol::entry::Severity;
use tidegate_protocol::time::Timestamp;
use utoipa::ToSchema;

use crate::resolve::rules::{SeverityFields, Strategy, TypeFields};
use crate::resolve::side::{Base, Edits, Origin, Side};

/// The name under which a value that is not an object is in conflict.
pub const WHOLE: &str = "$";

/// What the sides disagree about; the first hit counts.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConflictType {
    /// Which version this is.
    VersionMismatch,
    /// What is in it.
    ContentMismatch,
    /// What it needs.
    DependencyConflict,
    /// Anything else.
    Other,
}

impl ConflictType {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::VersionMismatch, Self::ContentMismatch, Self::DependencyConflict, Self::Other];

    /// Its name on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VersionMismatch => "VERSION_MISMATCH",
            Self::ContentMismatch => "CONTENT_MISMATCH",
            Self::DependencyConflict => "DEPENDENCY_CONFLICT",
            Self::Other => "OTHER",
        }
    }

    fn of_field(field: &str, types: &TypeFields) -> Self {
        if types.version.contains(field) {
            Self::VersionMismatch
        } else if types.content.contains(field) {
            Self::ContentMismatch
        } else if types.dependency.contains(field) {
            Self::DependencyConflict
        } else if types.rest_is_content {
            Self::ContentMismatch
        } else {
            Self::Other
        }
    }

    /// The first type that one of the fields hits.
    pub(super) fn of(fields: &[Disputed], types: &TypeFields) -> Self {
        let types = fields.iter().map(|disputed| Self::of_field(&disputed.field, types));
        types.min().unwrap_or(Self::Other)
    }
}

fn severity_of_field(field: &str, table: &SeverityFields) -> Severity {
    if table.identity.contains(field) || table.critical.contains(field) {
        Severity::Critical
    } else if table.high.contains(field) {
        Severity::High
    } else if table.medium.contains(field) {
        Severity::Medium
    } else {
        Severity::Low
    }
}

/// The gravest that one of the fields hits.
pub(super) fn severity(fields: &[Disputed], table: &SeverityFields) -> Severity {
    let severities = fields.iter().map(|disputed| severity_of_field(&disputed.field, table));
    severities.min().unwrap_or(Severity::Low)
}

/// A field in which the sides differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DisputedField)]
pub struct Disputed {
    /// Its name, [`WHOLE`] where the values are not objects.
    pub field: String,
    /// Who changed it since the base.
    pub changed_by: ChangedBy,
}

/// Who changed a field since the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangedBy {
    /// Only local.
    Local,
    /// Only remote.
    Remote,
    /// Both, differently.
    Both,
}

impl From<Origin> for ChangedBy {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Local => Self::Local,
            Origin::Remote => Self::Remote,
        }
    }
}

/// Who or what decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecidedBy {
    /// Nobody yet: the conflict is open.
    Nobody,
    /// The strategy.
    Strategy,
    /// The rule that a delete wins where the strategy says nothing of it.
    Delete,
    /// A person.
    Person(String),
}

impl DecidedBy {
    /// Who it was, as it is shown: `strategy`, `delete` or a person's id.
    pub fn word(&self) -> Option<String> {
        match self {
            Self::Nobody => None,
            Self::Strategy => Some("strategy".to_owned()),
            Self::Delete => Some("delete".to_owned()),
            Self::Person(person) => Some(person.clone()),
        }
    }
}

/// The effective value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ConflictResult)]
pub struct Outcome {
    /// Its version: remote's own where the value is remote's, otherwise one
    /// above every side's.
    pub version: i64,
    /// The value; `None`: deleted.
    pub data: Option<Value>,
}

/// A conflict, open or resolved: the row that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// What the sides disagree about.
    pub conflict_type: ConflictType,
    /// How grave that is.
    pub severity: Severity,
    /// The fields in which they differ, in remote's order.
    pub fields: Vec<Disputed>,
    /// What both started from, where that was known.
    pub base: Option<Base>,
    /// The local edit, as it came.
    pub local: Side,
    /// Remote, as it was.
    pub remote: Side,
    /// The effective value. While the conflict is open it is remote's.
    pub result: Outcome,
    /// Sides whose edit is not, or not wholly, in the result. They can be
    /// brought back.
    pub losers: Vec<Origin>,
    /// While open: what merging would give, with undecided fields as remote
    /// has them.
    pub proposal: Option<Value>,
    /// While open: the fields that only a person can decide; none named means
    /// all of them.
    pub undecided: Vec<String>,
    /// The strategy that was asked.
    pub strategy: Strategy,
    /// Who decided.
    pub decided_by: DecidedBy,
    /// Why, in the person's words.
    pub justification: Option<String>,
    /// When it was judged, by the gateway's clock.
    pub at: Timestamp,
}

impl Conflict {
    /// Whether a person still has to decide.
    pub fn is_open(&self) -> bool {
        self.decided_by == DecidedBy::Nobody
    }

    /// Whether the effective value is another than the published one.
    pub fn changes_remote(&self) -> bool {
        self.result.version != self.remote.version
    }

    /// The two sides and their base, as they were judged.
    pub fn edits(&self) -> Edits<'_> {
        Edits { base: self.base.as_ref(), local: &self.local, remote: &self.remote }
    }
}
