//! Workouts as `CoachFit`'s and `GymDashSync`'s apps send them, and ids of those
//! that are gone.

use super::*;
use crate::health::activity::ActivityType;
use crate::health::source::Source;

const CLIENT: &str = "550e8400-e29b-41d4-a716-446655440000";

fn workout(changes: &Json) -> Facts {
    let mut item = json!({
        "workout_type": "Running",
        "start_time": "2026-02-20T08:00:00Z",
        "end_time": "2026-02-20T09:00:00Z",
        "duration_seconds": 3600,
        "calories_active": 450.5,
        "distance_meters": 5000.0,
        "avg_heart_rate": 145,
        "max_heart_rate": 180,
        "source_device": "Apple Watch",
        "metadata": {"indoor": true}
    });
    for (name, value) in changes.as_object().unwrap() {
        item[name] = value.clone();
    }
    take(Format::Workouts, &json!({"client_id": CLIENT, "workouts": [item]}))
}

#[test]
fn a_workout_is_taken() {
    let facts = workout(&json!({"source_id": 98_765_432_101_234_567_u64, "external_id": "c-1"}));
    let [found] = activities(&facts)[..] else { panic!("{facts:?}") };
    let expected = Activity {
        source: Source::AppleHealth,
        source_id: Some("98765432101234567".to_owned()),
        external_id: Some("c-1".to_owned()),
        activity_type: ActivityType::Run,
        sport: "Running".to_owned(),
        date: "2026-02-20".parse().unwrap(),
        start_ms: ms("2026-02-20T08:00:00Z"),
        end_ms: ms("2026-02-20T09:00:00Z"),
        duration_s: 3_600,
        elapsed_s: 3_600,
        distance_m: Some(5_000_000),
        calories_kcal: Some(450_500),
        avg_heart_rate: Some(145_000),
        max_heart_rate: Some(180_000),
        device: Some("Apple Watch".to_owned()),
        utc_offset_s: None,
        raw: found.raw.clone(),
    };
    assert_eq!(*found, expected);
    assert!(found.raw.starts_with(r#"{"workout_type":"Running""#));
}

#[test]
fn the_sources_own_numbers_name_workouts() {
    let of = |source: &str, number: i64| {
        let body = json!({"source": source, "workouts": [{
            "workout_type": number,
            "start_time": "2026-02-20T08:00:00+01:00", "end_time": "2026-02-20T09:00:00+01:00"
        }]});
        let facts = take(Format::Workouts, &body);
        let activity = activities(&facts)[0];
        assert_eq!((activity.sport.clone(), activity.duration_s), (number.to_string(), 3_600));
        assert_eq!(activity.utc_offset_s, Some(3_600));
        activity.activity_type
    };
    assert_eq!(of("apple_health", 37), ActivityType::Run);
    assert_eq!(of("health_connect", 37), ActivityType::Walk);
    assert_eq!(of("health_connect", 56), ActivityType::Run);
    assert_eq!(of("health_connect", 9_999), ActivityType::Unknown);
}

#[test]
fn wrong_workouts_are_wrong() {
    for (name, value) in [
        ("duration_seconds", json!(-1)),
        ("duration_seconds", json!(0)),
        ("duration_seconds", json!(1e300)),
        ("avg_heart_rate", json!(20)),
        ("max_heart_rate", json!(260)),
        ("calories_active", json!(-0.1)),
        ("distance_meters", json!(1e300)),
        ("start_time", json!("2026-02-20")),
        ("start_time", json!("2026-02-20T08:00:00")),
        ("start_time", json!("2026-05-20T12:00:01Z")),
        ("start_time", json!(null)),
        ("end_time", json!("2026-02-20T07:59:59Z")),
        ("end_time", json!(null)),
        ("workout_type", json!("")),
        ("workout_type", json!("x".repeat(101))),
        ("workout_type", json!(null)),
        ("workout_type", json!([])),
        ("source_device", json!("x".repeat(101))),
        ("source_id", json!("x".repeat(256))),
        ("source_id", json!({})),
        ("metadata", json!("indoor")),
    ] {
        let facts = workout(&json!({name: value}));
        assert_eq!(faults(&facts), [format!("workouts[0].{name}")], "{value}");
    }
    for name in ["calories_active", "distance_meters", "avg_heart_rate", "max_heart_rate"] {
        assert!(faults(&workout(&json!({name: null}))).is_empty());
    }
    assert!(faults(&workout(&json!({"source_device": "", "metadata": null}))).is_empty());
}

#[test]
fn a_workout_that_goes_on_ends_now() {
    let times = json!({
        "start_time": "2026-05-20T11:00:00Z", "end_time": "2026-05-20T13:00:00Z",
        "duration_seconds": null
    });
    let facts = workout(&times);
    let activity = activities(&facts)[0];
    assert_eq!((activity.end_ms, activity.duration_s), (NOW.millis(), 3_600));
}

#[test]
fn deleted_workouts_may_come_alone() {
    let body = r#"{"source": "health_connect",
        "deleted": ["a-1", 123456789012345678901234, "", {}, null]}"#;
    let facts = read(Format::Workouts, body, &context()).unwrap();
    assert_eq!(faults(&facts), ["deleted[2].", "deleted[3].", "deleted[4]."]);
    let gone: Vec<_> = facts.facts.iter().map(|fact| fact.what.clone()).collect();
    let of =
        |id: &str| What::ActivityGone { source: Source::HealthConnect, source_id: id.to_owned() };
    assert_eq!(gone, [of("a-1"), of("123456789012345678901234")]);
    take(Format::Workouts, &json!({"workouts": [], "deleted": ["a"]}));
    assert_eq!(
        refused(Format::Workouts, &json!({"workouts": [], "deleted": []})).field,
        "workouts"
    );
    let long = json!({"workouts": [{}], "deleted": vec!["a"; 501]});
    assert_eq!(refused(Format::Workouts, &long).field, "deleted");
}
