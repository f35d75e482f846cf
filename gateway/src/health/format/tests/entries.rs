//! Entries of days, and the names under which their fields come.

use super::*;
use crate::health::source::Source;

fn one(body: Json) -> Facts {
    let mut body = body;
    body["date"] = json!("2026-05-19");
    take(Format::Entry, &body)
}

/// Name, number sent, field and number kept.
const NAMES: [(&str, f64, &str, &str); 37] = [
    ("steps", 10_000.5, "steps", "10001"),
    ("total_steps", 10_000.0, "steps", "10000"),
    ("flights_climbed", 3.0, "flights_climbed", "3"),
    ("distance_m", 1_234.567_8, "distance_m", "1234.568"),
    ("distance_meters", 1_000.0, "distance_m", "1000"),
    ("active_calories", 500.0, "active_calories", "500"),
    ("calories", 2_000.0, "calories", "2000"),
    ("protein_g", 100.0, "protein_g", "100"),
    ("proteinGrams", 100.0, "protein_g", "100"),
    ("protein_grams", 100.0, "protein_g", "100"),
    ("fat_g", 80.0, "fat_g", "80"),
    ("fatGrams", 80.0, "fat_g", "80"),
    ("fat_grams", 80.0, "fat_g", "80"),
    ("carbs_g", 200.0, "carbs_g", "200"),
    ("carbsGrams", 200.0, "carbs_g", "200"),
    ("carbs_grams", 200.0, "carbs_g", "200"),
    ("fiber_g", 30.0, "fiber_g", "30"),
    ("fiberGrams", 30.0, "fiber_g", "30"),
    ("fiber_grams", 30.0, "fiber_g", "30"),
    ("weight_kg", 82.123_45, "weight_kg", "82.123"),
    ("weightLbs", 180.0, "weight_kg", "81.647"),
    ("lean_body_mass_kg", 60.0, "lean_body_mass_kg", "60"),
    ("height_m", 1.8, "height_m", "1.8"),
    ("body_fat_percentage", 18.5, "body_fat_percentage", "18.5"),
    ("body_fat", 18.5, "body_fat_percentage", "18.5"),
    ("oxygen_saturation", 97.0, "oxygen_saturation", "97"),
    ("resting_heart_rate", 52.0, "resting_heart_rate", "52"),
    ("heart_rate_avg", 70.5, "heart_rate_avg", "70.5"),
    ("hrv_ms", 60.0, "hrv_ms", "60"),
    ("hrv_sdnn_ms", 60.0, "hrv_sdnn_ms", "60"),
    ("vo2_max", 45.0, "vo2_max", "45"),
    ("respiratory_rate", 14.0, "respiratory_rate", "14"),
    ("sleep_quality", 7.0, "sleep_quality", "7"),
    ("sleepQuality", 7.0, "sleep_quality", "7"),
    ("stress", 3.0, "stress", "3"),
    ("perceivedStress", 3.0, "stress", "3"),
    ("perceived_stress", 3.0, "stress", "3"),
];

#[test]
fn each_name_fills_its_field() {
    for (name, number, field, kept) in NAMES {
        let facts = one(json!({name: number}));
        assert_eq!(told(&facts), [format!("2026-05-19 {field} {kept}")], "{name}");
        assert_eq!(values(&facts)[0].source, Source::Manual);
        for wrong in [json!("7"), json!(true), json!([7]), json!(-1), json!(1e300)] {
            assert_eq!(faults(&one(json!({name: wrong}))), [format!("entries[0].{name}")]);
        }
    }
    assert_eq!(told(&one(json!({"notes": "Ä"}))), ["2026-05-19 notes \"Ä\""]);
    for wrong in [json!(7), json!("x".repeat(2_001))] {
        assert_eq!(faults(&one(json!({"notes": wrong}))), ["entries[0].notes"]);
    }
    assert_eq!(faults(&one(json!({"weightLbs": 1_000.1}))), ["entries[0].weightLbs"]);
}

#[test]
fn every_field_has_its_own_name_in_the_table() {
    for field in Field::ALL.iter().filter(|field| **field != Field::Notes) {
        assert!(NAMES.iter().any(|(name, ..)| *name == field.as_str()), "{field}");
    }
}

#[test]
fn what_is_healthkits_own_is_understood() {
    let of = |source: &str, name: &str, number: f64| {
        told(&one(json!({"source": source, name: number})))[0].clone()
    };
    assert_eq!(of("apple_health", "hrv_ms", 60.0), "2026-05-19 hrv_sdnn_ms 60");
    assert_eq!(of("healthkit", "hrv_ms", 60.0), "2026-05-19 hrv_sdnn_ms 60");
    assert_eq!(of("health_connect", "hrv_ms", 60.0), "2026-05-19 hrv_ms 60");
    assert_eq!(of("apple_health", "oxygen_saturation", 0.97), "2026-05-19 oxygen_saturation 97");
    assert_eq!(of("apple_health", "oxygen_saturation", 97.0), "2026-05-19 oxygen_saturation 97");
    assert_eq!(
        of("apple_health", "body_fat_percentage", 1.0),
        "2026-05-19 body_fat_percentage 100"
    );
    assert_eq!(
        of("health_connect", "oxygen_saturation", 0.97),
        "2026-05-19 oxygen_saturation 0.97"
    );
    let both = json!({"source": "apple_health", "hrv_sdnn_ms": 50, "hrv_ms": 60});
    assert_eq!(told(&one(both)), ["2026-05-19 hrv_sdnn_ms 50"]);
}

#[test]
fn a_fields_own_name_goes_before_others() {
    let found = one(json!({"weight_kg": 80, "weightLbs": 100}));
    assert_eq!(told(&found), ["2026-05-19 weight_kg 80"]);
    let found = one(json!({"weightLbs": 100, "weight_kg": 80}));
    assert_eq!(told(&found), ["2026-05-19 weight_kg 80"]);
    assert_eq!(faults(&one(json!({"weight_kg": 80, "weightLbs": 0}))), ["entries[0].weightLbs"]);
}

#[test]
fn null_is_told_apart_from_nothing() {
    let facts = one(json!({"weight_kg": null, "steps": 5}));
    let expected = [(Field::WeightKg, None), (Field::Steps, Some(Value::Whole(5)))];
    assert_eq!(values(&facts)[0].values, expected);
}

#[test]
fn names_of_other_senders_are_ignored_but_something_must_be_known() {
    assert_eq!(told(&one(json!({"mood": "good", "steps": 5}))), ["2026-05-19 steps 5"]);
    for body in [json!({}), json!({"mood": 5, "client_id": "x"})] {
        let facts = one(body);
        assert_eq!(faults(&facts), ["entries[0]."]);
        assert!(facts.facts.is_empty());
    }
}

#[test]
fn many_entries_are_judged_one_by_one() {
    let facts = take(
        Format::Entry,
        &json!({"source": "apple_health", "entries": [
            {"date": "2026-05-19", "steps": 1},
            {"date": "2026-05-19", "source": "manual", "weight_kg": 80,
             "measured_at": "2026-05-19T08:00:00Z"},
            {"date": "2026-05-19", "source": "strava", "steps": 2},
            {"date": "2026-05-19", "source": 5, "steps": 2},
            {"steps": 3},
            {"steps": 4, "measured_at": "2026-05-18T23:30:00-02:00"},
            {"date": "2026-05-22", "steps": 5},
            {"date": "2026-05-21", "steps": 6},
            {"date": "2026-05-19", "sleep_quality": 11, "steps": 7},
            {"date": "2026-05-19", "stress": 0.4}
        ]}),
    );
    let wrong = [
        "entries[2].source",
        "entries[3].source",
        "entries[4].date",
        "entries[6].date",
        "entries[8].sleep_quality",
        "entries[9].stress",
    ];
    assert_eq!(faults(&facts), wrong);
    let kept = [
        "2026-05-19 steps 1",
        "2026-05-19 weight_kg 80",
        "2026-05-18 steps 4",
        "2026-05-21 steps 6",
    ];
    assert_eq!(told(&facts), kept);
    let sources: Vec<_> = values(&facts).iter().map(|values| values.source).collect();
    let of_phone = Source::AppleHealth;
    assert_eq!(sources, [of_phone, Source::Manual, of_phone, of_phone]);
}

#[test]
fn one_entry_with_a_wrong_source_is_refused_as_a_whole() {
    let refusal = refused(Format::Entry, &json!({"date": "2026-05-19", "source": "oura"}));
    assert_eq!(refusal.field, "source");
}
