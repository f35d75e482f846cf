//! Google Health: real answers of 2026, with other ids, and worse.

use super::{
    activity, at, context, context_in, fault, list, ms, night, samples, values, whats, with,
};
use crate::health::activity::ActivityType;
use crate::health::field::{Field, Value};
use crate::health::provider::google_health::{exercise, sleep, steps, weight};
use crate::health::source::Source;

const SOURCE: &str = r#""dataSource": {"recordingMethod": "PASSIVELY_MEASURED",
    "device": {"formFactor": "WATCH", "displayName": "Pixel Watch 4"}, "platform": "FITBIT"}"#;

const INTERVAL: &str = r#""interval": {
    "startTime": "2026-09-25T00:33:29Z", "startUtcOffset": "32400s",
    "endTime": "2026-09-25T00:55:12Z", "endUtcOffset": "32400s"}"#;

fn workout(inside: &str) -> String {
    format!(
        r#"{{"name": "users/1000000000000000001/dataTypes/exercise/dataPoints/3326913505930631984",
        {SOURCE}, "exercise": {{{INTERVAL}, "exerciseType": "CARDIO_WORKOUT",
        "metricsSummary": {{"caloriesKcal": 202, "averageHeartRateBeatsPerMinute": "115",
        "activeZoneMinutes": "19"}}, "displayName": "アクティビティ", "activeDuration": "1283s",
        "updateTime": "2026-09-25T02:17:18.107531Z"{inside}}}}}"#
    )
}

fn slept(inside: &str) -> String {
    format!(
        r#"{{"name": "users/1000000000000000001/dataTypes/sleep/dataPoints/77", {SOURCE},
        "sleep": {{"interval": {{"startTime": "2026-09-24T14:10:00Z", "startUtcOffset": "32400s",
        "endTime": "2026-09-24T21:40:00Z", "endUtcOffset": "32400s"}}, "type": "STAGES",
        "stages": [
            {{"startTime": "2026-09-24T14:10:00Z", "endTime": "2026-09-24T14:20:00Z", "type": "AWAKE"}},
            {{"startTime": "2026-09-24T14:20:00Z", "endTime": "2026-09-24T18:20:30Z", "type": "LIGHT"}},
            {{"startTime": "2026-09-24T18:20:30Z", "endTime": "2026-09-24T19:20:30Z", "type": "DEEP"}},
            {{"startTime": "2026-09-24T19:20:30Z", "endTime": "2026-09-24T21:40:00Z", "type": "REM"}}],
        "metadata": {{"processed": true, "mainSleep": true}},
        "summary": {{"minutesAsleep": "430", "minutesAwake": "20", "stagesSummary": [
            {{"type": "LIGHT", "minutes": "230", "count": "12"}},
            {{"type": "DEEP", "minutes": "60", "count": "3"}},
            {{"type": "REM", "minutes": "140", "count": "5"}},
            {{"type": "AWAKE", "minutes": "20", "count": "9"}},
            {{"type": "LIGHT", "minutes": "230", "count": "12"}}]}}{inside}}}}}"#
    )
}

fn walked(start: &str, end: &str, count: &str) -> String {
    format!(
        r#"{{{SOURCE}, "steps": {{"interval": {{"startTime": "{start}", "startUtcOffset": "32400s",
        "endTime": "{end}", "endUtcOffset": "32400s"}}, "count": {count}}}}}"#
    )
}

const WEIGHT: &str = r#"{
    "name": "users/1000000000000000001/dataTypes/weight/dataPoints/8107172512320991248",
    "dataSource": {"recordingMethod": "UNKNOWN", "device": {},
        "application": {"packageName": "jp.healthplanet.healthplanetapp"},
        "platform": "HEALTH_CONNECT"},
    "weight": {"sampleTime": {"physicalTime": "2026-09-25T22:15:10Z", "utcOffset": "32400s"},
        "weightGrams": 90200}
}"#;

#[test]
fn an_exercise_is_read() {
    let workout = activity(exercise, &workout(""), &context());
    assert_eq!(workout.source, Source::GoogleHealth);
    assert_eq!(workout.source_id.as_deref(), Some("3326913505930631984"));
    assert_eq!(workout.activity_type, ActivityType::Unknown);
    assert_eq!(workout.sport, "CARDIO_WORKOUT");
    assert_eq!(workout.date.to_string(), "2026-09-25");
    assert_eq!(workout.start_ms, ms("2026-09-25T00:33:29Z"));
    assert_eq!((workout.duration_s, workout.elapsed_s), (1_283, 1_303));
    assert_eq!((workout.distance_m, workout.calories_kcal), (None, Some(202_000)));
    assert_eq!((workout.avg_heart_rate, workout.max_heart_rate), (Some(115_000), None));
    assert_eq!(workout.device.as_deref(), Some("Pixel Watch 4"));
    assert_eq!(workout.utc_offset_s, Some(32_400));
}

/// At 23:30Z it is the next day in Tokyo, and still the same in New York.
#[test]
fn the_day_is_that_of_the_offset() {
    let day = |offset: &str, context| {
        let interval = format!(
            r#", "interval": {{"startTime": "2026-09-24T23:30:00Z", "startUtcOffset": {offset},
            "endTime": "2026-09-24T23:58:24Z"}}"#
        );
        let workout = activity(exercise, &workout(&interval), &context);
        (workout.date.to_string(), workout.utc_offset_s)
    };
    let tokyo = || context_in(chrono_tz::Asia::Tokyo);
    assert_eq!(day("\"32400s\"", context()), ("2026-09-25".to_owned(), Some(32_400)));
    assert_eq!(day("\"-14400s\"", tokyo()), ("2026-09-24".to_owned(), Some(-14_400)));
    assert_eq!(day("\"0s\"", tokyo()), ("2026-09-24".to_owned(), Some(0)));
    for nonsense in ["null", "\"32400\"", "32400", "\"NaNs\"", "\"infs\"", "\"0.5s\"", "\"90000s\""]
    {
        assert_eq!(day(nonsense, tokyo()), ("2026-09-25".to_owned(), None), "{nonsense}");
    }
}

#[test]
fn metrics_are_converted_where_they_can_be() {
    let of = |inside: &str| activity(exercise, &workout(inside), &context());
    let run = of(r#", "exerciseType": "TRAIL_RUN", "metricsSummary": {
        "distanceMillimeters": 5430250, "caloriesKcal": "431.5", "steps": "6100"}"#);
    assert_eq!((run.activity_type, run.distance_m), (ActivityType::Run, Some(5_430_250)));
    assert_eq!((run.calories_kcal, run.avg_heart_rate), (Some(431_500), None));
    let odd = of(r#", "exerciseType": 37, "activeDuration": "-5s", "metricsSummary": {
        "distanceMillimeters": 1e400, "caloriesKcal": "NaN",
        "averageHeartRateBeatsPerMinute": "251"}"#);
    assert_eq!((odd.activity_type, odd.sport.as_str()), (ActivityType::Unknown, ""));
    assert_eq!((odd.distance_m, odd.calories_kcal, odd.avg_heart_rate), (None, None, None));
    assert_eq!(odd.duration_s, 1_303);
    assert_eq!(of(r#", "metricsSummary": null, "activeDuration": "1282.5s""#).duration_s, 1_283);
}

#[test]
fn what_cannot_be_placed_is_wrong() {
    let named = |name: &str| with(&workout(""), &format!(r#""name": {name}"#));
    assert_eq!(fault(exercise, &named("null"), &context()), "name");
    assert_eq!(fault(exercise, &named("\"users/1/\""), &context()), "name");
    assert_eq!(fault(exercise, &named("{}"), &context()), "name");
    assert_eq!(fault(exercise, r#"{"name": "a/1"}"#, &context()), "exercise");
    assert_eq!(fault(exercise, r#"{"name": "a/1", "exercise": []}"#, &context()), "exercise");
    for (interval, field) in [
        ("null", "exercise.interval"),
        ("{}", "exercise.interval.startTime"),
        (r#"{"startTime": "2026-09-25T00:33:29Z"}"#, "exercise.interval.endTime"),
        (
            r#"{"startTime": "2026-09-25T00:33:29Z", "endTime": "2026-09-25T00:33:28Z"}"#,
            "exercise.interval.endTime",
        ),
        (
            r#"{"startTime": "2026-11-20T12:00:01Z", "endTime": "2026-11-20T13:00:00Z"}"#,
            "exercise.interval.startTime",
        ),
    ] {
        let item = workout(&format!(r#", "interval": {interval}"#));
        assert_eq!(fault(exercise, &item, &context()), field, "{interval}");
    }
    let reconciled = with(&named("null"), r#""dataPointName": "users/1/dataPoints/99""#);
    assert_eq!(activity(exercise, &reconciled, &context()).source_id.as_deref(), Some("99"));
}

#[test]
fn a_night_is_read_and_stages_that_are_named_twice_count_once() {
    let night = night(sleep, &slept(""), &context());
    assert_eq!(night.source, Source::GoogleHealth);
    assert_eq!(night.date.to_string(), "2026-09-25");
    assert_eq!(night.source_id.as_deref(), Some("77"));
    assert_eq!((night.total_sleep_minutes, night.in_bed_minutes), (Some(430), Some(450)));
    assert_eq!((night.awake_minutes, night.asleep_core_minutes), (Some(20), Some(230)));
    assert_eq!((night.asleep_deep_minutes, night.asleep_rem_minutes), (Some(60), Some(140)));
    assert_eq!(night.sleep_start_ms, Some(ms("2026-09-24T14:10:00Z")));
    assert_eq!(night.sleep_end_ms, Some(ms("2026-09-24T21:40:00Z")));
    assert_eq!(night.source_devices, ["Pixel Watch 4"]);
}

#[test]
fn a_night_without_a_summary_is_made_of_its_stages() {
    let night = night(sleep, &slept(r#", "summary": null"#), &context());
    assert_eq!((night.total_sleep_minutes, night.in_bed_minutes), (Some(441), Some(450)));
    assert_eq!((night.awake_minutes, night.asleep_core_minutes), (Some(10), Some(241)));
    assert_eq!((night.asleep_deep_minutes, night.asleep_rem_minutes), (Some(60), Some(140)));
}

#[test]
fn a_classic_night_has_no_stages() {
    let night = night(
        sleep,
        &slept(
            r#", "type": "CLASSIC", "summary": {"stagesSummary": [
            {"type": "ASLEEP", "minutes": "400"}, {"type": "RESTLESS", "minutes": "12"},
            {"type": "NEWER", "minutes": "1"}, {"type": 5}, {}, null, 7]}"#,
        ),
        &context(),
    );
    assert_eq!((night.total_sleep_minutes, night.asleep_core_minutes), (Some(400), None));
    let night = super::night(sleep, &slept(r#", "summary": 7, "stages": null"#), &context());
    assert_eq!((night.total_sleep_minutes, night.in_bed_minutes), (None, Some(450)));
}

#[test]
fn steps_of_a_day_and_a_source_are_one_fact() {
    let (a, b) = ("2026-09-25T14:57:00Z", "2026-09-25T14:58:00Z");
    let (c, d) = ("2026-09-25T15:00:00Z", "2026-09-25T15:01:00Z");
    let phone = walked(a, b, "\"40\"").replace("Pixel Watch 4", "Pixel 9");
    let page = [
        walked(b, "2026-09-25T14:59:00Z", "\"2\""),
        walked(a, b, "\"44\""),
        walked(c, d, "7"),
        phone,
        // The same interval again: it was measured anew.
        walked(a, b, "\"45\""),
        walked(b, a, "\"1\""),
        walked(a, b, "\"NaN\""),
        walked(a, b, "null"),
        walked(a, b, "200001"),
        "{}".to_owned(),
    ];
    let facts = steps(&list(&format!("[{}]", page.join(","))), &context());
    let wrong: Vec<_> = facts.errors.iter().map(|e| (e.index, e.field.as_str())).collect();
    let count = "steps.count";
    assert_eq!(
        wrong,
        [(5, "steps.interval.endTime"), (6, count), (7, count), (8, count), (9, "steps")]
    );
    assert_eq!((facts.total, facts.ignored), (10, 0));
    assert_eq!(facts.facts.iter().map(|fact| fact.items).collect::<Vec<_>>(), [1, 3, 1]);
    let days: Vec<_> = facts.facts.iter().map(|fact| samples(&fact.what)).collect();
    for (samples, (date, origin, points)) in days.into_iter().zip([
        ("2026-09-25", "FITBIT/Pixel 9/", vec![(a, b, 40_000)]),
        (
            "2026-09-25",
            "FITBIT/Pixel Watch 4/",
            vec![(a, b, 45_000), (b, "2026-09-25T14:59:00Z", 2_000)],
        ),
        ("2026-09-26", "FITBIT/Pixel Watch 4/", vec![(c, d, 7_000)]),
    ]) {
        assert_eq!((samples.date.to_string().as_str(), samples.origin.as_str()), (date, origin));
        assert_eq!((samples.source, samples.field), (Source::GoogleHealth, Field::Steps));
        assert_eq!(samples.channel, "google_health");
        let key = |(start, end, count)| (format!("{}/{}", ms(start), ms(end)), count);
        assert_eq!(samples.points, points.into_iter().map(key).collect::<Vec<_>>());
    }
}

/// An interval that still goes on has one key, however far it is.
#[test]
fn keys_of_steps_do_not_move_with_the_time() {
    let item = walked("2026-11-20T11:59:30Z", "2026-11-20T12:00:30Z", "\"9\"");
    let whats = whats(steps(&list(&format!("[{item}]")), &context()));
    let [(key, _)] = samples(&whats[0]).points.as_slice() else { panic!("one point") };
    assert!(key.ends_with(&ms("2026-11-20T12:00:30Z").to_string()), "{key}");
}

#[test]
fn a_weight_is_in_kilograms_at_its_time() {
    let weighed = values(weight, WEIGHT, &context());
    assert_eq!(
        (weighed.date.to_string().as_str(), weighed.source),
        ("2026-09-26", Source::GoogleHealth)
    );
    assert_eq!(weighed.at, Some(at("2026-09-25T22:15:10Z")));
    assert_eq!(weighed.values, [(Field::WeightKg, Some(Value::Real(90_200)))]);
    for (inside, field) in [
        (r#""weightGrams": 90200"#, "weight.sampleTime"),
        (r#""sampleTime": {"physicalTime": "now"}"#, "weight.sampleTime.physicalTime"),
        (r#""sampleTime": {"physicalTime": "2026-09-25T22:15:10Z"}"#, "weight.weightGrams"),
    ] {
        let item = with(WEIGHT, &format!(r#""weight": {{{inside}}}"#));
        assert_eq!(fault(weight, &item, &context()), field, "{inside}");
    }
    for grams in ["0", "-1", "500000.5", "1e400", "\"NaN\"", "[]"] {
        let item = WEIGHT.replace("90200", grams);
        assert_eq!(fault(weight, &item, &context()), "weight.weightGrams", "{grams}");
    }
    let late = WEIGHT.replace("2026-09-25T22:15:10Z", "2026-11-21T09:00:00Z");
    assert_eq!(values(weight, &late, &context()).at, Some(context().now));
}
