//! Records of Health Connect from HC Webhook.

use super::*;
use crate::health::activity::ActivityType;
use crate::health::source::Source;

fn records(body: &Json) -> Facts {
    take(Format::HcWebhook, body)
}

#[test]
fn what_the_app_sends_is_taken() {
    let facts = records(&json!({
        "timestamp": "2026-05-09T14:00:00.123Z", "app_version": "1.2.3", "test": true,
        "steps": [{"count": 8_432, "start_time": "2026-05-08T00:00:00Z",
            "end_time": "2026-05-08T10:30:00Z",
            "metadata": {"data_origin": "com.google.android.apps.fitness",
                "recording_method": "automatically_recorded"}}],
        "sleep": [{"session_end_time": "2026-05-08T07:00:00Z", "duration_seconds": 27_000,
            "stages": [
                {"stage": "deep", "start_time": "2026-05-08T00:00:00Z",
                 "end_time": "2026-05-08T02:00:00Z", "duration_seconds": 7_200},
                {"stage": "rem", "start_time": "2026-05-08T02:00:00Z",
                 "end_time": "2026-05-08T05:30:00Z", "duration_seconds": 12_600},
                {"stage": "light", "start_time": "2026-05-08T05:30:00Z",
                 "end_time": "2026-05-08T07:00:00Z", "duration_seconds": 5_400}
            ]}],
        "heart_rate": [{"bpm": 72, "time": "2026-05-08T09:00:00Z"}],
        "distance": [{"meters": 5_420.0, "start_time": "2026-05-08T08:00:00Z",
            "end_time": "2026-05-08T09:00:00Z"}],
        "active_calories": [{"calories": 312.0, "start_time": "2026-05-08T08:00:00Z",
            "end_time": "2026-05-08T09:00:00Z"}],
        "total_calories": [{"calories": 2_312.0, "start_time": "2026-05-08T08:00:00Z",
            "end_time": "2026-05-08T09:00:00Z"}],
        "weight": [{"kilograms": 75.5, "time": "2026-05-08T07:30:00Z"}],
        "exercise": [{"type": "running", "start_time": "2026-05-08T08:00:00Z",
            "end_time": "2026-05-08T09:00:00Z", "duration_seconds": 3_600,
            "distance_meters": 5_420.0, "steps": 6_800, "avg_cadence_spm": 170.0,
            "max_cadence_spm": 182.0, "stride_length_m": 1.2}]
    }));
    assert_eq!((facts.total, facts.ignored), (8, 1));
    let day = "2026-05-08";
    let sums = [
        format!("{day} steps com.google.android.apps.fitness [1778198400000+37800000=8432000]"),
        format!("{day} distance_m [1778227200000+3600000=5420000]"),
        format!("{day} active_calories [1778227200000+3600000=312000]"),
    ];
    assert_eq!(summed(&facts), sums);
    let told = told(&facts);
    assert_eq!(told, ["2026-05-08 weight_kg 75.5", "2026-05-08 heart_rate_avg 72"]);

    let end = ms("2026-05-08T07:00:00Z");
    let night = Night {
        total_sleep_minutes: Some(420),
        in_bed_minutes: Some(450),
        asleep_core_minutes: Some(90),
        asleep_deep_minutes: Some(120),
        asleep_rem_minutes: Some(210),
        sleep_start_ms: Some(end - 27_000_000),
        sleep_end_ms: Some(end),
        at: Some(Timestamp::from_millis(end)),
        ..Night::of(Source::HealthConnect, day.parse().unwrap())
    };
    assert_eq!(nights(&facts), [&night]);
    let run = activities(&facts)[0];
    assert_eq!((run.activity_type, run.sport.as_str()), (ActivityType::Run, "running"));
    assert_eq!((run.source, run.source_id.clone()), (Source::HealthConnect, None));
    assert_eq!((run.duration_s, run.distance_m), (3_600, Some(5_420_000)));
}

#[test]
fn each_origin_has_its_own_sum() {
    let steps = |count: i64, minute: i64, origin: &str| {
        json!({"count": count, "start_time": format!("2026-05-08T08:{minute:02}:00Z"),
            "end_time": format!("2026-05-08T08:{:02}:00Z", minute + 1),
            "metadata": {"data_origin": origin}})
    };
    let facts = records(&json!({"steps": [
        steps(10, 0, "phone"), steps(20, 1, "phone"), steps(12, 0, "watch"), steps(20, 1, "phone")
    ]}));
    let sums = [
        "2026-05-08 steps phone [1778227200000+60000=10000, 1778227260000+60000=20000]",
        "2026-05-08 steps watch [1778227200000+60000=12000]",
    ];
    assert_eq!(summed(&facts), sums);
    assert_eq!(facts.facts[0].items, 3);
}

#[test]
fn an_end_in_the_future_names_the_same_sample_when_it_has_come() {
    let body = json!({"steps": [{"count": 10, "start_time": "2026-05-20T11:00:00Z",
        "end_time": "2026-05-20T13:00:00Z"}]});
    let later = Context { now: NOW.plus_millis(7_200_000), ..context() };
    assert_eq!(summed(&records(&body)), summed(&take_in(&later, Format::HcWebhook, &body)));
}

#[test]
fn samples_belong_to_the_day_they_start_on() {
    let zone = Some(chrono_tz::America::New_York);
    let of = |start: &str, end: &str| {
        let body = json!({"steps": [{"count": 1, "start_time": start, "end_time": end}]});
        let facts = take_in(&Context { zone, ..context() }, Format::HcWebhook, &body);
        summed(&facts)[0][..10].to_owned()
    };
    // The night in which clocks are set back.
    assert_eq!(of("2025-11-02T03:59:00Z", "2025-11-02T04:01:00Z"), "2025-11-01");
    assert_eq!(of("2025-11-02T04:00:00Z", "2025-11-02T04:01:00Z"), "2025-11-02");
    assert_eq!(of("2025-11-03T04:59:00Z", "2025-11-03T05:01:00Z"), "2025-11-02");
    assert_eq!(of("2025-11-03T04:59:00+09:00", "2025-11-03T05:01:00+09:00"), "2025-11-03");
    let body = json!({"steps": [{"count": 1, "start_time": "2026-05-18T20:00:00Z",
        "end_time": "2026-05-18T20:01:00Z", "start_zone_offset": "+09:00"}]});
    let facts = take_in(&Context { zone, ..context() }, Format::HcWebhook, &body);
    assert_eq!(&summed(&facts)[0][..10], "2026-05-19");
}

#[test]
fn stages_and_types_come_as_numbers_too() {
    let stage = |stage: Json, start: &str, end: &str| {
        json!({"stage": stage, "start_time": format!("2026-05-08T{start}:00Z"),
            "end_time": format!("2026-05-08T{end}:00Z")})
    };
    let facts = records(&json!({
        "sleep": [
            {"session_end_time": "2026-05-08T07:00:00Z", "duration_seconds": 25_200, "stages": [
                stage(json!("4"), "00:00", "02:00"), stage(json!(5), "02:00", "03:00"),
                stage(json!("1"), "03:00", "03:30"), stage(json!("6"), "03:30", "04:00"),
                stage(json!("2"), "04:00", "05:00"), stage(json!("99"), "05:00", "06:00")
            ]},
            {"session_end_time": "2026-05-07T07:00:00Z", "duration_seconds": 25_200},
            {"session_end_time": "2026-05-07T07:00:00Z", "duration_seconds": 25_200, "stages": [{}]},
            {"session_end_time": "2026-05-07T07:00:00Z"},
            {"duration_seconds": 25_200}
        ],
        "exercise": [
            {"type": "37", "start_time": "2026-05-08T08:00:00Z", "end_time": "2026-05-08T09:00:00Z",
             "duration_seconds": 1_800, "metadata": {"id": "hc-1", "client_record_id": "command-1",
                "device": {"manufacturer": "Google", "model": "Pixel Watch"}}},
            {"type": 56, "start_time": "2026-05-08T08:00:00Z", "end_time": "2026-05-08T09:00:00Z"},
            {"start_time": "2026-05-08T08:00:00Z", "end_time": "2026-05-08T09:00:00Z"}
        ]
    }));
    let wrong = [
        "sleep[2].stages",
        "sleep[3].duration_seconds",
        "sleep[4].session_end_time",
        "exercise[2].type",
    ];
    assert_eq!(faults(&facts), wrong);
    let night = nights(&facts)[0];
    let minutes = [night.total_sleep_minutes, night.awake_minutes, night.asleep_core_minutes];
    assert_eq!(minutes, [Some(270), Some(30), Some(120)]);
    assert_eq!(nights(&facts)[1].total_sleep_minutes, Some(420));
    let hike = activities(&facts)[0];
    assert_eq!((hike.activity_type, hike.sport.as_str()), (ActivityType::Walk, "37"));
    assert_eq!(
        (hike.source_id.as_deref(), hike.external_id.as_deref()),
        (Some("hc-1"), Some("command-1"))
    );
    assert_eq!(hike.device.as_deref(), Some("Pixel Watch"));
    assert_eq!(activities(&facts)[1].activity_type, ActivityType::Run);
}

#[test]
fn each_list_fills_its_field() {
    for (list, name, number, kept) in [
        ("heart_rate", "bpm", 72.0, "heart_rate_avg 72"),
        ("resting_heart_rate", "bpm", 52.0, "resting_heart_rate 52"),
        ("heart_rate_variability", "rmssd_millis", 60.0, "hrv_ms 60"),
        ("oxygen_saturation", "percentage", 97.0, "oxygen_saturation 97"),
        ("oxygen_saturation", "percentage", 0.5, "oxygen_saturation 0.5"),
        ("respiratory_rate", "rate", 14.0, "respiratory_rate 14"),
        ("weight", "kilograms", 75.5, "weight_kg 75.5"),
        ("lean_body_mass", "kilograms", 60.0, "lean_body_mass_kg 60"),
        ("height", "meters", 1.8, "height_m 1.8"),
        ("body_fat", "percentage", 18.5, "body_fat_percentage 18.5"),
        ("vo2_max", "ml_per_kg_per_min", 45.0, "vo2_max 45"),
    ] {
        let facts = records(&json!({list: [{name: number, "time": "2026-05-08T09:00:00Z"}]}));
        assert_eq!(told(&facts), [format!("2026-05-08 {kept}")], "{list}");
        let facts = records(&json!({list: [{name: number}, {"time": "2026-05-08T09:00:00Z"}]}));
        assert_eq!(faults(&facts), [format!("{list}[0].time"), format!("{list}[1].{name}")]);
    }
}

#[test]
fn meals_add_up() {
    let meal = |hour: u8, changes: Json| {
        let mut meal = json!({"start_time": format!("2026-05-08T{hour:02}:00:00Z"),
            "end_time": format!("2026-05-08T{hour:02}:30:00Z"), "name": "meal"});
        for (name, value) in changes.as_object().unwrap() {
            meal[name] = value.clone();
        }
        meal
    };
    let facts = records(&json!({"nutrition": [
        meal(8, json!({"calories": 500, "protein_grams": 20, "dietary_fiber_grams": 5})),
        meal(12, json!({"calories": 700, "carbs_grams": 80, "fat_grams": 30})),
        meal(18, json!({"calories": 700, "protein_grams": -1})),
        meal(19, json!({"sugar_grams": 1}))
    ]}));
    assert_eq!(faults(&facts), ["nutrition[2].protein_grams", "nutrition[3].calories"]);
    let sums = summed(&facts);
    assert_eq!(sums.len(), 5);
    assert!(
        sums[0].ends_with("calories [1778227200000+1800000=500000, 1778241600000+1800000=700000]")
    );
}

#[test]
fn bodies_of_nothing_are_refused() {
    for (body, field) in [
        (json!({}), "steps"),
        (json!({"timestamp": "x", "steps": []}), "steps"),
        (json!({"sleep": {}}), "sleep"),
    ] {
        assert_eq!(refused(Format::HcWebhook, &body).field, field);
    }
}
