//! What the former Fitbit API calls activities: `activityName`. Its ids are not
//! looked at: what is written of most of them differs.

use crate::health::activity::ActivityType::{self, Cycle, Run, Strength, Swim, Unknown, Walk};
use crate::health::activity::table::{Words, by_word};

/// Everything else is unknown, `Workout`, `Sport` and `Interval Workout` too.
pub(super) const WORDS: Words = &[
    (Run, &["Run", "Running", "Treadmill", "Treadmill Run", "Trail Run", "Jogging"]),
    (
        Cycle,
        &[
            "Bike",
            "Biking",
            "Bicycling",
            "Cycling",
            "Outdoor Bike",
            "Indoor Bike",
            "Indoor Cycling",
            "Mountain Bike",
            "Mountain Biking",
            "Stationary Bike",
            "Spinning",
            "eBike",
        ],
    ),
    (
        Walk,
        &["Walk", "Walking", "Hike", "Hiking", "Treadmill Walk", "Power Walking", "Nordic Walking"],
    ),
    (Swim, &["Swim", "Swimming", "Pool Swim", "Open Water Swim"]),
    (
        Strength,
        &[
            "Weights",
            "Weightlifting",
            "Weight Training",
            "Strength Training",
            "Core Training",
            "CrossFit",
            "HIIT",
            "Yoga",
            "Pilates",
        ],
    ),
];

/// What an `activityName` stands for.
pub fn of(sport: &str) -> ActivityType {
    by_word(WORDS, sport).unwrap_or(Unknown)
}
