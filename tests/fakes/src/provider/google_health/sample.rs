//! What data points look like: 64-bit numbers are texts, durations end in `s`.

use chrono::{DateTime, Datelike, Timelike};
use serde_json::{Value, json};

use crate::provider::item::{Item, utc};

const USER: &str = "users/1000000000000000001";

/// An exercise with a heart rate.
pub fn exercise(
    id: u64,
    start_ms: i64,
    active_s: i64,
    exercise_type: &str,
    utc_offset_s: i64,
) -> Item {
    let end_ms = start_ms + active_s * 1000;
    let body = json!({
        "name": format!("{USER}/dataTypes/exercise/dataPoints/{id}"),
        "dataSource": source("ACTIVELY_MEASURED"),
        "exercise": {
            "interval": interval(start_ms, end_ms, utc_offset_s, false),
            "exerciseType": exercise_type,
            "metricsSummary": {
                "caloriesKcal": 202,
                "distanceMillimeters": 5_000_000,
                "averageHeartRateBeatsPerMinute": "115",
                "activeZoneMinutes": "19",
                "heartRateZoneDurations": {"lightTime": "300s", "moderateTime": "900s"},
            },
            "exerciseMetadata": {},
            "displayName": "アクティビティ",
            "activeDuration": format!("{active_s}s"),
            "updateTime": utc(end_ms),
            "createTime": utc(end_ms),
        },
    });
    item(id.to_string(), (start_ms, end_ms), utc_offset_s, &body)
}

/// A night that ends then, with stages.
pub fn night(id: u64, end_ms: i64, asleep_s: i64, utc_offset_s: i64) -> Item {
    let start_ms = end_ms - asleep_s * 1000;
    let minutes = |share: i64| (asleep_s / 60 * share / 100).to_string();
    let middle_ms = start_ms + (end_ms - start_ms) / 2;
    let body = json!({
        "name": format!("{USER}/dataTypes/sleep/dataPoints/{id}"),
        "dataSource": source("PASSIVELY_MEASURED"),
        "sleep": {
            "interval": interval(start_ms, end_ms, utc_offset_s, false),
            "type": "STAGES",
            "stages": [
                {"startTime": utc(start_ms), "endTime": utc(middle_ms), "type": "LIGHT"},
                {"startTime": utc(middle_ms), "endTime": utc(end_ms), "type": "DEEP"},
            ],
            "metadata": {"processed": true, "mainSleep": true, "stagesStatus": "SUCCEEDED"},
            "summary": {
                "minutesAsleep": minutes(100),
                "minutesAwake": "0",
                "stagesSummary": [
                    {"type": "LIGHT", "minutes": minutes(50), "count": "1"},
                    {"type": "DEEP", "minutes": minutes(50), "count": "1"},
                ],
            },
        },
    });
    item(id.to_string(), (start_ms, end_ms), utc_offset_s, &body)
}

/// Steps of an interval. They have no name.
pub fn steps(start_ms: i64, length_s: i64, count: u64, utc_offset_s: i64) -> Item {
    let end_ms = start_ms + length_s * 1000;
    let body = json!({
        "dataSource": source("PASSIVELY_MEASURED"),
        "steps": {
            "interval": interval(start_ms, end_ms, utc_offset_s, true),
            "count": count.to_string(),
        },
    });
    item(start_ms.to_string(), (start_ms, end_ms), utc_offset_s, &body)
}

/// A weight in grams.
pub fn weight(id: u64, at_ms: i64, grams: u64, utc_offset_s: i64) -> Item {
    let body = json!({
        "name": format!("{USER}/dataTypes/weight/dataPoints/{id}"),
        "dataSource": {
            "recordingMethod": "UNKNOWN",
            "device": {},
            "application": {"packageName": "jp.healthplanet.healthplanetapp"},
            "platform": "HEALTH_CONNECT",
        },
        "weight": {
            "sampleTime": {
                "physicalTime": utc(at_ms),
                "utcOffset": format!("{utc_offset_s}s"),
                "civilTime": civil(at_ms, utc_offset_s),
            },
            "weightGrams": grams,
        },
    });
    item(id.to_string(), (at_ms, at_ms), utc_offset_s, &body)
}

fn item(id: String, (start_ms, end_ms): (i64, i64), utc_offset_s: i64, body: &Value) -> Item {
    Item { id, start_ms, end_ms, utc_offset_s, is_private: false, body: body.to_string() }
}

fn source(method: &str) -> Value {
    json!({
        "recordingMethod": method,
        "device": {"formFactor": "WATCH", "displayName": "Pixel Watch 4"},
        "platform": "FITBIT",
    })
}

fn interval(start_ms: i64, end_ms: i64, utc_offset_s: i64, has_civil: bool) -> Value {
    let offset = format!("{utc_offset_s}s");
    let mut interval = json!({
        "startTime": utc(start_ms),
        "startUtcOffset": offset,
        "endTime": utc(end_ms),
        "endUtcOffset": offset,
    });
    if has_civil {
        interval["civilStartTime"] = civil(start_ms, utc_offset_s);
        interval["civilEndTime"] = civil(end_ms, utc_offset_s);
    }
    interval
}

fn civil(ms: i64, utc_offset_s: i64) -> Value {
    let wall = DateTime::from_timestamp_millis(ms + utc_offset_s * 1000).unwrap_or_default();
    json!({
        "date": {"year": wall.year(), "month": wall.month(), "day": wall.day()},
        "time": {"hours": wall.hour(), "minutes": wall.minute(), "seconds": wall.second()},
    })
}
