//! What documents look like.

use serde_json::{Value, json};

use crate::provider::item::{Item, with_offset};

/// A workout of moderate intensity.
pub fn workout(id: &str, start_ms: i64, length_s: i64, activity: &str, utc_offset_s: i64) -> Item {
    let end_ms = start_ms + length_s * 1000;
    let mut item = item(id, (start_ms, end_ms), utc_offset_s);
    let body = json!({
        "id": id,
        "activity": activity,
        "calories": 300.5,
        "day": item.start_day().to_string(),
        "distance": 13_500.5,
        "end_datetime": with_offset(end_ms, utc_offset_s),
        "intensity": "moderate",
        "label": null,
        "source": "manual",
        "start_datetime": with_offset(start_ms, utc_offset_s),
    });
    item.body = body.to_string();
    item
}

/// A night that ends then.
pub fn night(id: &str, end_ms: i64, in_bed_s: i64, utc_offset_s: i64) -> Item {
    let start_ms = end_ms - in_bed_s * 1000;
    let mut item = item(id, (start_ms, end_ms), utc_offset_s);
    let begin = with_offset(start_ms, utc_offset_s);
    let series = |items: Value| json!({"interval": 300, "items": items, "timestamp": begin});
    let share = |percent: i64| in_bed_s * percent / 100;
    let body = json!({
        "id": id,
        "average_breath": 12.625,
        "average_heart_rate": 54.25,
        "average_hrv": 117,
        "awake_time": share(16),
        "bedtime_end": with_offset(end_ms, utc_offset_s),
        "bedtime_start": begin,
        "day": item.end_day().to_string(),
        "deep_sleep_duration": share(14),
        "efficiency": 84,
        "heart_rate": series(json!([null, 50, 46])),
        "hrv": series(json!([null, 102, 122])),
        "latency": 540,
        "light_sleep_duration": share(62),
        "low_battery_alert": false,
        "lowest_heart_rate": 48,
        "movement_30_sec": "1123",
        "period": 0,
        "readiness_score_delta": 0,
        "rem_sleep_duration": share(8),
        "restless_periods": 415,
        "sleep_phase_5_min": "4421",
        "sleep_score_delta": 0,
        "time_in_bed": in_bed_s,
        "total_sleep_duration": share(84),
        "type": "long_sleep",
    });
    item.body = body.to_string();
    item
}

/// What a user did on the day of this moment.
pub fn daily_activity(id: &str, at_ms: i64, steps: u64, utc_offset_s: i64) -> Item {
    let mut item = item(id, (at_ms, at_ms), utc_offset_s);
    let day = item.start_day().to_string();
    let body = json!({
        "id": id,
        "class_5_min": "0112345",
        "score": 82,
        "active_calories": 1222,
        "average_met_minutes": 1.906_25,
        "contributors": {"meet_daily_targets": 43, "stay_active": 83},
        "equivalent_walking_distance": 20_122,
        "high_activity_time": 3000,
        "inactivity_alerts": 0,
        "low_activity_time": 17_280,
        "medium_activity_time": 3000,
        "met": {"interval": 60.0, "items": [0.1, 0.1], "timestamp": format!("{day}T04:00:00.000+00:00")},
        "meters_to_target": -16_200,
        "non_wear_time": 27_480,
        "resting_time": 18_840,
        "sedentary_time": 21_600,
        "steps": steps,
        "target_calories": 350,
        "target_meters": 7000,
        "total_calories": 3446,
        "day": day,
        "timestamp": format!("{day}T04:00:00+00:00"),
    });
    item.body = body.to_string();
    item
}

fn item(id: &str, (start_ms, end_ms): (i64, i64), utc_offset_s: i64) -> Item {
    let (id, body) = (id.to_owned(), String::new());
    Item { id, start_ms, end_ms, utc_offset_s, is_private: false, body }
}
