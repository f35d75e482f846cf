//! What Oura calls workouts: `activity`.

use crate::health::activity::ActivityType::{self, Cycle, Run, Strength, Swim, Unknown, Walk};
use crate::health::activity::table::{Words, by_word};

/// Everything else is unknown.
pub(super) const WORDS: Words = &[
    (Run, &["running", "trail_running", "treadmill_running", "indoor_running"]),
    (
        Cycle,
        &["cycling", "mountain_biking", "indoor_cycling", "outdoor_cycling", "electric_biking"],
    ),
    (Walk, &["walking", "indoor_walking", "nordic_walking", "hiking"]),
    (Swim, &["swimming", "pool_swimming", "open_water_swimming"]),
    (
        Strength,
        &[
            "strength_training",
            "weightlifting",
            "core_training",
            "hiit",
            "high_intensity_interval_training",
            "crossfit",
            "yoga",
            "pilates",
        ],
    ),
];

/// What an `activity` stands for.
pub fn of(sport: &str) -> ActivityType {
    by_word(WORDS, sport).unwrap_or(Unknown)
}
