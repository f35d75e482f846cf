//! Whatever is answered is taken, ignored or wrong, each item once.

use proptest::prelude::*;

use super::{Read, context, context_in, list};
use crate::health::date;
use crate::health::fact::{Context, Facts, What};
use crate::health::provider::{fitbit, google_health, oura, strava};

const READS: [Read; 11] = [
    strava::activities,
    google_health::exercise,
    google_health::sleep,
    google_health::steps,
    google_health::weight,
    oura::workout,
    oura::sleep,
    oura::daily_activity,
    fitbit::activities,
    fitbit::sleep,
    fitbit::steps,
];

/// What is sent as values, and must not come back in a reason.
const MARK: &str = "wrongvalue";

/// Names that some reader looks for.
const NAMES: [&str; 68] = [
    "id",
    "start_date",
    "start_date_local",
    "utc_offset",
    "timezone",
    "elapsed_time",
    "moving_time",
    "sport_type",
    "type",
    "distance",
    "calories",
    "average_heartrate",
    "max_heartrate",
    "device_name",
    "name",
    "dataPointName",
    "dataSource",
    "device",
    "application",
    "platform",
    "displayName",
    "packageName",
    "exercise",
    "sleep",
    "steps",
    "weight",
    "interval",
    "startTime",
    "startUtcOffset",
    "endTime",
    "endUtcOffset",
    "exerciseType",
    "metricsSummary",
    "activeDuration",
    "stages",
    "summary",
    "stagesSummary",
    "minutesAsleep",
    "minutesAwake",
    "minutes",
    "count",
    "sampleTime",
    "physicalTime",
    "utcOffset",
    "weightGrams",
    "activity",
    "day",
    "start_datetime",
    "end_datetime",
    "bedtime_start",
    "bedtime_end",
    "time_in_bed",
    "total_sleep_duration",
    "light_sleep_duration",
    "deep_sleep_duration",
    "rem_sleep_duration",
    "active_calories",
    "equivalent_walking_distance",
    "logId",
    "activityName",
    "duration",
    "distanceUnit",
    "dateOfSleep",
    "levels",
    "light",
    "deep",
    "dateTime",
    "value",
];

/// Values as they stand in JSON.
const VALUES: [&str; 36] = [
    "null",
    "true",
    "0",
    "-0.0",
    "1",
    "37",
    "-1",
    "0.5",
    "60000",
    "1e308",
    "-1e400",
    "1e400",
    "98765432123456789123456",
    r#""""#,
    r#""0""#,
    r#""86""#,
    r#""NaN""#,
    r#""1303s""#,
    r#""32400s""#,
    r#""-1e99s""#,
    r#""deleted""#,
    r#""rest""#,
    r#""LIGHT""#,
    r#""Run""#,
    r#""2026-11-20""#,
    r#""2026-11-22""#,
    r#""0000-01-01""#,
    r#""2026-10-25T02:30:00.000""#,
    r#""2026-11-20T11:00:00Z""#,
    r#""2026-11-20T23:30:00+14:00""#,
    r#""0000-01-01T00:00:00Z""#,
    r#""9999-12-31T23:59:59-23:59""#,
    r#""2016-12-31T23:59:60Z""#,
    r#""\u0000""#,
    r#""(GMT+05:30) Asia/Kolkata""#,
    r#""wrongvalue""#,
];

/// An object whose names are known, of values that are not.
fn item() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(VALUES.as_slice()).prop_map(str::to_owned);
    leaf.prop_recursive(5, 200, 12, |inner| {
        let field = (prop::sample::select(NAMES.as_slice()), inner.clone());
        let object = prop::collection::vec(field, 0..12).prop_map(|fields| {
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
            format!("{{{}}}", fields.join(","))
        });
        let list = prop::collection::vec(inner, 0..4).prop_map(|l| format!("[{}]", l.join(",")));
        prop_oneof![4 => object, 1 => list]
    })
}

/// Items that are right but for a few values.
fn nearly(whole: &'static [&'static str]) -> impl Strategy<Value = String> {
    let places = prop::collection::vec((any::<prop::sample::Index>(), item()), 0..3);
    (prop::sample::select(whole), places).prop_map(|(item, places)| {
        let mut item = item.to_owned();
        for (place, value) in places {
            let starts: Vec<_> = item.match_indices(": ").map(|(at, _)| at + 2).collect();
            let start = starts[place.index(starts.len())];
            let mut rest = serde_json::Deserializer::from_str(&item[start..])
                .into_iter::<Box<serde_json::value::RawValue>>();
            let Some(Ok(_)) = rest.next() else { continue };
            let end = start + rest.byte_offset();
            item.replace_range(start..end, &value);
        }
        item
    })
}

const WHOLE: &[&str] = &[
    r#"{"id": 1, "start_date": "2026-10-24T23:30:00Z", "utc_offset": 7200,
        "timezone": "(GMT+01:00) Europe/Berlin", "start_date_local": "2026-10-25T01:30:00Z",
        "elapsed_time": 60, "moving_time": 50, "sport_type": "Run", "distance": 10.5,
        "max_heartrate": 100, "device_name": "x", "calories": 7}"#,
    r#"{"name": "a/1", "dataSource": {"device": {"displayName": "x"}}, "exercise": {"interval":
        {"startTime": "2026-10-24T23:30:00Z", "startUtcOffset": "32400s",
        "endTime": "2026-10-24T23:50:00Z"}, "activeDuration": "1s", "exerciseType": "HIIT",
        "metricsSummary": {"caloriesKcal": 1}}}"#,
    r#"{"name": "a/1", "sleep": {"interval": {"startTime": "2026-10-24T22:30:00Z",
        "endTime": "2026-10-25T06:00:00Z", "endUtcOffset": "3600s"}, "summary":
        {"minutesAsleep": "9", "stagesSummary": [{"type": "LIGHT", "minutes": "5"}]},
        "stages": [{"type": "DEEP", "startTime": "2026-10-24T23:30:00Z",
        "endTime": "2026-10-24T23:40:00Z"}]}}"#,
    r#"{"dataSource": {"platform": "FITBIT"}, "steps": {"interval": {"startTime":
        "2026-10-24T22:30:00Z", "endTime": "2026-10-24T22:31:00Z"}, "count": "44"}}"#,
    r#"{"weight": {"sampleTime": {"physicalTime": "2026-10-24T22:30:00Z", "utcOffset": "3600s"},
        "weightGrams": 90200}}"#,
    r#"{"id": "a", "activity": "yoga", "day": "2026-10-25", "distance": 1, "type": "sleep",
        "start_datetime": "2026-10-25T01:00:00+01:00", "end_datetime": "2026-10-25T02:00:00+01:00",
        "bedtime_start": "2026-10-25T01:00:00+01:00", "bedtime_end": "2026-10-25T08:00:00+01:00",
        "light_sleep_duration": 60, "deep_sleep_duration": 60, "rem_sleep_duration": 60,
        "steps": 5, "active_calories": 5}"#,
    r#"{"logId": 1, "activityName": "Bike", "startTime": "2026-10-25T01:00:00.000+01:00",
        "duration": 60000, "distance": 1, "distanceUnit": "Mile", "source": {"name": "x"}}"#,
    r#"{"logId": 1, "dateOfSleep": "2026-10-25", "startTime": "2026-10-24T23:30:00.000",
        "endTime": "2026-10-25T02:30:00.000", "duration": 60000, "minutesAsleep": 5,
        "levels": {"summary": {"light": {"minutes": 5}}}}"#,
    r#"{"dateTime": "2026-10-25", "value": "13474"}"#,
];

/// What holds of whatever was read.
fn check(facts: &Facts, len: usize, context: &Context) {
    let taken: u64 = facts.facts.iter().map(|fact| u64::from(fact.items)).sum();
    let wrong = u64::try_from(facts.errors.len()).unwrap();
    assert_eq!(facts.total, u64::try_from(len).unwrap());
    assert_eq!(facts.total, taken + facts.ignored + wrong);
    let now_ms = context.now.millis();
    for fact in &facts.facts {
        assert!(fact.items > 0);
        match &fact.what {
            What::Activity(it) => {
                assert!(it.start_ms <= it.end_ms && it.end_ms <= now_ms, "{it:?}");
                assert!(it.duration_s >= 0 && it.elapsed_s >= 0, "{it:?}");
                assert!(date::has_begun(it.date, context.now), "{it:?}");
                assert!(!it.sport.contains('\0'), "{it:?}");
                let rates = it.avg_heart_rate.into_iter().chain(it.max_heart_rate);
                assert!(rates.into_iter().all(|rate| (30_000..=250_000).contains(&rate)));
            }
            What::Night(it) => {
                assert!(it.sleep_start_ms <= it.sleep_end_ms, "{it:?}");
                assert!(it.sleep_end_ms.is_none_or(|end| end <= now_ms), "{it:?}");
                assert!(date::has_begun(it.date, context.now), "{it:?}");
            }
            What::Values(it) => assert!(date::has_begun(it.date, context.now), "{it:?}"),
            What::Samples(it) => {
                assert!(date::has_begun(it.date, context.now), "{it:?}");
                assert!(it.points.iter().all(|(_, count)| (0..=200_000_000).contains(count)));
            }
            What::ActivityGone { source_id, .. } | What::NightGone { source_id, .. } => {
                assert!(!source_id.is_empty());
            }
        }
    }
    for error in &facts.errors {
        assert!(error.index < len);
        assert!(!error.reason.contains(MARK), "{error:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None, ..ProptestConfig::with_cases(1024)
    })]

    #[test]
    fn each_item_is_taken_ignored_or_wrong(
        items in prop::collection::vec(prop_oneof![item(), nearly(WHOLE)], 0..8),
    ) {
        let page = list(&format!("[{}]", items.join(",")));
        for context in [context(), context_in(chrono_tz::Europe::Berlin)] {
            for read in READS {
                check(&read(&page, &context), page.len(), &context);
            }
        }
    }
}

/// The items that the property starts from are right ones, each for somebody.
#[test]
fn whole_items_are_taken() {
    for item in WHOLE {
        let page = list(&format!("[{item}]"));
        let taken = READS.iter().filter(|read| !read(&page, &context()).facts.is_empty());
        assert!(taken.count() > 0, "{item}");
    }
}
