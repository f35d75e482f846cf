//! Bodies of `POST /api/v1/health/ingest`, as Zuralog's apps send them.

use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::rest::health::sent::HealthId;

/// `POST /api/v1/health/ingest` and `/api/v1/ingest/zuralog`: 1 to 500 items in
/// all lists together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SendAll {
    /// As in [`SendSteps`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Workouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workouts: Option<Vec<PlainWorkout>>,
    /// Nights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep: Option<Vec<PlainNight>>,
    /// What was eaten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nutrition: Option<Vec<PlainNutrition>>,
    /// What the body weighed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Vec<PlainWeight>>,
    /// Everything else of a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_metrics: Option<Vec<PlainMetrics>>,
}

/// A workout; it ends when its duration is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlainWorkout {
    /// The source's own id.
    pub original_id: HealthId,
    /// `HealthKit`'s or Health Connect's number, or a word.
    pub activity_type: HealthId,
    /// Above 0.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub duration_seconds: Number,
    /// Metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub distance_meters: Option<Number>,
    /// kcal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub calories: Option<Number>,
    /// When it started.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub start_time: String,
    /// Beats per minute, 30 to 250.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub avg_heart_rate: Option<Number>,
    /// Beats per minute, 30 to 250.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub max_heart_rate: Option<Number>,
    /// The id of the command that had the device write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<HealthId>,
}

/// A night.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlainNight {
    /// The local day it ended on.
    pub date: String,
    /// Asleep.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub hours: Number,
    /// Not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub quality_score: Option<Number>,
    /// When it was measured; absent: on receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub measured_at: Option<String>,
}

/// What was eaten on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlainNutrition {
    /// The local day.
    pub date: String,
    /// kcal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub calories: Option<Number>,
    /// Grams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub protein_grams: Option<Number>,
    /// Grams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub carbs_grams: Option<Number>,
    /// Grams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub fat_grams: Option<Number>,
    /// Grams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub fiber_grams: Option<Number>,
    /// When it was measured; absent: on receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub measured_at: Option<String>,
}

/// What a body weighed on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlainWeight {
    /// The local day.
    pub date: String,
    /// Kilograms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub weight_kg: Option<Number>,
    /// When it was measured; absent: on receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub measured_at: Option<String>,
}

/// What was measured on a day; the other fields of an entry are taken too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlainMetrics {
    /// The local day.
    pub date: String,
    /// Steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub steps: Option<Number>,
    /// kcal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub active_calories: Option<Number>,
    /// Beats per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub resting_heart_rate: Option<Number>,
    /// Milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub hrv_ms: Option<Number>,
    /// ml/(kg·min).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub vo2_max: Option<Number>,
    /// Metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub distance_meters: Option<Number>,
    /// Flights of stairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub flights_climbed: Option<Number>,
    /// Percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub body_fat_percentage: Option<Number>,
    /// Breaths per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub respiratory_rate: Option<Number>,
    /// Percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub oxygen_saturation: Option<Number>,
    /// Beats per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub heart_rate_avg: Option<Number>,
    /// When it was measured; absent: on receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub measured_at: Option<String>,
}
