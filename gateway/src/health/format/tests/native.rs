//! Steps, nights and measurements as `CoachFit`'s and `GymDashSync`'s
//! apps send them.

use super::*;
use crate::health::source::Source;

const CLIENT: &str = "550e8400-e29b-41d4-a716-446655440000";

fn steps(item: &Json) -> Facts {
    take(Format::Steps, &json!({"client_id": CLIENT, "steps": [item]}))
}

fn night(item: &Json) -> Facts {
    take(Format::Sleep, &json!({"client_id": CLIENT, "sleep_records": [item]}))
}

fn metric(item: &Json) -> Facts {
    take(Format::Profile, &json!({"metrics": [item]}))
}

#[test]
fn steps_are_taken() {
    let facts = steps(&json!({
        "date": "2026-02-20", "total_steps": 10_000, "source_devices": ["iPhone", "Apple Watch"]
    }));
    assert_eq!(told(&facts), ["2026-02-20 steps 10000"]);
    let of_day = values(&facts)[0];
    assert_eq!((of_day.source, of_day.at), (Source::AppleHealth, None));
    assert_eq!((facts.total, facts.ignored), (1, 0));
}

#[test]
fn a_time_may_stand_for_a_date() {
    let zone = Some(chrono_tz::Asia::Tokyo);
    let body = json!({"steps": [
        {"date": "2026-02-20T20:00:00Z", "total_steps": 1},
        {"date": "2026-02-20T20:00:00+00:00", "total_steps": 2}
    ]});
    let facts = take_in(&Context { zone, ..context() }, Format::Steps, &body);
    assert_eq!(told(&facts), ["2026-02-21 steps 1", "2026-02-20 steps 2"]);
}

#[test]
fn steps_out_of_bounds_are_wrong() {
    let good = json!({"date": "2026-02-20", "total_steps": 1});
    for (name, value) in [
        ("total_steps", json!(-1)),
        ("total_steps", json!(200_001)),
        ("total_steps", json!(10_000.5)),
        ("total_steps", json!("10000")),
        ("total_steps", json!(null)),
        ("date", json!("02/20/2026")),
        ("date", json!("2026-02-30")),
        ("date", json!("2026-05-22")),
        ("date", json!(20_260_220)),
        ("date", json!(null)),
        ("source_devices", json!("iPhone")),
        ("source_devices", json!([1])),
        ("source_devices", json!(["x".repeat(101)])),
        ("measured_at", json!("2026-02-20T20:00:00")),
    ] {
        let mut item = good.clone();
        item[name] = value.clone();
        let facts = steps(&item);
        assert_eq!(faults(&facts), [format!("steps[0].{name}")], "{value}");
        assert!(facts.facts.is_empty());
    }
    for item in [json!([]), json!(null), json!(7), json!("x")] {
        assert_eq!(faults(&steps(&item)), ["steps[0]."]);
    }
}

#[test]
fn a_number_that_nothing_holds_fails_its_item_alone() {
    let body = r#"{"steps": [
        {"date": "2026-02-20", "total_steps": 1e400},
        {"date": "2026-02-21", "total_steps": "NaN"},
        {"date": "2026-02-22", "total_steps": 7, "total_steps": 8}
    ]}"#;
    let facts = read(Format::Steps, body, &context()).unwrap();
    assert_eq!(faults(&facts), ["steps[0].total_steps", "steps[1].total_steps"]);
    assert_eq!(told(&facts), ["2026-02-22 steps 8"]);
}

#[test]
fn what_was_measured_in_the_future_was_measured_now() {
    let of = |at: &str| {
        let item = json!({"date": "2026-05-20", "total_steps": 1, "measured_at": at});
        values(&steps(&item))[0].at.unwrap()
    };
    assert_eq!(of("2026-05-20T12:00:01Z"), NOW);
    assert_eq!(of("2026-05-20T13:59:59+02:00").millis(), NOW.millis() - 1_000);
}

#[test]
fn lists_are_there_and_neither_empty_nor_too_long() {
    for (format, list) in [
        (Format::Steps, "steps"),
        (Format::Sleep, "sleep_records"),
        (Format::Workouts, "workouts"),
        (Format::Profile, "metrics"),
        (Format::Entry, "entries"),
        (Format::Zuralog, "workouts"),
    ] {
        let item = json!({});
        let long = vec![item; 501];
        for items in [json!([]), json!({}), json!("x"), json!(long)] {
            assert_eq!(refused(format, &json!({list: items})).field, list, "{format:?}");
        }
        assert_eq!(faults(&take(format, &json!({list: long[..500]}))).len(), 500);
        if format != Format::Entry {
            assert_eq!(refused(format, &json!({})).field, list);
            assert_eq!(refused(format, &json!({list: null})).field, list);
        }
        read(format, "[]", &context()).unwrap_err();
    }
    let many = json!({"steps": vec![json!(0); 501]});
    take_in(&Context { items_max: None, ..context() }, Format::Steps, &many);
}

#[test]
fn devices_speak_for_themselves_only() {
    let of = |source: Json, may_name_all: bool| {
        let body = json!({"source": source, "steps": [{"date": "2026-02-20", "total_steps": 1}]});
        let context = Context { may_name_all, ..context() };
        let facts = read(Format::Steps, &body.to_string(), &context)?;
        Ok::<_, Refusal>(values(&facts)[0].source)
    };
    for (word, source) in [
        ("manual", Source::Manual),
        ("apple_health", Source::AppleHealth),
        ("healthkit", Source::AppleHealth),
        ("health_connect", Source::HealthConnect),
    ] {
        assert_eq!(of(json!(word), false), Ok(source));
    }
    assert_eq!(of(json!(null), false), Ok(Source::AppleHealth));
    for word in ["google_health", "oura", "strava", "fitbit"] {
        let refusal = of(json!(word), false).unwrap_err();
        assert_eq!(refusal.reason, "one of manual, apple_health, health_connect");
        of(json!(word), true).unwrap();
    }
    for wrong in [json!("garmin"), json!(""), json!(7)] {
        assert_eq!(of(wrong, true).unwrap_err().field, "source");
    }
}

#[test]
fn a_night_is_taken() {
    let facts = night(&json!({
        "date": "2026-02-20",
        "total_sleep_minutes": 480,
        "in_bed_minutes": 540,
        "awake_minutes": 30,
        "asleep_core_minutes": 240,
        "asleep_deep_minutes": 120,
        "asleep_rem_minutes": 90,
        "sleep_start": "2026-02-19T23:00:00Z",
        "sleep_end": "2026-02-20T07:00:00Z",
        "source_devices": ["Apple Watch"]
    }));
    let expected = Night {
        total_sleep_minutes: Some(480),
        in_bed_minutes: Some(540),
        awake_minutes: Some(30),
        asleep_core_minutes: Some(240),
        asleep_deep_minutes: Some(120),
        asleep_rem_minutes: Some(90),
        sleep_start_ms: Some(ms("2026-02-19T23:00:00Z")),
        sleep_end_ms: Some(ms("2026-02-20T07:00:00Z")),
        source_devices: vec!["Apple Watch".to_owned()],
        ..Night::of(Source::AppleHealth, "2026-02-20".parse().unwrap())
    };
    assert_eq!(nights(&facts), [&expected]);
}

#[test]
fn a_night_belongs_to_the_day_it_ends_on() {
    let of = |item: Json, zone| {
        let body = json!({"sleep_records": [item]});
        let facts = take_in(&Context { zone, ..context() }, Format::Sleep, &body);
        nights(&facts)[0].date.to_string()
    };
    // Before the clocks are set forward, and after.
    let berlin = Some(chrono_tz::Europe::Berlin);
    let end = |end: &str| json!({"total_sleep_minutes": 1, "sleep_end": end});
    assert_eq!(of(end("2026-03-28T22:59:00Z"), berlin), "2026-03-28");
    assert_eq!(of(end("2026-03-29T21:59:00Z"), berlin), "2026-03-29");
    assert_eq!(of(end("2026-03-29T22:00:00Z"), berlin), "2026-03-30");
    // Slept on a flight from Tokyo.
    assert_eq!(of(end("2026-03-28T23:30:00+09:00"), berlin), "2026-03-28");
    assert_eq!(of(end("2026-03-28T22:30:00Z"), None), "2026-03-28");
    // What was named goes before.
    let mut named = end("2026-03-28T22:30:00Z");
    named["date"] = json!("2026-03-27");
    assert_eq!(of(named, berlin), "2026-03-27");
    // It is not over yet.
    assert_eq!(of(end("2026-05-25T00:00:00Z"), None), "2026-05-20");
}

#[test]
fn wrong_nights_are_wrong() {
    let good = json!({"date": "2026-02-20", "total_sleep_minutes": 1});
    let numbers = [json!(-1), json!(480.5), json!(43_201), json!("480")];
    for name in [
        "total_sleep_minutes",
        "in_bed_minutes",
        "awake_minutes",
        "asleep_core_minutes",
        "asleep_deep_minutes",
        "asleep_rem_minutes",
    ] {
        for number in &numbers {
            let mut item = good.clone();
            item[name] = number.clone();
            assert_eq!(faults(&night(&item)), [format!("sleep_records[0].{name}")], "{number}");
        }
    }
    for (item, field) in [
        (json!({"total_sleep_minutes": 1}), "date"),
        (json!({"date": "2026-02-20"}), "total_sleep_minutes"),
        (json!({"date": "02/20/2026", "total_sleep_minutes": 1}), "date"),
        (
            json!({"total_sleep_minutes": 1, "date": "2026-02-20",
                "sleep_start": "2026-05-20T12:00:01Z"}),
            "sleep_start",
        ),
        (
            json!({"total_sleep_minutes": 1, "sleep_start": "2026-02-20T02:00:00Z",
                "sleep_end": "2026-02-20T01:00:00Z"}),
            "sleep_end",
        ),
    ] {
        assert_eq!(faults(&night(&item)), [format!("sleep_records[0].{field}")]);
    }
}

#[test]
fn measurements_come_in_units() {
    let of = |metric_name: &str, value: f64, unit: &str| {
        let facts = metric(&json!({
            "metric": metric_name, "value": value, "unit": unit,
            "measured_at": "2026-02-20T23:30:00-05:00"
        }));
        told(&facts)[0].clone()
    };
    assert_eq!(of("weight", 80.0, "kg"), "2026-02-20 weight_kg 80");
    assert_eq!(of("weight", 180.0, "lbs"), "2026-02-20 weight_kg 81.647");
    assert_eq!(of("height", 1.8, "m"), "2026-02-20 height_m 1.8");
    assert_eq!(of("height", 180.0, "cm"), "2026-02-20 height_m 1.8");
    assert_eq!(of("height", 71.0, "inches"), "2026-02-20 height_m 1.803");
    assert_eq!(of("body_fat_percentage", 18.5, "percent"), "2026-02-20 body_fat_percentage 18.5");
    assert_eq!(of("body_fat", 0.185, "percent"), "2026-02-20 body_fat_percentage 18.5");
    assert_eq!(of("lean_body_mass", 150.0, "lbs"), "2026-02-20 lean_body_mass_kg 68.039");
}

#[test]
fn wrong_measurements_are_wrong() {
    let good = json!({
        "metric": "weight", "value": 80, "unit": "kg", "measured_at": "2026-02-20T08:00:00Z"
    });
    assert_eq!(values(&metric(&good))[0].at.unwrap().millis(), ms("2026-02-20T08:00:00Z"));
    for (name, value) in [
        ("metric", json!("bmi")),
        ("metric", json!(null)),
        ("value", json!(0)),
        ("value", json!(501)),
        ("value", json!(null)),
        ("unit", json!("cm")),
        ("unit", json!("percent")),
        ("unit", json!(null)),
        ("measured_at", json!("2026-02-20")),
        ("measured_at", json!(null)),
    ] {
        let mut item = good.clone();
        item[name] = value.clone();
        assert_eq!(faults(&metric(&item)), [format!("metrics[0].{name}")], "{value}");
    }
}
