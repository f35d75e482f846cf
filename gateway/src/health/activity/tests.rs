//! Each row of each table, written down a second time by hand.

mod numbers;
mod words;

use crate::health::activity::ActivityType::{self, Cycle, Run, Strength, Swim, Unknown, Walk};
use crate::health::activity::type_of;
use crate::health::source::Source;

#[test]
fn thirty_seven_depends_on_who_says_it() {
    assert_eq!(type_of(Source::AppleHealth, "37"), Run);
    assert_eq!(type_of(Source::HealthConnect, "37"), Walk);
    for source in [Source::Manual, Source::Strava, Source::Oura, Source::GoogleHealth] {
        assert_eq!(type_of(source, "37"), Unknown, "{source}");
    }
}

#[test]
fn numbers_are_understood_as_senders_write_them() {
    assert_eq!(type_of(Source::AppleHealth, " 37 "), Run);
    assert_eq!(type_of(Source::AppleHealth, "37.0"), Run);
    assert_eq!(type_of(Source::HealthConnect, "56.0"), Run);
    for text in ["81", "85", "-37", "3.7", "37.5", "3e1", "99999999999999999999", "0x25", "+", ""] {
        assert_eq!(type_of(Source::AppleHealth, text), Unknown, "{text}");
    }
    for text in ["1", "46", "84", "-8", "4294967352"] {
        assert_eq!(type_of(Source::HealthConnect, text), Unknown, "{text}");
    }
}

#[test]
fn a_word_that_says_whose_it_is_is_understood_from_anybody() {
    for source in Source::ALL {
        assert_eq!(type_of(*source, "HKWorkoutActivityTypeHiking"), Walk, "{source}");
        assert_eq!(type_of(*source, "EXERCISE_TYPE_BIKING_STATIONARY"), Cycle, "{source}");
        assert_eq!(type_of(*source, "HKWorkoutActivityTypeCricket"), Unknown, "{source}");
    }
}

#[test]
fn words_of_any_sender_are_understood_with_each_source() {
    for source in Source::ALL {
        for (word, expected) in [
            ("run", Run),
            ("walk", Walk),
            ("cycle", Cycle),
            ("strength", Strength),
            ("hiit", Strength),
            ("running", Run),
            ("cycling", Cycle),
            ("walking", Walk),
            ("swimming", Swim),
            ("strength_training", Strength),
            ("hiking", Walk),
            ("yoga", Strength),
            ("RUN", Run),
            ("Running", Run),
            ("other", Unknown),
        ] {
            assert_eq!(type_of(*source, word), expected, "{source} {word}");
        }
    }
}

#[test]
fn what_nobody_knows_is_unknown() {
    for source in Source::ALL {
        for word in ["", " ", "_", "户外 步行", "Laufen", "Quidditch", "runn", "run!fast", "null"]
        {
            assert_eq!(type_of(*source, word), ActivityType::Unknown, "{source} {word}");
        }
        assert_eq!(type_of(*source, &"run".repeat(100_000)), Unknown);
    }
}
