//! Records from the mobile SDK of Open Wearables.

use super::*;
use crate::health::activity::ActivityType;
use crate::health::source::Source;

fn request(provider: &str, data: &Json) -> Facts {
    let body = json!({"provider": provider, "sdkVersion": "1.0.0",
        "syncTimestamp": "2025-04-10T12:00:00Z", "data": data});
    take(Format::OpenWearables, &body)
}

fn phone() -> Json {
    json!({"name": "iPhone", "bundleIdentifier": "com.apple.health",
        "deviceManufacturer": "Apple Inc.", "deviceModel": "iPhone", "productType": "iPhone10,5",
        "operatingSystemVersion": {"majorVersion": 15, "minorVersion": 4, "patchVersion": 1}})
}

#[test]
fn what_the_sdk_sends_of_healthkit_is_taken() {
    let mut watch = phone();
    watch["name"] = json!("Test Apple Watch");
    let facts = request(
        "apple",
        &json!({
            "records": [{"id": "ED008640", "type": "HKQuantityTypeIdentifierStepCount",
                "unit": "count", "value": 66, "startDate": "2022-05-28T23:56:11Z",
                "endDate": "2022-05-29T00:02:58Z", "source": phone()}],
            "sleep": [{"id": "E3D5647B", "stage": "inBed", "startDate": "2025-04-02T21:50:46Z",
                "endDate": "2025-04-02T21:50:50Z", "source": phone()}],
            "workouts": [{"id": "801B68D7", "type": "walking", "startDate": "2025-03-25T17:27:00Z",
                "endDate": "2025-03-25T18:51:24Z", "source": watch, "values": [
                    {"type": "duration", "unit": "s", "value": 1_683.27},
                    {"type": "activeEnergyBurned", "unit": "kcal", "value": 131.41},
                    {"type": "basalEnergyBurned", "unit": "kcal", "value": 48.59},
                    {"type": "distance", "unit": "m", "value": 2_165.35},
                    {"type": "minHeartRate", "unit": "bpm", "value": 77},
                    {"type": "averageHeartRate", "unit": "bpm", "value": 121.49},
                    {"type": "maxHeartRate", "unit": "bpm", "value": 141},
                    {"type": "elevationAscended", "unit": "m", "value": 15.57},
                    {"type": "indoorWorkout", "unit": "bool", "value": false}
                ]}]
        }),
    );
    assert_eq!((facts.total, facts.ignored, facts.errors.len()), (3, 0, 0));
    let sums = ["2022-05-28 steps com.apple.health iPhone10,5 [1653782171000+407000=66000]"];
    assert_eq!(summed(&facts), sums);
    let night = nights(&facts)[0];
    assert_eq!((night.in_bed_minutes, night.total_sleep_minutes), (Some(0), None));
    assert_eq!(night.source_devices, ["iPhone"]);
    let walk = activities(&facts)[0];
    assert_eq!((walk.source, walk.activity_type), (Source::AppleHealth, ActivityType::Walk));
    assert_eq!((walk.duration_s, walk.elapsed_s), (1_683, 5_064));
    assert_eq!((walk.distance_m, walk.calories_kcal), (Some(2_165_350), Some(131_410)));
    assert_eq!((walk.avg_heart_rate, walk.max_heart_rate), (Some(121_490), Some(141_000)));
    assert_eq!(walk.device.as_deref(), Some("Test Apple Watch"));
}

#[test]
fn what_the_sdk_sends_of_samsung_health_is_taken() {
    let source = json!({"appId": "com.sec.android.app.shealth", "deviceName": "Galaxy Watch7",
        "deviceModel": "SM-R960", "recordingMethod": null});
    let stage = |stage: &str, start: &str, end: &str| {
        json!({"stage": stage, "startDate": start, "endDate": end, "zoneOffset": "+01:00",
            "source": source})
    };
    let facts = request(
        "samsung",
        &json!({
            "records": [
                {"type": "BLOOD_PRESSURE_SYSTOLIC", "startDate": "2026-02-24T08:30:00Z",
                 "endDate": "2026-02-24T08:30:00Z", "zoneOffset": "+01:00", "value": 122.0,
                 "unit": "mmHg"},
                {"type": "STEP_COUNT", "startDate": "2026-02-23T23:30:00Z",
                 "endDate": "2026-02-23T23:40:00Z", "zoneOffset": "+01:00", "value": 500,
                 "unit": "count", "source": source}
            ],
            "sleep": [
                stage("light", "2026-02-23T22:10:00Z", "2026-02-24T00:00:00Z"),
                stage("deep", "2026-02-24T00:00:00Z", "2026-02-24T01:00:00Z")
            ],
            "workouts": [{"id": "wrk-001-s0", "type": "RUNNING", "startDate": "2026-02-24T06:00:00Z",
                "endDate": "2026-02-24T06:45:00Z", "zoneOffset": "+01:00", "source": source,
                "metadata": [{"key": "clientRecordId", "value": "command-1"}],
                "values": [
                    {"type": "duration", "value": 2_700_000, "unit": "ms"},
                    {"type": "calories", "value": 345.5, "unit": "kcal"},
                    {"type": "distance", "value": 5_234.0, "unit": "m"},
                    {"type": "meanHeartRate", "value": 142.3, "unit": "bpm"},
                    {"type": "maxHeartRate", "value": 178.0, "unit": "bpm"},
                    {"type": "vo2Max", "value": 42.5, "unit": "mL/kg/min"}
                ]}]
        }),
    );
    assert_eq!((facts.total, facts.ignored, facts.errors.len()), (5, 1, 0));
    assert!(
        summed(&facts)[0].starts_with("2026-02-24 steps com.sec.android.app.shealth SM-R960 [")
    );
    let night = nights(&facts)[0];
    assert_eq!((night.total_sleep_minutes, night.asleep_core_minutes), (Some(170), Some(110)));
    assert_eq!(night.source, Source::HealthConnect);
    let run = activities(&facts)[0];
    assert_eq!((run.activity_type, run.duration_s), (ActivityType::Run, 2_700));
    assert_eq!((run.calories_kcal, run.avg_heart_rate), (Some(345_500), Some(142_300)));
    assert_eq!((run.utc_offset_s, run.external_id.as_deref()), (Some(3_600), Some("command-1")));
}

#[test]
fn offsets_beside_times_say_where_it_was() {
    let of = |offset: Json| {
        let facts = request(
            "google",
            &json!({"records": [{"type": "STEP_COUNT", "startDate": "2026-02-23T20:00:00Z",
                "endDate": "2026-02-23T20:01:00Z", "zoneOffset": offset, "value": 1, "unit": ""}]}),
        );
        let fault = || faults(&facts)[0].clone();
        summed(&facts).first().map_or_else(fault, |sum| sum[..10].to_owned())
    };
    assert_eq!(of(json!("+09:00")), "2026-02-24");
    assert_eq!(of(json!("+0900")), "2026-02-24");
    assert_eq!(of(json!(32_400)), "2026-02-24");
    assert_eq!(of(json!("Z")), "2026-02-23");
    assert_eq!(of(json!("-00:00")), "2026-02-23");
    assert_eq!(of(json!(null)), "2026-02-23");
    for wrong in [json!("Europe/Berlin"), json!("+99:00"), json!(1e9), json!({})] {
        assert_eq!(of(wrong), "records[0].zoneOffset");
    }
}

#[test]
fn each_kind_fills_its_field() {
    for (kind, unit, value, kept) in [
        ("HKQuantityTypeIdentifierHeartRate", "count/min", 70.0, "heart_rate_avg 70"),
        ("HKQuantityTypeIdentifierRestingHeartRate", "bpm", 52.0, "resting_heart_rate 52"),
        ("HKQuantityTypeIdentifierHeartRateVariabilitySDNN", "ms", 60.0, "hrv_sdnn_ms 60"),
        ("HKQuantityTypeIdentifierVO2Max", "ml/(kg*min)", 45.0, "vo2_max 45"),
        ("HKQuantityTypeIdentifierOxygenSaturation", "%", 0.97, "oxygen_saturation 97"),
        ("HKQuantityTypeIdentifierRespiratoryRate", "count/min", 14.0, "respiratory_rate 14"),
        ("HKQuantityTypeIdentifierBodyMass", "lb", 180.0, "weight_kg 81.647"),
        ("HKQuantityTypeIdentifierLeanBodyMass", "kg", 60.0, "lean_body_mass_kg 60"),
        ("HKQuantityTypeIdentifierBodyFatPercentage", "%", 0.185, "body_fat_percentage 18.5"),
        ("HKQuantityTypeIdentifierHeight", "cm", 180.0, "height_m 1.8"),
        ("HEART_RATE", "bpm", 70.0, "heart_rate_avg 70"),
        ("RESTING_HEART_RATE", "bpm", 52.0, "resting_heart_rate 52"),
        ("HEART_RATE_VARIABILITY", "ms", 60.0, "hrv_ms 60"),
        ("VO2_MAX", "mL/kg/min", 45.0, "vo2_max 45"),
        ("OXYGEN_SATURATION", "%", 97.0, "oxygen_saturation 97"),
        ("RESPIRATORY_RATE", "brpm", 14.0, "respiratory_rate 14"),
        ("WEIGHT", "kg", 80.0, "weight_kg 80"),
        ("LEAN_BODY_MASS", "kg", 60.0, "lean_body_mass_kg 60"),
        ("BODY_FAT", "%", 18.5, "body_fat_percentage 18.5"),
        ("HEIGHT", "m", 1.8, "height_m 1.8"),
    ] {
        let provider = if kind.starts_with("HK") { "apple" } else { "google" };
        let time = "2026-02-23T20:00:00Z";
        let record =
            json!({"type": kind, "unit": unit, "value": value, "startDate": time, "endDate": time});
        let facts = request(provider, &json!({"records": [record]}));
        assert_eq!(told(&facts), [format!("2026-02-23 {kept}")], "{kind}");
    }
    for (kind, unit, value, field) in [
        ("HKQuantityTypeIdentifierDistanceWalkingRunning", "km", 1.0, "distance_m"),
        ("HKQuantityTypeIdentifierActiveEnergyBurned", "kJ", 1.0, "active_calories"),
        ("HKQuantityTypeIdentifierFlightsClimbed", "count", 1.0, "flights_climbed"),
        ("HKQuantityTypeIdentifierDietaryEnergyConsumed", "kcal", 1.0, "calories"),
        ("HKQuantityTypeIdentifierDietaryProtein", "g", 1.0, "protein_g"),
        ("HKQuantityTypeIdentifierDietaryCarbohydrates", "g", 1.0, "carbs_g"),
        ("HKQuantityTypeIdentifierDietaryFatTotal", "g", 1.0, "fat_g"),
        ("HKQuantityTypeIdentifierDietaryFiber", "g", 1.0, "fiber_g"),
        ("DISTANCE", "m", 1.0, "distance_m"),
        ("ACTIVE_CALORIES_BURNED", "kcal", 1.0, "active_calories"),
        ("FLOORS_CLIMBED", "count", 1.0, "flights_climbed"),
    ] {
        let time = "2026-02-23T20:00:00Z";
        let record =
            json!({"type": kind, "unit": unit, "value": value, "startDate": time, "endDate": time});
        let facts = request("apple", &json!({"records": [record]}));
        assert!(summed(&facts)[0].starts_with(&format!("2026-02-23 {field} [")), "{kind}");
    }
}

#[test]
fn wrong_records_are_wrong_one_by_one() {
    let good = json!({"type": "STEP_COUNT", "unit": "count", "value": 1,
        "startDate": "2026-02-23T20:00:00Z", "endDate": "2026-02-23T20:01:00Z"});
    for (name, value) in [
        ("type", json!(null)),
        ("unit", json!("km")),
        ("value", json!(-1)),
        ("value", json!("NaN")),
        ("value", json!(null)),
        ("startDate", json!("2026-02-23 20:00:00")),
        ("startDate", json!("2026-05-20T12:00:01Z")),
        ("endDate", json!("2026-02-23T19:59:59Z")),
        ("endDate", json!("2029-02-23T19:59:59Z")),
        ("source", json!("phone")),
        ("source", json!({"bundleIdentifier": "x".repeat(101)})),
    ] {
        let mut record = good.clone();
        record[name] = value.clone();
        let facts = request("google", &json!({"records": [record]}));
        let expected: &[_] = if value == json!("2029-02-23T19:59:59Z") {
            &[] // It counts as now.
        } else {
            &[format!("records[0].{name}")]
        };
        assert_eq!(faults(&facts), expected, "{value}");
    }
    let facts = request(
        "google",
        &json!({"records": [1], "sleep": [{"stage": "light"}, {}], "workouts": [[]], "new": [1, 2]}),
    );
    let wrong = ["records[0].", "sleep[0].startDate", "sleep[1].stage", "workouts[0]."];
    assert_eq!(faults(&facts), wrong);
    assert_eq!(facts.ignored, 2);
    let workout = json!({"startDate": "2026-02-23T20:00:00Z", "endDate": "2026-02-23T21:00:00Z"});
    for values in [
        json!({}),
        json!([1]),
        json!([{"type": "distance", "unit": "里", "value": 1}]),
        json!([{"type": "maxHeartRate", "unit": "bpm", "value": 500}]),
        json!([{"type": "duration", "unit": "s", "value": -1}]),
    ] {
        let mut workout = workout.clone();
        workout["values"] = values;
        let facts = request("google", &json!({"workouts": [workout]}));
        assert_eq!(faults(&facts), ["workouts[0].values"]);
    }
}

#[test]
fn requests_of_nothing_are_refused() {
    for (body, field) in [
        (json!({"data": {"records": [1]}}), "provider"),
        (json!({"provider": 7, "data": {"records": [1]}}), "provider"),
        (json!({"provider": "apple"}), "data"),
        (json!({"provider": "apple", "data": []}), "data"),
        (json!({"provider": "apple", "data": {"records": []}}), "data.records"),
        (json!({"provider": "apple", "data": {"records": {}}}), "data.records"),
    ] {
        assert_eq!(refused(Format::OpenWearables, &body).field, field, "{body}");
    }
}
