//! What a day makes of what sources say.

use proptest::prelude::*;

use super::*;

fn values(source: Source, at: Option<i64>, field: Field, value: Option<f64>) -> DayValues {
    let value = value.map(|number| field.number(number).unwrap());
    DayValues {
        date: NaiveDate::from_ymd_opt(2026, 11, 21).unwrap(),
        source,
        at: at.map(Timestamp::from_millis),
        follows: false,
        values: vec![(field, value)],
    }
}

fn steps(source: Source, at: Option<i64>, value: impl Into<Option<f64>>) -> DayValues {
    values(source, at, Field::Steps, value.into())
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A day in the life: corrected by hand, not overwritten, told, withdrawn.
#[test]
fn a_persons_word_stands_until_it_is_taken_back() {
    let mut day = Day::default();
    assert!(day.merge(&steps(Source::AppleHealth, None, 4_000.0), at(1_000)));
    assert!(day.merge(&steps(Source::Manual, None, 5_000.0), at(2_000)));
    assert!(day.merge(&steps(Source::AppleHealth, None, 7_000.0), at(3_000)));
    let row = Json::Object(day.shown());
    assert_eq!(row["steps"], 5_000);
    assert_eq!(row["field_sources"]["steps"]["source"], "manual");
    let expected = json!([
        {"field": "steps", "manual": 5_000, "device": 7_000, "source": "apple_health"}
    ]);
    assert_eq!(row["overridden"], expected);
    assert!(!day.merge(&steps(Source::AppleHealth, None, None), at(4_000)));
    assert!(day.merge(&steps(Source::Manual, None, None), at(4_000)));
    let row = Json::Object(day.shown());
    assert_eq!(row["steps"], 7_000);
    assert_eq!(row["overridden"], json!([]));
    assert_eq!(row["data_sources"], json!(["apple_health", "manual"]));
    assert!(!day.merge(&steps(Source::Manual, None, None), at(5_000)));
}

#[test]
fn rank_goes_before_age_and_age_before_priority() {
    let mut day = Day::default();
    day.merge(&steps(Source::GoogleHealth, Some(9_000), 1.0), at(10_000));
    day.merge(&steps(Source::AppleHealth, Some(1_000), 2.0), at(10_000));
    assert_eq!(day.owner(Field::Steps).unwrap().value, Value::Whole(2));
    day.merge(&steps(Source::HealthConnect, Some(2_000), 3.0), at(10_000));
    assert_eq!(day.owner(Field::Steps).unwrap().value, Value::Whole(3));
    let mut tie = Day::default();
    for (source, value) in [(Source::Fitbit, 1.0), (Source::Strava, 2.0), (Source::Oura, 3.0)] {
        tie.merge(&steps(source, Some(5_000), value), at(10_000));
    }
    assert_eq!(tie.owner(Field::Steps).unwrap().source, Source::Oura);
    tie.merge(&steps(Source::GoogleHealth, Some(5_000), 4.0), at(10_000));
    assert_eq!(tie.owner(Field::Steps).unwrap().source, Source::Oura, "the first to arrive");
}

#[test]
fn of_one_source_the_newest_measurement_counts() {
    let mut day = Day::default();
    day.merge(&steps(Source::AppleHealth, Some(5_000), 100.0), at(9_000));
    assert!(!day.merge(&steps(Source::AppleHealth, Some(4_000), 300.0), at(9_000)));
    assert!(!day.merge(&steps(Source::AppleHealth, Some(5_000), 100.0), at(9_000)));
    assert!(day.merge(&steps(Source::AppleHealth, Some(6_000), 200.0), at(9_000)));
    // What has no time of its own is of now, unless it says nothing new.
    assert!(!day.merge(&steps(Source::AppleHealth, None, 200.0), at(10_000)));
    assert_eq!(day.owner(Field::Steps).unwrap().at_ms, 6_000);
    assert!(day.merge(&steps(Source::AppleHealth, None, 201.0), at(10_000)));
    assert_eq!(day.owner(Field::Steps).unwrap().at_ms, 10_000);
    // Also by a clock that went back.
    assert!(day.merge(&steps(Source::AppleHealth, None, 202.0), at(1_000)));
    assert_eq!(day.owner(Field::Steps).unwrap().at_ms, 10_000);
}

#[test]
fn a_value_that_a_person_confirms_is_not_overridden() {
    let mut day = Day::default();
    day.merge(&values(Source::AppleHealth, None, Field::WeightKg, Some(82.1)), at(1));
    day.merge(&values(Source::Manual, None, Field::WeightKg, Some(82.1)), at(2));
    assert_eq!(Json::Object(day.shown())["overridden"], json!([]));
}

fn any_values() -> impl Strategy<Value = DayValues> {
    let source = proptest::sample::select(Source::ALL);
    let field = proptest::sample::select(&[Field::Steps, Field::WeightKg, Field::Stress][..]);
    let value = proptest::option::weighted(0.8, 1.0..10.0);
    (source, field, value, proptest::option::of(0_i64..20))
        .prop_map(|(source, field, value, at)| values(source, at, field, value))
}

proptest! {
    /// A day survives being stored, whatever it holds, and merging all of it again
    /// changes nothing that has a time.
    #[test]
    fn a_day_is_restored_as_it_was(all in proptest::collection::vec(any_values(), 0..30)) {
        let mut day = Day::default();
        for (now, values) in (100..).zip(&all) {
            day.merge(values, at(now));
        }
        prop_assert_eq!(Day::restore(&day.stored()), Some(day.clone()));
        for field in Field::ALL {
            let Some(owner) = day.owner(*field) else { continue };
            let again = DayValues {
                date: NaiveDate::MIN,
                source: owner.source,
                at: Some(at(owner.at_ms)),
                follows: false,
                values: vec![(*field, Some(owner.value.clone()))],
            };
            prop_assert!(!day.clone().merge(&again, at(1_000)));
        }
    }
}
