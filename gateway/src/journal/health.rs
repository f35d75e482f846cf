//! How health data stands in entries, in snapshots and in answers.

use serde_json::{Map, Value as Json, json};
use tidegate_entity::activity;
use tidegate_protocol::time::Timestamp;

use crate::health::field::real_json;

/// A row as an entry or an item holds it.
pub fn with_op(body: &str) -> String {
    let fields = body.strip_suffix('}').unwrap_or(body);
    format!(r#"{fields},"op":"put"}}"#)
}

/// An activity as everybody sees it.
pub fn activity_row(row: &activity::Model) -> Map<String, Json> {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Option<Json>| {
        if let Some(value) = value {
            shown.insert(name.to_owned(), value);
        }
    };
    let text = |text: &Option<String>| text.as_deref().map(Json::from);
    let time = |at: i64| Some(json!(Timestamp::from_millis(at)));
    put("id", Some(row.id.as_str().into()));
    put("version", Some(row.version.into()));
    put("source", Some(row.source.as_str().into()));
    put("source_id", text(&row.source_id));
    put("activity_type", Some(row.activity_type.as_str().into()));
    put("sport", Some(row.sport.as_str().into()));
    put("date", Some(row.date.as_str().into()));
    put("start", time(row.start_at));
    put("end", time(row.end_at));
    put("duration_s", Some(row.duration_s.into()));
    put("elapsed_s", Some(row.elapsed_s.into()));
    put("distance_m", row.distance.map(real_json));
    put("calories_kcal", row.calories.map(real_json));
    put("avg_heart_rate", row.avg_heart_rate.map(real_json));
    put("max_heart_rate", row.max_heart_rate.map(real_json));
    put("device", text(&row.device));
    put("utc_offset_s", row.utc_offset_s.map(Json::from));
    put("duplicate_of", text(&row.duplicate_of));
    shown
}

/// The same as an entry or an item holds it.
pub fn activity_put(row: &activity::Model) -> Map<String, Json> {
    let mut shown = activity_row(row);
    shown.insert("op".to_owned(), "put".into());
    shown
}
