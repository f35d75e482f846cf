//! Exports of Health Auto Export.

use super::*;
use crate::health::activity::ActivityType;
use crate::health::source::Source;

fn export(data: &Json) -> Facts {
    take(Format::HealthAutoExport, &json!({"data": data}))
}

fn metric(name: &str, units: &str, points: &Json) -> Facts {
    export(&json!({"metrics": [{"name": name, "units": units, "data": points}]}))
}

fn workout(changes: &Json) -> Facts {
    let mut item = json!({
        "id": "8C5E", "name": "Outdoor Run", "start": "2026-05-18 23:30:00 -0700",
        "end": "2026-05-19 00:30:00 -0700", "duration": 3_500.4,
        "activeEnergyBurned": {"qty": 1_000, "units": "kJ"},
        "distance": {"qty": 5.5, "units": "km"},
        "heartRate": {"min": {"qty": 90, "units": "bpm"}, "avg": {"qty": 150.5, "units": "bpm"},
            "max": {"qty": 180, "units": "bpm"}},
        "activeEnergy": [{"qty": 1, "date": "2026-05-18 23:30:00 -0700"}], "route": []
    });
    for (name, value) in changes.as_object().unwrap() {
        item[name] = value.clone();
    }
    export(&json!({"workouts": [item]}))
}

/// A real day: names of devices replaced.
#[test]
fn a_real_day_is_taken() {
    let watch = |qty: f64| json!([{"qty": qty, "source": "Watch A", "date": DAY}]);
    let both = |qty: f64| json!([{"source": "Watch A|Phone A", "qty": qty, "date": DAY}]);
    let heart = json!([{"Min": 52, "Avg": 74.613_139_994_679_83, "Max": 116,
        "source": "Watch A", "date": DAY}]);
    let metrics = [
        ("apple_exercise_time", "min", watch(4.0)),
        ("active_energy", "kcal", watch(515.696_384_291_386_5)),
        ("apple_sleeping_wrist_temperature", "degF", watch(95.170_452_880_859_32)),
        ("apple_stand_hour", "count", watch(12.0)),
        ("flights_climbed", "count", both(5.0)),
        ("heart_rate", "count/min", heart),
        ("heart_rate_variability", "ms", watch(59.771_549_595_894_335)),
        ("basal_energy_burned", "kcal", watch(2_264.711_553_324_929_5)),
        ("resting_heart_rate", "count/min", watch(61.999_999_999_999_99)),
        ("respiratory_rate", "count/min", watch(17.222_222_222_222_22)),
        ("step_count", "count", both(7_369.142_032_399_631)),
        ("time_in_daylight", "min", watch(37.0)),
        ("walking_running_distance", "mi", both(3.287_830_590_933_034)),
        ("walking_asymmetry_percentage", "%", watch(0.827_586_206_896_551_7)),
    ];
    let metrics =
        metrics.map(|(name, units, data)| json!({"name": name, "units": units, "data": data}));
    let facts = export(&json!({"metrics": metrics}));
    assert_eq!((facts.total, facts.ignored, facts.facts.len()), (14, 6, 8));
    let sums = [
        "2026-05-19 steps [0 Watch A|Phone A=7369142]",
        "2026-05-19 flights_climbed [0 Watch A|Phone A=5000]",
        "2026-05-19 distance_m [0 Watch A|Phone A=5291250]",
        "2026-05-19 active_calories [0 Watch A=515696]",
    ];
    assert_eq!(summed(&facts), sums);
    let latest = [
        "2026-05-19 resting_heart_rate 62",
        "2026-05-19 heart_rate_avg 74.613",
        "2026-05-19 hrv_sdnn_ms 59.772",
        "2026-05-19 respiratory_rate 17.222",
    ];
    assert_eq!(told(&facts), latest);
    assert_eq!(values(&facts)[0].at.unwrap().millis(), ms("2026-05-19T00:00:00-07:00"));
    assert_eq!(values(&facts)[0].source, Source::AppleHealth);
}

const DAY: &str = "2026-05-19 00:00:00 -0700";

#[test]
fn windows_that_overlap_name_the_same_points() {
    let point = |time: &str, qty: i64| json!({"date": time, "qty": qty, "source": "Watch A"});
    let first = [
        point("2026-05-19 07:00:00 +0200", 10),
        point("2026-05-19 07:01:00 +0200", 20),
        point("2026-05-19 07:01:00 +0200", 25),
    ];
    let second = [point("2026-05-19 07:01:00 +0200", 30), point("2026-05-20 07:02:00 +0200", 40)];
    let facts = metric("step_count", "count", &json!(first));
    let keys = ["25200000+120 Watch A=10000", "25260000+120 Watch A=25000"];
    assert_eq!(summed(&facts), [format!("2026-05-19 steps [{}]", keys.join(", "))]);
    assert_eq!(facts.facts[0].items, 3);
    let later = [
        "2026-05-19 steps [25260000+120 Watch A=30000]",
        "2026-05-20 steps [25320000+120 Watch A=40000]",
    ];
    assert_eq!(summed(&metric("step_count", "count", &json!(second))), later);
}

#[test]
fn days_told_again_after_a_journey_are_the_same() {
    let of =
        |date: &str| summed(&metric("step_count", "count", &json!([{"date": date, "qty": 1}])));
    assert_eq!(of("2026-05-19 00:00:00 -0700"), of("2026-05-19 00:00:00 +0200"));
    assert_eq!(of("2026-05-19"), of("2026-05-19 00:00:00 +0200"));
    // The hour that comes twice.
    assert_ne!(of("2025-11-02 01:30:00 -0700"), of("2025-11-02 01:30:00 -0800"));
}

#[test]
fn the_latest_of_a_day_counts_wherever_it_stands() {
    let facts = metric(
        "weight_body_mass",
        "lb",
        &json!([
            {"date": "2026-05-18 20:00:00 -0700", "qty": 181},
            {"date": "2026-05-18 21:00:00 -0700", "qty": 180},
            {"date": "2026-05-18 08:00:00 -0700", "qty": 182},
            {"date": "2026-05-19 08:00:00 -0700", "qty": 179}
        ]),
    );
    let kept = ["2026-05-18 weight_kg 81.647", "2026-05-19 weight_kg 81.193"];
    assert_eq!(told(&facts), kept);
    assert_eq!(facts.facts.iter().map(|fact| fact.items).collect::<Vec<_>>(), [3, 1]);
}

#[test]
fn each_metric_fills_its_field() {
    for (name, units, qty, kept) in [
        ("resting_heart_rate", "bpm", 52.0, "resting_heart_rate 52"),
        ("heart_rate", "count/min", 70.0, "heart_rate_avg 70"),
        ("heart_rate_variability", "ms", 50.0, "hrv_sdnn_ms 50"),
        ("vo2max", "ml/(kg·min)", 45.0, "vo2_max 45"),
        ("vo2_max", "mL/min·kg", 45.0, "vo2_max 45"),
        ("respiratory_rate", "count/min", 14.0, "respiratory_rate 14"),
        ("blood_oxygen_saturation", "%", 0.97, "oxygen_saturation 97"),
        ("blood_oxygen_saturation", "%", 97.0, "oxygen_saturation 97"),
        ("oxygen_saturation", "%", 97.0, "oxygen_saturation 97"),
        ("weight_body_mass", "st", 12.0, "weight_kg 76.204"),
        ("body_mass", "kg", 76.0, "weight_kg 76"),
        ("body_fat_percentage", "%", 18.5, "body_fat_percentage 18.5"),
        ("height", "ft", 6.0, "height_m 1.829"),
        ("lean_body_mass", "kg", 60.0, "lean_body_mass_kg 60"),
        ("dietary_energy", "kJ", 8_368.0, "calories 2000"),
        ("protein", "g", 100.0, "protein_g 100"),
        ("carbohydrates", "g", 200.0, "carbs_g 200"),
        ("total_fat", "g", 80.0, "fat_g 80"),
        ("fiber", "mg", 30_000.0, "fiber_g 30"),
    ] {
        let facts = metric(name, units, &json!([{"date": DAY, "qty": qty}]));
        assert_eq!(told(&facts), [format!("2026-05-19 {kept}")], "{name}");
    }
    for (name, units, qty, kept) in [
        ("step_count", "步", 5.0, "steps [0 =5000]"),
        ("active_energy", "kJ", 418.4, "active_calories [0 =100000]"),
        ("walking_running_distance", "km", 5.0, "distance_m [0 =5000000]"),
        ("flights_climbed", "count", 3.0, "flights_climbed [0 =3000]"),
    ] {
        let facts = metric(name, units, &json!([{"date": DAY, "qty": qty}]));
        assert_eq!(summed(&facts), [format!("2026-05-19 {kept}")], "{name}");
    }
}

#[test]
fn wrong_points_are_wrong_one_by_one() {
    let points = json!([
        {"date": DAY, "qty": 1},
        {"date": DAY, "qty": -1},
        {"date": DAY, "qty": "NaN"},
        {"date": DAY},
        {"qty": 1},
        {"date": "2026-05-19 00:00:00", "qty": 1},
        {"date": "2026-05-22", "qty": 1},
        {"date": "2026-05-20 12:00:01 +0000", "qty": 1},
        {"date": DAY, "qty": 1, "source": 7},
        {"date": DAY, "qty": 200_001},
        7,
        {"date": DAY, "qty": 1, "source": "x".repeat(501)}
    ]);
    let facts = metric("step_count", "count", &points);
    let fields = [
        "1].qty",
        "2].qty",
        "3].qty",
        "4].date",
        "5].date",
        "6].date",
        "7].date",
        "8].source",
        "9].qty",
        "10].",
        "11].source",
    ];
    assert_eq!(faults(&facts), fields.map(|field| format!("step_count[{field}")));
    let huge = r#"{"data":{"metrics":[{"name":"step_count","units":"count","data":[
        {"date":"2026-05-19 00:00:00 -0700","qty":1e400},
        {"date":"2026-05-19 00:00:00 -0700","qty":3}]}]}}"#;
    let facts = read(Format::HealthAutoExport, huge, &context()).unwrap();
    assert_eq!(faults(&facts), ["step_count[0].qty"]);
    assert_eq!(summed(&facts), ["2026-05-19 steps [0 =3000]"]);
}

#[test]
fn an_unknown_unit_fails_its_points_and_only_some_of_them_are_listed() {
    let points = vec![json!({"date": DAY, "qty": 1}); 1_001];
    let facts = metric("active_energy", "大卡", &json!(points));
    assert_eq!((facts.errors.len(), facts.unlisted, facts.total), (1_000, 1, 1_001));
    assert_eq!(faults(&facts)[0], "active_energy[0].units");
}

#[test]
fn names_that_nobody_knows_are_counted() {
    let facts = export(&json!({
        "metrics": [{"name": "mood", "units": "", "data": [1, 2, 3]}],
        "workouts": [], "ecg": [{}, {}], "symptoms": null, "medications": {"a": 1}
    }));
    assert_eq!((facts.total, facts.ignored), (5, 5));
    let facts = export(&json!({"metrics": [
        7, {"units": "x", "data": []}, {"name": "step_count", "units": "count"},
        {"name": "step_count", "units": "count", "data": {}}
    ]}));
    assert_eq!(
        faults(&facts),
        ["metrics[0].", "metrics[1].name", "metrics[2].data", "metrics[3].data"]
    );
}

#[test]
fn exports_of_nothing_are_refused() {
    for (body, field) in [
        (json!({}), "data"),
        (json!({"data": null}), "data"),
        (json!({"data": []}), "data"),
        (json!({"data": {}}), "data.metrics"),
        (json!({"data": {"metrics": [], "workouts": []}}), "data.metrics"),
        (json!({"data": {"metrics": {}}}), "data.metrics"),
        (json!({"data": {"metrics": [], "workouts": "x"}}), "data.workouts"),
    ] {
        assert_eq!(refused(Format::HealthAutoExport, &body).field, field, "{body}");
    }
}

#[test]
fn whole_nights_come_in_hours() {
    let facts = metric(
        "sleep_analysis",
        "hr",
        &json!([
            {"date": "2026-05-19", "totalSleep": 7.5, "asleep": 0, "core": 4, "deep": 1.5, "rem": 2,
             "awake": 0.25, "inBed": 0, "sleepStart": "2026-05-18 23:00:00 -0700",
             "sleepEnd": "2026-05-19 06:45:00 -0700", "source": "Watch A|Phone A"},
            {"date": "2026-05-18 00:00:00 -0700", "asleep": 6.5, "inBed": 8, "source": ""},
            {"sleepEnd": "2026-05-17 06:45:00 -0700", "core": 4, "rem": 1},
            {"date": "2026-05-16"},
            {"date": "2026-05-16", "totalSleep": -1},
            {"totalSleep": 1}
        ]),
    );
    let wrong =
        ["sleep_analysis[3].totalSleep", "sleep_analysis[4].totalSleep", "sleep_analysis[5].date"];
    assert_eq!(faults(&facts), wrong);
    let end = ms("2026-05-19T06:45:00-07:00");
    let first = Night {
        total_sleep_minutes: Some(450),
        awake_minutes: Some(15),
        asleep_core_minutes: Some(240),
        asleep_deep_minutes: Some(90),
        asleep_rem_minutes: Some(120),
        sleep_start_ms: Some(ms("2026-05-18T23:00:00-07:00")),
        sleep_end_ms: Some(end),
        source_devices: vec!["Watch A".to_owned(), "Phone A".to_owned()],
        at: Some(Timestamp::from_millis(end)),
        ..Night::of(Source::AppleHealth, "2026-05-19".parse().unwrap())
    };
    let second = Night {
        total_sleep_minutes: Some(390),
        in_bed_minutes: Some(480),
        ..Night::of(Source::AppleHealth, "2026-05-18".parse().unwrap())
    };
    let found = nights(&facts);
    assert_eq!(*found[0], first);
    assert_eq!(*found[1], second);
    let third = found[2];
    assert_eq!(
        (third.date.to_string().as_str(), third.total_sleep_minutes),
        ("2026-05-17", Some(300))
    );
    let facts =
        metric("sleep_analysis", "min", &json!([{"date": "2026-05-19", "totalSleep": 450}]));
    assert_eq!(nights(&facts)[0].total_sleep_minutes, Some(450));
    let facts = metric("sleep_analysis", "?", &json!([{"date": "2026-05-19", "totalSleep": 450}]));
    assert_eq!(faults(&facts), ["sleep_analysis[0].units"]);
}

#[test]
fn stages_make_up_nights_and_what_overlaps_counts_once() {
    let stage = |value: &str, start: &str, end: &str, source: &str| {
        json!({"value": value, "startDate": format!("2026-05-{start}:00 -0700"),
            "endDate": format!("2026-05-{end}:00 -0700"), "qty": 1, "source": source})
    };
    let facts = metric(
        "sleep_analysis",
        "hr",
        &json!([
            stage("Core", "18 23:00", "19 01:00", "Watch A"),
            stage("Core", "19 00:30", "19 01:00", "Watch A"),
            stage("Awake", "19 01:00", "19 01:10", "Watch A"),
            stage("Deep", "19 01:10", "19 02:10", "Watch A"),
            stage("REM", "19 02:10", "19 03:10", "Watch A"),
            stage("Asleep", "19 03:00", "19 03:40", "Watch A"),
            stage("Awake", "19 03:40", "19 04:40", "Watch A"),
            stage("In Bed", "18 22:30", "19 04:40", "Phone A"),
            // A nap on the next day.
            stage("Unspecified", "19 14:00", "19 14:30", "Watch A"),
            stage("Dreaming", "19 14:00", "19 14:30", "Watch A"),
            stage("Core", "19 14:00", "19 13:30", "Watch A"),
            stage("Core", "21 14:00", "21 14:30", "Watch A")
        ]),
    );
    assert_eq!(faults(&facts), ["sleep_analysis[10].endDate", "sleep_analysis[11].startDate"]);
    assert_eq!((facts.total, facts.ignored), (12, 1));
    let short: Vec<_> = nights(&facts)
        .iter()
        .map(|night| {
            let minutes = [
                night.total_sleep_minutes,
                night.in_bed_minutes,
                night.awake_minutes,
                night.asleep_core_minutes,
                night.asleep_deep_minutes,
                night.asleep_rem_minutes,
            ];
            (night.date.to_string(), night.source_devices.join("+"), minutes)
        })
        .collect();
    let day = "2026-05-19".to_owned();
    let expected = [
        (
            day.clone(),
            "Watch A+Phone A".to_owned(),
            [Some(270), Some(370), Some(10), Some(120), Some(60), Some(60)],
        ),
        (day, "Watch A".to_owned(), [Some(30), None, None, None, None, None]),
    ];
    assert_eq!(short, expected);
    let night = nights(&facts)[0];
    assert_eq!(night.sleep_start_ms, Some(ms("2026-05-18T23:00:00-07:00")));
    assert_eq!(night.sleep_end_ms, Some(ms("2026-05-19T03:40:00-07:00")));
    assert_eq!(facts.facts[0].items, 7 + 1);
}

#[test]
fn workouts_of_both_versions_are_taken() {
    let facts = workout(&json!({}));
    let run = activities(&facts)[0];
    assert_eq!((run.activity_type, run.sport.as_str()), (ActivityType::Run, "Outdoor Run"));
    assert_eq!(
        (run.source_id.as_deref(), run.date.to_string().as_str()),
        (Some("8C5E"), "2026-05-18")
    );
    assert_eq!((run.duration_s, run.elapsed_s, run.utc_offset_s), (3_500, 3_600, Some(-25_200)));
    assert_eq!((run.distance_m, run.calories_kcal), (Some(5_500_000), Some(239_006)));
    assert_eq!((run.avg_heart_rate, run.max_heart_rate), (Some(150_500), Some(180_000)));

    let old = export(&json!({"workouts": [{
        "name": "户外 步行", "start": "2026-05-19 08:00:00 +0800", "end": "2026-05-19 09:00:00 +0800",
        "totalEnergy": {"qty": 200, "units": "kcal"}, "distance": {"qty": 2, "units": "mi"},
        "avgHeartRate": {"qty": 100, "units": "count/min"}, "maxHeartRate": 0,
        "metadata": {"HKExternalUUID": "command-1"}
    }]}));
    let walk = activities(&old)[0];
    assert_eq!((walk.activity_type, walk.sport.as_str()), (ActivityType::Unknown, "户外 步行"));
    assert_eq!((walk.source_id.clone(), walk.external_id.as_deref()), (None, Some("command-1")));
    assert_eq!((walk.distance_m, walk.calories_kcal), (Some(3_218_688), Some(200_000)));
    assert_eq!((walk.avg_heart_rate, walk.max_heart_rate), (Some(100_000), None));
}

#[test]
fn wrong_workouts_are_wrong() {
    for (name, value) in [
        ("name", json!(null)),
        ("start", json!("2026-05-19")),
        ("start", json!("2026-05-20 12:00:01 +0000")),
        ("end", json!("2026-05-18 23:29:59 -0700")),
        ("duration", json!(-1)),
        ("distance", json!({"qty": 5, "units": "里"})),
        ("distance", json!({"qty": -5, "units": "km"})),
        ("activeEnergyBurned", json!({"qty": "5", "units": "kcal"})),
        ("heartRate", json!({"avg": {"qty": 500, "units": "bpm"}})),
    ] {
        assert_eq!(
            faults(&workout(&json!({name: value}))),
            [format!("workouts[0].{name}")],
            "{value}"
        );
    }
}
