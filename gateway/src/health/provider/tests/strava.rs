//! Strava: the examples of its documentation, records of 2013, and worse.

use super::{activity, context, context_in, fault, list, ms, whats, with};
use crate::health::activity::ActivityType;
use crate::health::fact::What;
use crate::health::provider::strava::activities;
use crate::health::source::Source;

/// The documentation's example; its `upload_id` fits no 64 bits.
const SUMMARY: &str = r#"{
    "resource_state": 2, "athlete": {"id": 134815, "resource_state": 1},
    "name": "Happy Friday", "distance": 24931.4, "moving_time": 4500,
    "elapsed_time": 4600, "total_elevation_gain": 0, "type": "Ride",
    "sport_type": "MountainBikeRide", "workout_type": null, "id": 154504250376823,
    "external_id": "garmin_push_12345678987654321",
    "upload_id": 987654321234567891234,
    "start_date": "2018-05-02T12:15:09Z", "start_date_local": "2018-05-02T05:15:09Z",
    "timezone": "(GMT-08:00) America/Los_Angeles", "utc_offset": -25200,
    "start_latlng": null, "map": {"id": "a12345678987654321", "summary_polyline": null},
    "device_name": "Garmin Edge 1030", "trainer": true, "manual": false,
    "average_speed": 5.54, "kilojoules": 788.7, "has_heartrate": true,
    "average_heartrate": 140.3, "max_heartrate": 178, "suffer_score": 82
}"#;

/// Entered by hand, without a device, in the years before `sport_type`.
const MANUAL: &str = r#"{
    "id": 98765432123456789123456, "type": "Hike", "external_id": null, "upload_id": null,
    "map": null, "distance": 0.0, "moving_time": 0, "elapsed_time": 3600, "manual": true,
    "start_date": "2013-12-31T23:30:00Z", "start_date_local": "2014-01-01T05:00:00Z",
    "average_heartrate": null, "max_heartrate": null, "device_name": null
}"#;

#[test]
fn a_summary_is_read() {
    let ride = activity(activities, SUMMARY, &context());
    assert_eq!(ride.source, Source::Strava);
    assert_eq!(ride.source_id.as_deref(), Some("154504250376823"));
    assert_eq!(ride.external_id, None);
    assert_eq!(
        (ride.activity_type, ride.sport.as_str()),
        (ActivityType::Cycle, "MountainBikeRide")
    );
    assert_eq!(ride.date.to_string(), "2018-05-02");
    assert_eq!(ride.start_ms, ms("2018-05-02T12:15:09Z"));
    assert_eq!(ride.end_ms, ms("2018-05-02T13:31:49Z"));
    assert_eq!((ride.duration_s, ride.elapsed_s), (4_500, 4_600));
    assert_eq!(ride.distance_m, Some(24_931_400));
    assert_eq!(ride.calories_kcal, None);
    assert_eq!((ride.avg_heart_rate, ride.max_heart_rate), (Some(140_300), Some(178_000)));
    assert_eq!(ride.device.as_deref(), Some("Garmin Edge 1030"));
    assert_eq!(ride.utc_offset_s, Some(-25_200));
}

#[test]
fn details_have_calories() {
    let ride = activity(activities, &with(SUMMARY, r#""calories": 870.2"#), &context());
    assert_eq!(ride.calories_kcal, Some(870_200));
}

#[test]
fn what_nobody_measured_is_unknown_and_a_stated_zero_is_zero() {
    let hike = activity(activities, MANUAL, &context());
    assert_eq!(hike.source_id.as_deref(), Some("98765432123456789123456"));
    assert_eq!((hike.activity_type, hike.sport.as_str()), (ActivityType::Walk, "Hike"));
    assert_eq!(hike.distance_m, Some(0));
    assert_eq!((hike.duration_s, hike.elapsed_s), (0, 3_600));
    assert_eq!((hike.calories_kcal, hike.avg_heart_rate, hike.max_heart_rate), (None, None, None));
    assert_eq!(hike.device, None);
}

/// The local time's `Z` is not true, so it is never taken for an instant.
#[test]
fn the_local_day_is_by_offset_then_zone_then_local_time() {
    let day = |fields: &str, context| {
        let hike = activity(activities, &with(MANUAL, fields), &context);
        assert_eq!(hike.start_ms, ms("2013-12-31T23:30:00Z"));
        (hike.date.to_string(), hike.utc_offset_s)
    };
    let new_year = |offset_s| ("2014-01-01".to_owned(), Some(offset_s));
    let old_year = |offset_s| ("2013-12-31".to_owned(), offset_s);
    assert_eq!(day(r#""utc_offset": 3600.0"#, context()), new_year(3_600));
    assert_eq!(day(r#""utc_offset": 0"#, context()), old_year(Some(0)));
    let berlin = r#""utc_offset": null, "timezone": "(GMT+00:00) Europe/Berlin""#;
    assert_eq!(day(berlin, context()), new_year(3_600));
    let half = r#""utc_offset": 1e400, "timezone": "(GMT+05:30) Nowhere/City""#;
    assert_eq!(day(half, context()), new_year(19_800));
    assert_eq!(day(r#""timezone": "(GMT-08:00)""#, context()), old_year(Some(-28_800)));
    for nonsense in ["(GMT-99:99) X", "(GMT+14:01)", "GMT", "(GMT", "()", "(GMT--8:00)", ""] {
        let fields = format!(r#""utc_offset": 86399, "timezone": "{nonsense}""#);
        assert_eq!(day(&fields, context()), new_year(19_800), "{nonsense}");
    }
    let nothing = r#""start_date_local": "2024-01-01T05:00:00Z", "timezone": 7"#;
    assert_eq!(day(nothing, context()), old_year(None));
    assert_eq!(day(nothing, context_in(chrono_tz::Asia::Tokyo)), ("2014-01-01".to_owned(), None));
}

/// In summer the zone is ahead of what stands before its name.
#[test]
fn zones_know_of_summer() {
    let ride = activity(activities, &with(SUMMARY, r#""utc_offset": null"#), &context());
    assert_eq!(ride.utc_offset_s, Some(-25_200));
}

#[test]
fn the_newer_word_goes_before_the_older() {
    let of = |fields: &str| activity(activities, &with(MANUAL, fields), &context());
    let run = of(r#""sport_type": "TrailRun", "type": "Ride""#);
    assert_eq!((run.activity_type, run.sport.as_str()), (ActivityType::Run, "TrailRun"));
    let newer = of(r#""sport_type": "CargoBikeRide", "type": "Ride""#);
    assert_eq!((newer.activity_type, newer.sport.as_str()), (ActivityType::Cycle, "CargoBikeRide"));
    let neither = of(r#""sport_type": "Quidditch", "type": "Workout""#);
    assert_eq!(
        (neither.activity_type, neither.sport.as_str()),
        (ActivityType::Unknown, "Quidditch")
    );
    let none = of(r#""sport_type": null, "type": 37"#);
    assert_eq!((none.activity_type, none.sport.as_str()), (ActivityType::Unknown, ""));
}

#[test]
fn measurements_that_cannot_be_are_unknown() {
    for value in ["1e400", "\"NaN\"", "-1", "null", "true", "[]", "{}", "29.9", "251"] {
        let fields = format!(
            r#""average_heartrate": {value}, "max_heartrate": {value}, "device_name": 7,
            "moving_time": "NaN", "calories": -0.1, "distance": 1e300"#
        );
        let ride = activity(activities, &with(SUMMARY, &fields), &context());
        assert_eq!((ride.avg_heart_rate, ride.max_heart_rate), (None, None), "{value}");
        assert_eq!((ride.duration_s, ride.distance_m, ride.calories_kcal), (4_600, None, None));
        assert_eq!(ride.device, None);
    }
    let bounds = with(SUMMARY, r#""average_heartrate": 30, "max_heartrate": 250"#);
    let ride = activity(activities, &bounds, &context());
    assert_eq!((ride.avg_heart_rate, ride.max_heart_rate), (Some(30_000), Some(250_000)));
}

#[test]
fn names_are_cut_and_hold_no_nul() {
    let long = "ä".repeat(5_000);
    let fields = format!(r#""device_name": "{long}", "sport_type": "R\u0000un""#);
    let run = activity(activities, &with(SUMMARY, &fields), &context());
    assert_eq!(run.device.unwrap().chars().count(), 100);
    assert_eq!((run.activity_type, run.sport.as_str()), (ActivityType::Run, "Run"));
}

#[test]
fn what_cannot_be_placed_is_wrong() {
    for (fields, field) in [
        (r#""id": null"#, "id"),
        (r#""id": {}"#, "id"),
        (r#""id": "a\u0000b""#, "id"),
        (r#""start_date": null"#, "start_date"),
        (r#""start_date": "2018-05-02T12:15:09""#, "start_date"),
        (r#""start_date": 1525263309"#, "start_date"),
        (r#""start_date": "2026-11-20T12:00:01Z""#, "start_date"),
        (r#""elapsed_time": -1"#, "elapsed_time"),
        (r#""elapsed_time": 1e400"#, "elapsed_time"),
        (r#""elapsed_time": "NaN""#, "elapsed_time"),
        (r#""elapsed_time": null, "moving_time": null"#, "elapsed_time"),
    ] {
        assert_eq!(fault(activities, &with(SUMMARY, fields), &context()), field, "{fields}");
    }
}

#[test]
fn an_end_in_the_future_is_now() {
    let late = with(SUMMARY, r#""start_date": "2026-11-20T11:00:00Z", "elapsed_time": 999999999"#);
    let ride = activity(activities, &late, &context());
    assert_eq!((ride.end_ms, ride.elapsed_s), (context().now.millis(), 3_600));
    let only_moving = with(SUMMARY, r#""elapsed_time": null"#);
    assert_eq!(activity(activities, &only_moving, &context()).elapsed_s, 4_500);
}

#[test]
fn one_that_is_wrong_fails_no_other() {
    let page = format!(r#"[null, {SUMMARY}, 7, {{}}, [], "x", {MANUAL}, {{"id": 1}}]"#);
    let facts = activities(&list(&page), &context());
    assert_eq!((facts.total, facts.facts.len(), facts.ignored), (8, 2, 0));
    let wrong: Vec<_> =
        facts.errors.iter().map(|e| (e.list.as_str(), e.index, e.field.as_str())).collect();
    let of = |index, field| ("activities", index, field);
    assert_eq!(
        wrong,
        [of(0, ""), of(2, ""), of(3, "id"), of(4, ""), of(5, ""), of(7, "start_date")]
    );
    assert!(whats(activities(&list("[]"), &context())).is_empty());
    assert!(facts.facts.iter().all(|fact| matches!(fact.what, What::Activity(_))));
}
