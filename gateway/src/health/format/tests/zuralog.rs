//! What Zuralog's apps send.

use super::*;
use crate::health::activity::ActivityType;
use crate::health::source::Source;

#[test]
fn all_kinds_are_taken_and_counted() {
    let facts = take(
        Format::Zuralog,
        &json!({
            "source": "health_connect",
            "workouts": [
                {"original_id": 123, "activity_type": "running", "duration_seconds": 1_800,
                 "distance_meters": 5_000.5, "calories": 300, "start_time": "2026-05-19T06:00:00Z"},
                {"original_id": "w2", "activity_type": "yoga", "duration_seconds": 0,
                 "start_time": "2026-05-19T06:00:00Z"}
            ],
            "sleep": [{"date": "2026-05-19", "hours": 7.51, "quality_score": 8}],
            "nutrition": [
                {"date": "2026-05-19", "calories": 2_000, "protein_grams": 100,
                 "carbs_grams": null, "fat_grams": 80, "steps": 5},
                {"date": "2026-05-19"}
            ],
            "weight": [{"date": "2026-05-19", "weight_kg": 80.5}, {"date": "2026-05-19", "kg": 1}],
            "daily_metrics": [
                {"date": "2026-05-19", "steps": 9_000, "active_calories": 400.5,
                 "resting_heart_rate": 52, "hrv_ms": 60, "vo2_max": 45, "distance_meters": 7_000,
                 "flights_climbed": 3, "body_fat_percentage": 18.5, "respiratory_rate": 14,
                 "oxygen_saturation": 97, "heart_rate_avg": 70}
            ]
        }),
    );
    let counts = [("workouts", 1), ("sleep", 1), ("nutrition", 1), ("weight", 1)];
    assert_eq!(facts.counts, [&counts[..], &[("daily_metrics", 1)]].concat());
    let wrong = ["workouts[1].duration_seconds", "nutrition[1].", "weight[1]."];
    assert_eq!(faults(&facts), wrong);

    let run = activities(&facts)[0];
    assert_eq!((run.source_id.as_deref(), run.duration_s), (Some("123"), 1_800));
    assert_eq!((run.activity_type, run.source), (ActivityType::Run, Source::HealthConnect));
    assert_eq!(run.end_ms, ms("2026-05-19T06:30:00Z"));
    assert_eq!((run.distance_m, run.calories_kcal), (Some(5_000_500), Some(300_000)));

    let expected = Night {
        total_sleep_minutes: Some(451),
        ..Night::of(Source::HealthConnect, "2026-05-19".parse().unwrap())
    };
    assert_eq!(nights(&facts), [&expected]);

    let kept = [
        "calories 2000",
        "protein_g 100",
        "carbs_g null",
        "fat_g 80",
        "weight_kg 80.5",
        "steps 9000",
        "active_calories 400.5",
        "resting_heart_rate 52",
        "hrv_ms 60",
        "vo2_max 45",
        "distance_m 7000",
        "flights_climbed 3",
        "body_fat_percentage 18.5",
        "respiratory_rate 14",
        "oxygen_saturation 97",
        "heart_rate_avg 70",
    ];
    assert_eq!(told(&facts), kept.map(|kept| format!("2026-05-19 {kept}")));
}

#[test]
fn a_workout_without_an_end_in_sight_ends_now() {
    let facts = take(
        Format::Zuralog,
        &json!({"workouts": [{"original_id": "w", "activity_type": "run",
            "duration_seconds": 7_200, "start_time": "2026-05-20T11:00:00Z"}]}),
    );
    let run = activities(&facts)[0];
    assert_eq!((run.end_ms, run.elapsed_s, run.duration_s), (NOW.millis(), 3_600, 7_200));
}

#[test]
fn five_hundred_items_in_total_are_taken() {
    let night = json!({"date": "2026-05-19", "hours": 7});
    let weight = json!({"date": "2026-05-19", "weight_kg": 80});
    let body = |nights: usize, weights: usize| {
        json!({"workouts": [], "sleep": vec![night.clone(); nights],
            "weight": vec![weight.clone(); weights]})
    };
    assert_eq!(take(Format::Zuralog, &body(250, 250)).total, 500);
    refused(Format::Zuralog, &body(250, 251));
    refused(Format::Zuralog, &body(0, 0));
}
