//! What activities, nights and days look like. Local times have no offset.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use crate::provider::item::{Item, utc};

/// An activity with a heart rate.
pub fn activity(log_id: u64, start_ms: i64, length_s: i64, name: &str) -> Item {
    let body = json!({
        "logId": log_id,
        "activityName": name,
        "activityTypeId": 90_009,
        "startTime": utc(start_ms).replace('Z', ".000+00:00"),
        "duration": length_s * 1000,
        "activeDuration": length_s * 1000,
        "calories": 500,
        "distance": 10.0,
        "distanceUnit": "Kilometer",
        "steps": 8000,
        "averageHeartRate": 155,
        "logType": "tracker",
        "lastModified": utc(start_ms + length_s * 1000),
        "source": {"name": "Fitbit Charge 6"},
    });
    item(log_id.to_string(), (start_ms, start_ms + length_s * 1000), &body)
}

/// A night that ends then.
pub fn night(log_id: u64, end_ms: i64, in_bed_s: i64) -> Item {
    let start_ms = end_ms - in_bed_s * 1000;
    let minutes = in_bed_s / 60;
    let stage = |share: i64| json!({"count": 5, "minutes": minutes * share / 100});
    let body = json!({
        "dateOfSleep": local(end_ms)[..10],
        "duration": in_bed_s * 1000,
        "efficiency": 96,
        "endTime": local(end_ms),
        "infoCode": 0,
        "isMainSleep": true,
        "levels": {
            "data": [{"dateTime": local(start_ms), "level": "light", "seconds": in_bed_s}],
            "shortData": [],
            "summary": {"deep": stage(25), "light": stage(45), "rem": stage(15), "wake": stage(15)},
        },
        "logId": log_id,
        "minutesAsleep": minutes * 85 / 100,
        "minutesAwake": minutes * 15 / 100,
        "logType": "auto_detected",
        "startTime": local(start_ms),
        "timeInBed": minutes,
        "type": "stages",
    });
    item(log_id.to_string(), (start_ms, end_ms), &body)
}

/// The steps of the day of this moment: a text.
pub fn day(at_ms: i64, steps: u64) -> Item {
    let day = local(at_ms)[..10].to_owned();
    let body = json!({"dateTime": day, "value": steps.to_string()});
    item(day, (at_ms, at_ms), &body)
}

fn item(id: String, (start_ms, end_ms): (i64, i64), body: &Value) -> Item {
    Item { id, start_ms, end_ms, utc_offset_s: 0, is_private: false, body: body.to_string() }
}

fn local(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true).trim_end_matches('Z').to_owned()
}
