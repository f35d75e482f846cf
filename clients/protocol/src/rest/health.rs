//! Bodies of the health calls, and of entries `daily_entry`, `sleep` and
//! `activity`. Absent is unknown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::client::double_option;
use crate::time::Timestamp;

pub mod day;
pub mod plain;
pub mod sent;

/// What became of the items of an ingest call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ingested {
    /// Always: nothing stored is a refusal.
    pub success: bool,
    /// Items that are stored: created, updated and unchanged.
    pub processed: u64,
    /// Items there were.
    pub total: u64,
    /// Items that made a row.
    pub created: u64,
    /// Items that changed a row.
    pub updated: u64,
    /// Items that said nothing new.
    pub unchanged: u64,
    /// Items under names that nobody knows.
    pub ignored: u64,
    /// The first fault of each item that is not stored.
    pub errors: Vec<IngestFault>,
    /// `POST /health/ingest` only: a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `POST /health/ingest` only: stored items by list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<BTreeMap<String, u64>>,
}

/// Why an item is not stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IngestFault {
    /// The list it stands in, such as `steps`.
    pub list: String,
    /// Where in that list, from 0.
    pub index: usize,
    /// The field at fault; empty: the item itself.
    pub field: String,
    /// What is allowed.
    pub reason: String,
}

/// Whose value of a field counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldSource {
    /// `manual`, `apple_health`, …
    pub source: String,
    /// When it was measured, or arrived.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
}

/// A field that a person said otherwise than the best other source.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Overridden {
    /// The field.
    pub field: String,
    /// What the person said.
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    pub manual: Box<RawValue>,
    /// What would count without it.
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    pub device: Box<RawValue>,
    /// Who says that.
    pub source: String,
}

/// A night of a user, or another period of sleep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SleepNight {
    /// The local day it ends on, `yyyy-mm-dd`.
    pub date: String,
    /// From 1.
    pub version: i64,
    /// Who tells.
    pub source: String,
    /// Whether it is the one that is shown for the day.
    pub canonical: bool,
    /// The source's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// Asleep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_sleep_minutes: Option<i64>,
    /// In bed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_bed_minutes: Option<i64>,
    /// Awake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awake_minutes: Option<i64>,
    /// Light sleep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asleep_core_minutes: Option<i64>,
    /// Deep sleep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asleep_deep_minutes: Option<i64>,
    /// REM sleep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asleep_rem_minutes: Option<i64>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub sleep_start: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub sleep_end: Option<Timestamp>,
    /// What recorded it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_devices: Vec<String>,
    /// When it was measured, where the sender said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub measured_at: Option<Timestamp>,
}

/// A workout as one source tells of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Activity {
    /// The same wherever it is taken in.
    pub id: String,
    /// From 1.
    pub version: i64,
    /// Who tells.
    pub source: String,
    /// The source's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// `RUN`, `CYCLE`, `WALK`, `SWIM`, `STRENGTH` or `UNKNOWN`.
    pub activity_type: String,
    /// The source's own word.
    pub sport: String,
    /// The local day it started on, `yyyy-mm-dd`.
    pub date: String,
    /// When it started.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub start: Timestamp,
    /// When it ended.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub end: Timestamp,
    /// Moving time where the source has it.
    pub duration_s: i64,
    /// From start to end.
    pub elapsed_s: i64,
    /// Metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub distance_m: Option<serde_json::Number>,
    /// kcal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub calories_kcal: Option<serde_json::Number>,
    /// Beats per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub avg_heart_rate: Option<serde_json::Number>,
    /// Beats per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub max_heart_rate: Option<serde_json::Number>,
    /// What recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Of the local time it started in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utc_offset_s: Option<i64>,
    /// The one that is shown instead: the same workout by a better source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<String>,
    /// `GET /activities/{id}` only: the others that are this workout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<String>>,
    /// `GET /activities/{id}` only: as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub raw: Option<Box<RawValue>>,
}

/// The newest value of a body metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BodyMetric {
    /// Kilograms, metres or percent, as the metric's name says.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub value: serde_json::Number,
    /// When it was measured, or arrived.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// Who says so.
    pub source: String,
}

/// What is known of a user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HealthProfile {
    /// IANA name, such as `Europe/Berlin`; null where unknown.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub time_zone: Option<String>,
    /// Body mass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_kg: Option<BodyMetric>,
    /// Height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height_m: Option<BodyMetric>,
    /// Body fat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_fat_percentage: Option<BodyMetric>,
    /// Lean body mass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lean_body_mass_kg: Option<BodyMetric>,
}

/// `PATCH /api/v1/profile`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ProfileChange {
    /// IANA name; null forgets it.
    #[serde(default, with = "double_option", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub time_zone: Option<Option<String>>,
}
