//! What athletes and their activities look like.

use serde_json::json;

use crate::provider::item::{Item, utc};

/// Hours between UTC and where activities take place.
const UTC_OFFSET_S: i64 = -25_200;

/// An activity as it is listed: 10 km/h, with a heart rate.
pub fn activity(id: u64, start_ms: i64, elapsed_s: i64, sport_type: &str) -> Item {
    let start_ms = start_ms.div_euclid(1000) * 1000;
    // A wall clock's time, with a `Z` that is not true.
    let start_date_local = utc(start_ms + UTC_OFFSET_S * 1000);
    let body = json!({
        "resource_state": 2,
        "athlete": {"id": 134_815, "resource_state": 1},
        "name": "Happy Friday",
        "distance": elapsed_s * 10 / 36 * 10,
        "moving_time": elapsed_s,
        "elapsed_time": elapsed_s,
        "total_elevation_gain": 0,
        "type": "Workout",
        "sport_type": sport_type,
        "workout_type": null,
        "id": id,
        "external_id": format!("garmin_push_{id}"),
        "upload_id": id,
        "upload_id_str": id.to_string(),
        "start_date": utc(start_ms),
        "start_date_local": start_date_local,
        "timezone": "(GMT-08:00) America/Los_Angeles",
        "utc_offset": UTC_OFFSET_S,
        "start_latlng": null,
        "end_latlng": null,
        "location_country": "United States",
        "achievement_count": 0,
        "kudos_count": 3,
        "map": {"id": format!("a{id}"), "summary_polyline": null, "resource_state": 2},
        "device_name": "Garmin Edge 1030",
        "trainer": true,
        "commute": false,
        "manual": false,
        "private": false,
        "flagged": false,
        "average_speed": 2.777,
        "max_speed": 3.5,
        "has_heartrate": true,
        "average_heartrate": 140.3,
        "max_heartrate": 178,
    });
    Item {
        id: id.to_string(),
        start_ms,
        end_ms: start_ms + elapsed_s * 1000,
        utc_offset_s: UTC_OFFSET_S,
        is_private: false,
        body: body.to_string(),
    }
}

/// The same as one gets it by its id.
pub(crate) fn detailed(item: &Item) -> String {
    item.clone()
        .with("resource_state", "3")
        .with("calories", "870.2")
        .with("description", "null")
        .with("laps", "[]")
        .body
}

/// An athlete, as briefly as the state says.
pub(crate) fn athlete(id: &str, resource_state: u8) -> String {
    // Athletes have numbers; a test may name one otherwise.
    let id = id.parse::<u64>().map_or_else(|_| json!(id), |id| json!(id));
    json!({"id": id, "resource_state": resource_state, "firstname": "A", "lastname": "B"})
        .to_string()
}
