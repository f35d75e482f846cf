//! Oura: the examples of its documentation, one of which ends before it starts.

use super::{activity, context, context_in, fault, list, ms, night, only, values, whats, with};
use crate::health::activity::ActivityType;
use crate::health::fact::What;
use crate::health::field::{Field, Value};
use crate::health::provider::oura::{daily_activity, sleep, workout};
use crate::health::source::Source;

/// The documentation's example.
const BACKWARDS: &str = r#"{
    "id": "8f9a5221-639e-4a85-81cb-4065ef23f979", "activity": "cycling", "calories": 300,
    "day": "2021-01-01", "distance": 13500.5,
    "end_datetime": "2021-01-01T01:00:00.000000+00:00", "intensity": "moderate",
    "label": null, "source": "manual",
    "start_datetime": "2021-01-01T01:30:00.000000+00:00"
}"#;

const END: &str = r#""end_datetime": "2021-01-01T02:30:00.500000+01:00""#;

/// The documentation's example.
const NIGHT: &str = r#"{
    "id": "8f9a5221-639e-4a85-81cb-4065ef23f979", "average_breath": 12.625,
    "average_heart_rate": 4.25, "average_hrv": 117, "awake_time": 4800,
    "bedtime_end": "2022-07-12T09:25:14-07:00", "bedtime_start": "2022-07-12T01:05:14-07:00",
    "day": "2022-07-12", "deep_sleep_duration": 4170, "efficiency": 84,
    "heart_rate": {"interval": 300, "items": [null, 50, 46]}, "latency": 540,
    "light_sleep_duration": 18750, "low_battery_alert": false, "lowest_heart_rate": 48,
    "period": 0, "rem_sleep_duration": 2280, "sleep_phase_5_min": "4421",
    "time_in_bed": 30000, "total_sleep_duration": null, "type": "long_sleep"
}"#;

const DAY: &str = r#"{
    "id": "8f9a5221-639e-4a85-81cb-4065ef23f97a", "active_calories": 1222, "day": "2021-11-26",
    "equivalent_walking_distance": 20122, "meters_to_target": -16200, "score": 82,
    "steps": 18430, "total_calories": 3446, "timestamp": "2021-11-26T04:00:00-08:00"
}"#;

#[test]
fn a_workout_is_read() {
    assert_eq!(fault(workout, BACKWARDS, &context()), "end_datetime");
    let ride = activity(workout, &with(BACKWARDS, END), &context());
    assert_eq!(ride.source, Source::Oura);
    assert_eq!(ride.source_id.as_deref(), Some("8f9a5221-639e-4a85-81cb-4065ef23f979"));
    assert_eq!((ride.activity_type, ride.sport.as_str()), (ActivityType::Cycle, "cycling"));
    assert_eq!(ride.date.to_string(), "2021-01-01");
    assert_eq!(ride.start_ms, ms("2021-01-01T01:30:00Z"));
    assert_eq!(ride.end_ms - ride.start_ms, 500);
    assert_eq!((ride.duration_s, ride.elapsed_s), (0, 0));
    assert_eq!((ride.distance_m, ride.calories_kcal), (Some(13_500_500), Some(300_000)));
    assert_eq!((ride.utc_offset_s, ride.device), (Some(0), None));
}

#[test]
fn a_workout_without_a_day_is_on_the_day_it_started() {
    let local = r#""start_datetime": "2020-12-31T23:30:00-02:00", "activity": null, "day": null,
        "calories": null, "distance": null, "end_datetime": "2021-01-01T03:00:00Z""#;
    let ride = activity(workout, &with(BACKWARDS, local), &context());
    assert_eq!(ride.date.to_string(), "2020-12-31");
    assert_eq!((ride.activity_type, ride.sport.as_str()), (ActivityType::Unknown, ""));
    assert_eq!((ride.distance_m, ride.calories_kcal, ride.elapsed_s), (None, None, 5_400));
}

#[test]
fn a_night_is_read() {
    let night = night(sleep, NIGHT, &context());
    assert_eq!(night.source, Source::Oura);
    assert_eq!(night.date.to_string(), "2022-07-12");
    assert_eq!(night.source_id.as_deref(), Some("8f9a5221-639e-4a85-81cb-4065ef23f979"));
    // Of 25,200 seconds in all stages: the example says no total.
    assert_eq!(night.total_sleep_minutes, Some(420));
    assert_eq!((night.in_bed_minutes, night.awake_minutes), (Some(500), Some(80)));
    assert_eq!(night.asleep_core_minutes, Some(313));
    assert_eq!(night.asleep_deep_minutes, Some(70));
    assert_eq!(night.asleep_rem_minutes, Some(38));
    assert_eq!(night.sleep_start_ms, Some(ms("2022-07-12T08:05:14Z")));
    assert_eq!(night.sleep_end_ms, Some(ms("2022-07-12T16:25:14Z")));
    assert_eq!(night.at.map(|at| Some(at.millis())), Some(night.sleep_end_ms));
}

#[test]
fn a_total_is_made_up_of_nothing() {
    let of = |fields: &str| night(sleep, &with(NIGHT, fields), &context()).total_sleep_minutes;
    assert_eq!(of(r#""total_sleep_duration": 25000"#), Some(417));
    assert_eq!(of(r#""rem_sleep_duration": null"#), None);
    assert_eq!(of(r#""rem_sleep_duration": -1"#), None);
    assert_eq!(of(r#""total_sleep_duration": 1e400"#), Some(420));
    assert_eq!(of(r#""total_sleep_duration": 2592001"#), Some(420));
    assert_eq!(of(r#""light_sleep_duration": 2592000"#), None);
}

#[test]
fn periods_that_are_no_nights() {
    let gone = only(sleep, r#"{"id": "a-1", "type": "deleted", "day": null}"#, &context());
    assert_eq!(gone, What::NightGone { source: Source::Oura, source_id: "a-1".to_owned() });
    assert_eq!(fault(sleep, r#"{"type": "deleted"}"#, &context()), "id");
    let rest = sleep(&list(r#"[{"id": "a-2", "type": "rest"}]"#), &context());
    assert_eq!((rest.total, rest.ignored), (1, 1));
    assert!(whats(rest).is_empty());
    for kind in ["\"sleep\"", "\"late_nap\"", "\"newer\"", "null", "7"] {
        night(sleep, &with(NIGHT, &format!(r#""type": {kind}"#)), &context());
    }
}

#[test]
fn nights_that_cannot_be_placed_are_wrong() {
    for (fields, field) in [
        (r#""id": null"#, "id"),
        (r#""bedtime_start": "2022-07-12T01:05:14""#, "bedtime_start"),
        (r#""bedtime_end": null"#, "bedtime_end"),
        (r#""bedtime_end": "2022-07-12T01:05:13-07:00""#, "bedtime_end"),
        (r#""day": "2022-07-12T00:00:00""#, "day"),
        (r#""day": "2026-11-22""#, "day"),
        (r#""bedtime_start": "2026-11-20T12:00:01Z""#, "bedtime_start"),
    ] {
        assert_eq!(fault(sleep, &with(NIGHT, fields), &context()), field, "{fields}");
    }
    let utc = r#""day": null, "bedtime_start": "2022-07-12T08:05:14Z",
        "bedtime_end": "2022-07-12T16:25:14Z""#;
    let there = context_in(chrono_tz::Asia::Tokyo);
    assert_eq!(night(sleep, &with(NIGHT, utc), &there).date.to_string(), "2022-07-13");
}

#[test]
fn a_day_is_read() {
    let day = values(daily_activity, DAY, &context());
    assert_eq!(
        (day.date.to_string().as_str(), day.source, day.at),
        ("2021-11-26", Source::Oura, None)
    );
    assert_eq!(
        day.values,
        [
            (Field::Steps, Some(Value::Whole(18_430))),
            (Field::ActiveCalories, Some(Value::Real(1_222_000))),
            (Field::DistanceM, Some(Value::Real(20_122_000))),
        ]
    );
}

#[test]
fn a_day_says_what_it_can() {
    let odd = r#""steps": null, "active_calories": -1, "equivalent_walking_distance": 0"#;
    let day = values(daily_activity, &with(DAY, odd), &context());
    assert_eq!(day.values, [(Field::DistanceM, Some(Value::Real(0)))]);
    let empty =
        with(DAY, r#""steps": 1e400, "active_calories": "NaN", "equivalent_walking_distance": []"#);
    let facts = daily_activity(&list(&format!("[{empty}]")), &context());
    assert_eq!((facts.total, facts.ignored, facts.facts.len()), (1, 1, 0));
    for day in ["null", "\"2026-11-22\"", "\"26.11.2021\"", "7"] {
        let item = with(DAY, &format!(r#""day": {day}"#));
        assert_eq!(fault(daily_activity, &item, &context()), "day", "{day}");
    }
}
