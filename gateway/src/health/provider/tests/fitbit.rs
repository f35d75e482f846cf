//! The former Fitbit Web API: the examples of its documentation, and worse.

use chrono_tz::Europe::Berlin;

use super::{activity, context, context_in, fault, list, ms, night, values, with};
use crate::health::activity::ActivityType;
use crate::health::field::{Field, Value};
use crate::health::provider::fitbit::{activities, sleep, steps};
use crate::health::source::Source;

const RUN: &str = r#"{
    "logId": 12345678, "activityName": "Run", "activityTypeId": 90009,
    "startTime": "2024-01-15T07:30:00.000+09:00", "duration": 3600000, "calories": 500,
    "distance": 10.0, "steps": 8000, "averageHeartRate": 155,
    "source": {"name": "Fitbit Charge 6"}
}"#;

const NIGHT: &str = r#"{
    "dateOfSleep": "2020-02-21", "duration": 27720000, "efficiency": 96,
    "endTime": "2020-02-21T07:03:30.000", "infoCode": 0, "isMainSleep": true,
    "levels": {
        "data": [{"dateTime": "2020-02-20T23:21:30.000", "level": "wake", "seconds": 630}],
        "summary": {
            "deep": {"count": 5, "minutes": 104, "thirtyDayAvgMinutes": 69},
            "light": {"count": 32, "minutes": 205, "thirtyDayAvgMinutes": 202},
            "rem": {"count": 11, "minutes": 75, "thirtyDayAvgMinutes": 87},
            "wake": {"count": 30, "minutes": 78, "thirtyDayAvgMinutes": 55}
        }
    },
    "logId": 26013218219, "minutesAsleep": 384, "minutesAwake": 78, "logType": "auto_detected",
    "startTime": "2020-02-20T23:21:30.000", "timeInBed": 462, "type": "stages"
}"#;

#[test]
fn an_activity_is_read() {
    let run = activity(activities, RUN, &context());
    assert_eq!(run.source, Source::Fitbit);
    assert_eq!(run.source_id.as_deref(), Some("12345678"));
    assert_eq!((run.activity_type, run.sport.as_str()), (ActivityType::Run, "Run"));
    assert_eq!(run.date.to_string(), "2024-01-15");
    assert_eq!(run.start_ms, ms("2024-01-14T22:30:00Z"));
    assert_eq!((run.duration_s, run.elapsed_s), (3_600, 3_600));
    assert_eq!((run.distance_m, run.calories_kcal), (Some(10_000_000), Some(500_000)));
    assert_eq!((run.avg_heart_rate, run.max_heart_rate), (Some(155_000), None));
    assert_eq!(run.device.as_deref(), Some("Fitbit Charge 6"));
    assert_eq!(run.utc_offset_s, Some(32_400));
}

#[test]
fn activities_have_units_and_pauses() {
    let of = |fields: &str| activity(activities, &with(RUN, fields), &context());
    assert_eq!(of(r#""distanceUnit": "Kilometer""#).distance_m, Some(10_000_000));
    assert_eq!(of(r#""distanceUnit": "Mile""#).distance_m, Some(16_093_440));
    assert_eq!(of(r#""distanceUnit": "Steps""#).distance_m, None);
    assert_eq!(of(r#""distance": 0"#).distance_m, Some(0));
    assert_eq!(of(r#""activeDuration": 3000600"#).duration_s, 3_001);
    assert_eq!(of(r#""activeDuration": "NaN""#).duration_s, 3_600);
    let bare = of(r#""activityName": null, "distance": null, "calories": null, "source": 7,
        "averageHeartRate": 0, "logId": "98765432123456789123456""#);
    assert_eq!((bare.activity_type, bare.sport.as_str()), (ActivityType::Unknown, ""));
    assert_eq!((bare.distance_m, bare.calories_kcal, bare.avg_heart_rate), (None, None, None));
    assert_eq!((bare.device, bare.source_id.as_deref()), (None, Some("98765432123456789123456")));
}

#[test]
fn activities_that_cannot_be_placed_are_wrong() {
    for (fields, field) in [
        (r#""logId": null"#, "logId"),
        (r#""startTime": "07:30""#, "startTime"),
        (r#""startTime": "2026-11-20T13:00:01+01:00""#, "startTime"),
        (r#""duration": null"#, "duration"),
        (r#""duration": -1"#, "duration"),
        (r#""duration": 1e400"#, "duration"),
        (r#""duration": 1e300"#, "duration"),
    ] {
        assert_eq!(fault(activities, &with(RUN, fields), &context()), field, "{fields}");
    }
}

#[test]
fn a_night_has_times_only_where_the_zone_is_known() {
    let anywhere = night(sleep, NIGHT, &context());
    assert_eq!((anywhere.sleep_start_ms, anywhere.sleep_end_ms, anywhere.at), (None, None, None));
    let night = night(sleep, NIGHT, &context_in(Berlin));
    assert_eq!((night.source, night.date.to_string().as_str()), (Source::Fitbit, "2020-02-21"));
    assert_eq!(night.source_id.as_deref(), Some("26013218219"));
    assert_eq!(night.sleep_start_ms, Some(ms("2020-02-20T22:21:30Z")));
    assert_eq!(night.sleep_end_ms, Some(ms("2020-02-21T06:03:30Z")));
    assert_eq!((night.total_sleep_minutes, night.in_bed_minutes), (Some(384), Some(462)));
    assert_eq!((night.awake_minutes, night.asleep_core_minutes), (Some(78), Some(205)));
    assert_eq!((night.asleep_deep_minutes, night.asleep_rem_minutes), (Some(104), Some(75)));
}

/// 23:30 to 02:30 is four hours in the night in which an hour comes twice.
#[test]
fn clocks_that_are_set_back_do_not_shorten_a_night() {
    let ends = |fields: &str| {
        let item = with(NIGHT, &format!(r#""dateOfSleep": "2026-10-25", {fields}"#));
        night(sleep, &item, &context_in(Berlin)).sleep_end_ms
    };
    let times = r#""startTime": "2026-10-24T23:30:00.000", "endTime": "2026-10-25T02:30:00.000""#;
    let end = ends(&format!(r#"{times}, "duration": 14400000"#));
    assert_eq!(end, Some(ms("2026-10-25T01:30:00Z")));
    assert_eq!(ends(&format!(r#"{times}, "duration": null"#)), Some(ms("2026-10-25T00:30:00Z")));
    let nap = r#""startTime": "2026-10-25T02:50:00.000", "endTime": "2026-10-25T02:10:00.000",
        "duration": 1200000"#;
    assert_eq!(ends(nap), Some(ms("2026-10-25T01:10:00Z")));
    let left_out =
        r#""startTime": "2026-03-29T02:30:00.000", "endTime": "2026-03-29T07:00:00.000""#;
    assert_eq!(ends(left_out), None);
}

#[test]
fn a_classic_night_has_no_stages() {
    let classic = with(
        NIGHT,
        r#""type": "classic", "levels": {"summary": {
        "asleep": {"count": 0, "minutes": 350}, "restless": {"count": 5, "minutes": 30},
        "awake": {"count": 2, "minutes": 8}}}"#,
    );
    let night = night(sleep, &classic, &context());
    assert_eq!((night.total_sleep_minutes, night.asleep_core_minutes), (Some(384), None));
    assert_eq!((night.asleep_deep_minutes, night.asleep_rem_minutes), (None, None));
}

#[test]
fn totals_are_made_of_stages_where_all_are_there() {
    let of = |fields: &str| night(sleep, &with(NIGHT, fields), &context()).total_sleep_minutes;
    assert_eq!(of(r#""minutesAsleep": null"#), Some(384));
    assert_eq!(of(r#""minutesAsleep": 43201, "levels": null"#), None);
    assert_eq!(
        of(r#""minutesAsleep": "NaN", "levels": {"summary": {"deep": {"minutes": 9}}}"#),
        None
    );
}

#[test]
fn nights_that_cannot_be_placed_are_wrong() {
    for (fields, field) in [
        (r#""logId": null"#, "logId"),
        (r#""dateOfSleep": null"#, "dateOfSleep"),
        (r#""dateOfSleep": "2026-11-22""#, "dateOfSleep"),
        (r#""endTime": "2020-02-20T21:03:30.000""#, "endTime"),
        (r#""startTime": "2026-11-20T13:00:01""#, "endTime"),
        (r#""startTime": "2026-11-20T13:00:01", "endTime": null"#, "startTime"),
    ] {
        assert_eq!(fault(sleep, &with(NIGHT, fields), &context_in(Berlin)), field, "{fields}");
    }
    let odd = r#""startTime": "+99999-01-01T00:00:00", "endTime": 7"#;
    assert_eq!(night(sleep, &with(NIGHT, odd), &context_in(Berlin)).sleep_start_ms, None);
}

#[test]
fn steps_are_texts_and_nothing_may_be_no_data() {
    let day = values(steps, r#"{"dateTime": "2020-01-01", "value": "13474"}"#, &context());
    assert_eq!((day.date.to_string().as_str(), day.source), ("2020-01-01", Source::Fitbit));
    assert_eq!(day.at, None);
    assert_eq!(day.values, [(Field::Steps, Some(Value::Whole(13_474)))]);
    let page = r#"[{"dateTime": "2020-01-01", "value": "0"}, {"dateTime": "2020-01-02", "value": "86"},
        {"dateTime": "2020-01-03", "value": "NaN"}, {"dateTime": "2020-01-04", "value": "200001"},
        {"dateTime": "2020-01-05"}, {"dateTime": "2020-01-06", "value": "-1"},
        {"dateTime": "1.1.2020", "value": "1"}]"#;
    let facts = steps(&list(page), &context());
    assert_eq!((facts.total, facts.ignored, facts.facts.len()), (7, 1, 1));
    let wrong: Vec<_> = facts.errors.iter().map(|e| (e.index, e.field.as_str())).collect();
    assert_eq!(wrong, [(2, "value"), (3, "value"), (4, "value"), (5, "value"), (6, "dateTime")]);
    assert!(facts.errors.iter().all(|error| error.list == "steps"));
}
