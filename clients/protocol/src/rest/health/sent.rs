//! Bodies of the calls that bring health data in. Times are RFC 3339 with an
//! offset; days are `yyyy-mm-dd` as the user lived them. Null says nothing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::rest::health::day::SentEntry;

/// An id or a type: a text, or a number of any size that stands for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum HealthId {
    /// As text.
    Text(String),
    /// As a number.
    #[cfg_attr(feature = "openapi", schema(value_type = i64))]
    Number(Number),
}

/// `POST /api/v1/ingest/steps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SendSteps {
    /// `apple_health` (default), `health_connect`, `manual`; backends may name all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// 1 to 500 days.
    pub steps: Vec<SentSteps>,
}

/// Steps of a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SentSteps {
    /// The local day.
    pub date: String,
    /// 0 to 200000.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub total_steps: Number,
    /// What counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_devices: Option<Vec<String>>,
    /// When; absent: on receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub measured_at: Option<String>,
}

/// `POST /api/v1/ingest/sleep`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SendSleep {
    /// As in [`SendSteps`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// 1 to 500 periods.
    pub sleep_records: Vec<SentSleep>,
}

/// A period of sleep. Minutes are 0 to 43200.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SentSleep {
    /// The local day it ended on; absent: by `sleep_end`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// Asleep.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub total_sleep_minutes: Number,
    /// In bed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub in_bed_minutes: Option<Number>,
    /// Awake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub awake_minutes: Option<Number>,
    /// Light sleep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub asleep_core_minutes: Option<Number>,
    /// Deep sleep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub asleep_deep_minutes: Option<Number>,
    /// REM sleep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub asleep_rem_minutes: Option<Number>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub sleep_start: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub sleep_end: Option<String>,
    /// What recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_devices: Option<Vec<String>>,
    /// When it was measured; absent: on receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub measured_at: Option<String>,
}

/// `POST /api/v1/ingest/workouts`; at least one of the lists is not empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SendWorkouts {
    /// As in [`SendSteps`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// At most 500 workouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workouts: Option<Vec<SentWorkout>>,
    /// `source_id` of workouts that the source deleted, at most 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Vec<HealthId>>,
}

/// A workout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SentWorkout {
    /// `HealthKit`'s or Health Connect's number, or a word.
    pub workout_type: HealthId,
    /// When it started.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub start_time: String,
    /// When it ended.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub end_time: String,
    /// Moving time, above 0; absent: from start to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub duration_seconds: Option<Number>,
    /// kcal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub calories_active: Option<Number>,
    /// Metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub distance_meters: Option<Number>,
    /// Beats per minute, 30 to 250.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub avg_heart_rate: Option<Number>,
    /// Beats per minute, 30 to 250.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub max_heart_rate: Option<Number>,
    /// What recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_device: Option<String>,
    /// The source's own id: the same workout again is known by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<HealthId>,
    /// The id of the command that had the device write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<HealthId>,
    /// Kept with the workout, as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// `POST /api/v1/ingest/profile`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SendMetrics {
    /// As in [`SendSteps`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// 1 to 500 measurements.
    pub metrics: Vec<SentMetric>,
}

/// A measurement of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SentMetric {
    /// `weight`, `height`, `body_fat_percentage` (`body_fat`) or `lean_body_mass`.
    pub metric: String,
    /// Above 0.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub value: Number,
    /// `kg`, `lbs`, `m`, `cm`, `inches`, `percent`, …
    pub unit: String,
    /// When; it belongs to the local day of this.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub measured_at: String,
}

/// Fields of several days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SentEntries {
    /// Of the entries that name none; `manual` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// 1 to 500 entries.
    pub entries: Vec<SentEntry>,
}

/// `POST /api/v1/ingest/entry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum SendEntry {
    /// Several.
    Several(SentEntries),
    /// One.
    One(Box<SentEntry>),
}
