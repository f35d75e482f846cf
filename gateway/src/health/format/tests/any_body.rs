//! Whatever JSON comes, nothing panics and each item is counted once.

use proptest::prelude::*;

use super::*;

const FORMATS: [Format; 9] = [
    Format::Steps,
    Format::Sleep,
    Format::Workouts,
    Format::Profile,
    Format::Entry,
    Format::Zuralog,
    Format::HealthAutoExport,
    Format::HcWebhook,
    Format::OpenWearables,
];

/// Names that some reader looks for.
const NAMES: [&str; 56] = [
    "source",
    "steps",
    "sleep_records",
    "workouts",
    "deleted",
    "metrics",
    "entries",
    "sleep",
    "nutrition",
    "weight",
    "daily_metrics",
    "data",
    "provider",
    "records",
    "exercise",
    "date",
    "total_steps",
    "measured_at",
    "total_sleep_minutes",
    "sleep_start",
    "sleep_end",
    "workout_type",
    "start_time",
    "end_time",
    "duration_seconds",
    "metric",
    "value",
    "unit",
    "weight_kg",
    "weightLbs",
    "notes",
    "original_id",
    "activity_type",
    "hours",
    "name",
    "units",
    "qty",
    "Avg",
    "startDate",
    "endDate",
    "type",
    "stage",
    "zoneOffset",
    "values",
    "count",
    "bpm",
    "time",
    "session_end_time",
    "stages",
    "metadata",
    "data_origin",
    "start",
    "end",
    "distance",
    "heartRate",
    "calories",
];

const TEXTS: [&str; 24] = [
    "",
    "manual",
    "apple_health",
    "apple",
    "2026-05-19",
    "2026-05-19T10:00:00Z",
    "2026-05-19 10:00:00 -0700",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "9999-12-31 23:59:59 -1200",
    "0000-01-01 00:00:00 +1400",
    "step_count",
    "sleep_analysis",
    "weight_body_mass",
    "count",
    "kg",
    "km",
    "+09:00",
    "+23:59",
    "Deep",
    "5",
    "STEP_COUNT",
    "duration",
    "NaN",
];

const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "-1",
    "7.5",
    "1e400",
    "-1e400",
    "1e-400",
    "9223372036854775807",
    "18446744073709551616",
    "1e18",
    "0.5",
    "100000",
];

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(&TEXTS[..]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
    .prop_map(|text| Json::from(text).to_string())
}

fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => any_text(),
        3 => prop::sample::select(&NUMBERS[..]).prop_map(str::to_owned),
        1 => prop::sample::select(&["null", "true", "false", "{}", "[]"][..]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        let name = prop::sample::select(&NAMES[..]);
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            3 => prop::collection::vec((name, inner), 0..8).prop_map(|fields| {
                let fields = fields.iter().map(|(name, value)| format!("\"{name}\":{value}"));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

/// Bodies with lists where readers look for them.
fn any_body() -> impl Strategy<Value = String> {
    const LISTS: [&str; 12] = [
        "steps",
        "sleep_records",
        "workouts",
        "deleted",
        "metrics",
        "entries",
        "sleep",
        "nutrition",
        "weight",
        "records",
        "exercise",
        "heart_rate",
    ];
    let list = prop::collection::vec(any_json(), 0..6).prop_map(|items| items.join(","));
    let fields = prop::collection::vec((prop::sample::select(&LISTS[..]), list), 0..5);
    let flat = fields.prop_map(|fields| {
        let fields = fields.iter().map(|(name, items)| format!("\"{name}\":[{items}]"));
        fields.collect::<Vec<_>>().join(",")
    });
    (flat, any_json()).prop_map(|(flat, other)| {
        let inner = if flat.is_empty() { other } else { format!("{{{flat}}}") };
        let comma = if flat.is_empty() { "" } else { "," };
        format!("{{{flat}{comma}\"provider\":\"apple\",\"data\":{inner}}}")
    })
}

/// Points of metrics that are mostly good.
fn any_export() -> impl Strategy<Value = String> {
    let point = (0..48_u32, -1..30_i32, prop::sample::select(&["A", "B", ""][..]), any_json())
        .prop_map(|(hour, qty, source, other)| match qty {
            29 => other,
            _ => format!(
                r#"{{"date":"2026-05-{:02} {:02}:00:00 +0200","qty":{qty},"source":"{source}"}}"#,
                18 + hour / 24,
                hour % 24
            ),
        });
    let names = &["step_count", "weight_body_mass", "heart_rate", "mood", "sleep_analysis"][..];
    let units = &["count", "kg", "bpm", "hr"][..];
    let metric = (
        prop::sample::select(names),
        prop::sample::select(units),
        prop::collection::vec(point, 0..12),
    );
    prop::collection::vec(metric, 1..4).prop_map(|metrics| {
        let metrics = metrics.iter().map(|(name, units, points)| {
            let points = points.join(",");
            format!(r#"{{"name":"{name}","units":"{units}","data":[{points}]}}"#)
        });
        format!(r#"{{"data":{{"metrics":[{}]}}}}"#, metrics.collect::<Vec<_>>().join(","))
    })
}

fn read_all(body: &str) {
    let zone = Some(chrono_tz::Pacific::Apia);
    for format in FORMATS {
        for context in [context(), Context { zone, may_name_all: true, ..context() }] {
            if let Ok(facts) = read(format, body, &context) {
                assert_sums(&facts);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_body_is_read_or_refused(body in any_body()) {
        read_all(&body);
    }

    #[test]
    fn any_json_is_read_or_refused(body in any_json()) {
        read_all(&body);
    }

    #[test]
    fn points_are_counted_once_and_keys_come_once(body in any_export()) {
        let facts = read(Format::HealthAutoExport, &body, &context()).unwrap();
        assert_sums(&facts);
        for fact in &facts.facts {
            if let What::Samples(samples) = &fact.what {
                prop_assert!(samples.points.is_sorted_by(|one, next| one.0 < next.0));
                prop_assert!(samples.points.len() <= fact.items as usize);
            }
        }
        // The same again says the same.
        prop_assert_eq!(read(Format::HealthAutoExport, &body, &context()).unwrap(), facts);
    }
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    read_all(&format!(r#"{{"steps":[{deep}],"x":{deep},"data":{{"metrics":{deep}}}}}"#));
}
