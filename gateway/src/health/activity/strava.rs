//! What Strava calls activities: its `sport_type`, and the older `type`.

use crate::health::activity::ActivityType::{self, Cycle, Run, Strength, Swim, Unknown, Walk};
use crate::health::activity::table::{Words, by_word};

/// The other words of 2026, from `AlpineSki` to `Workout`, are unknown.
pub(super) const WORDS: Words = &[
    (Run, &["Run", "TrailRun", "VirtualRun"]),
    (
        Cycle,
        &[
            "Ride",
            "MountainBikeRide",
            "GravelRide",
            "EBikeRide",
            "EMountainBikeRide",
            "VirtualRide",
            "Handcycle",
            "Velomobile",
        ],
    ),
    (Walk, &["Walk", "Hike"]),
    (Swim, &["Swim"]),
    (Strength, &["WeightTraining", "Crossfit", "HighIntensityIntervalTraining", "Yoga", "Pilates"]),
];

/// What a `sport_type` or a `type` stands for.
pub fn of(sport: &str) -> ActivityType {
    by_word(WORDS, sport).unwrap_or(Unknown)
}
