//! Which nights are kept and shown.

use super::*;

const HOUR: i64 = 3_600_000;

fn night(source: Source, start: i64, hours: i64) -> Night {
    Night {
        source,
        date: NaiveDate::from_ymd_opt(2026, 11, 21).unwrap(),
        source_id: None,
        total_sleep_minutes: Some(hours * 60),
        in_bed_minutes: None,
        awake_minutes: None,
        asleep_core_minutes: None,
        asleep_deep_minutes: None,
        asleep_rem_minutes: None,
        sleep_start_ms: Some(start),
        sleep_end_ms: Some(start + hours * HOUR),
        source_devices: Vec::new(),
        at: None,
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn total(nights: &Nights, source: Source) -> i64 {
    nights.0[&source].period.total_sleep_minutes.unwrap()
}

#[test]
fn a_nap_does_not_replace_the_night_whichever_came_first() {
    let (long, nap) = (night(Source::Oura, 0, 8), night(Source::Oura, 15 * HOUR, 1));
    let (mut one, mut other) = (Nights::default(), Nights::default());
    assert!(one.merge(&long, at(1)));
    assert!(!one.merge(&nap, at(2)));
    assert!(other.merge(&nap, at(1)));
    assert!(other.merge(&long, at(2)));
    assert_eq!(total(&one, Source::Oura), 480);
    assert_eq!(total(&other, Source::Oura), 480);
}

#[test]
fn a_period_is_corrected_by_its_source() {
    let mut nights = Nights::default();
    let first = night(Source::AppleHealth, 0, 8);
    assert!(nights.merge(&first, at(1)));
    assert!(!nights.merge(&first, at(2)), "the same again says nothing");
    assert!(nights.merge(&night(Source::AppleHealth, 0, 7), at(3)));
    assert_eq!(total(&nights, Source::AppleHealth), 420);
    let older = Night { at: Some(at(2)), ..night(Source::AppleHealth, 0, 9) };
    assert!(!nights.merge(&older, at(4)));
}

#[test]
fn the_night_of_the_highest_rank_is_shown_and_versions_tell() {
    let mut nights = Nights::default();
    let before = nights.clone();
    nights.merge(&night(Source::Oura, 0, 8), at(1));
    nights.stamp(&before, 1);
    let before = nights.clone();
    nights.merge(&night(Source::HealthConnect, 0, 7), at(2));
    nights.stamp(&before, 2);
    assert_eq!(nights.shown(), Some(Source::HealthConnect));
    let date = NaiveDate::from_ymd_opt(2026, 11, 21).unwrap();
    let row = |source| Json::Object(nights.row(date, source).unwrap());
    assert_eq!(row(Source::HealthConnect)["version"], 2);
    assert_eq!(row(Source::HealthConnect)["canonical"], true);
    assert_eq!(row(Source::Oura)["version"], 2, "it is not shown any more");
    assert_eq!(row(Source::Oura)["canonical"], false);
}

#[test]
fn what_its_source_deleted_makes_room() {
    let mut nights = Nights::default();
    let with_id = |id: &str, night| Night { source_id: Some(id.to_owned()), ..night };
    nights.merge(&with_id("a", night(Source::Oura, 0, 8)), at(1));
    assert!(!nights.remove(Source::Oura, "b"));
    assert!(!nights.remove(Source::Fitbit, "a"));
    assert!(nights.remove(Source::Oura, "a"));
    assert_eq!(nights.shown(), None);
    let json = serde_json::to_string(&nights).unwrap();
    assert_eq!(serde_json::from_str::<Nights>(&json).unwrap(), nights);
}

#[test]
fn time_in_bed_alone_replaces_no_sleep() {
    let bed = |start| Night {
        total_sleep_minutes: None,
        in_bed_minutes: Some(600),
        ..night(Source::AppleHealth, start, 10)
    };
    let mut nights = Nights::default();
    assert!(nights.merge(&bed(0), at(1)));
    assert!(nights.merge(&night(Source::AppleHealth, HOUR, 7), at(2)));
    assert!(!nights.merge(&bed(0), at(3)));
    assert!(!nights.merge(&Night { sleep_start_ms: None, ..bed(0) }, at(4)));
    assert_eq!(total(&nights, Source::AppleHealth), 420);
}
