//! What Google Health calls exercises: `exerciseType`.

use crate::health::activity::ActivityType::{self, Cycle, Run, Strength, Swim, Unknown, Walk};
use crate::health::activity::table::{Words, by_word};

/// Rowing, dances, ball games, classes and the rest are unknown.
pub(super) const WORDS: Words = &[
    (Run, &["RUNNING", "TRAIL_RUN", "INCLINE_RUN", "TREADMILL", "TREADMILL_RUN"]),
    (
        Cycle,
        &[
            "BIKING",
            "OUTDOOR_BIKE",
            "MOUNTAIN_BIKE",
            "ELECTRIC_BIKE",
            "STATIONARY_BIKE",
            "ASSAULT_BIKE",
            "SPINNING",
            "HAND_CYCLING",
            "UNICYCLING",
        ],
    ),
    (
        Walk,
        &[
            "WALKING",
            "HIKING",
            "BACKPACKING",
            "RUCKING",
            "INCLINE_WALK",
            "NORDIC_WALKING",
            "POWER_WALKING",
            "STROLLER_WALK",
            "TREADMILL_WALK",
            "WALK_WITH_WEIGHTS",
        ],
    ),
    (Swim, &["SWIMMING", "SWIMMING_POOL", "SWIMMING_OPEN_WATER", "SYNCHRONIZED_SWIMMING"]),
    (
        Strength,
        &[
            "STRENGTH_TRAINING",
            "FUNCTIONAL_STRENGTH_TRAINING",
            "CORE_TRAINING",
            "BODY_WEIGHT",
            "CALISTHENICS",
            "POWERLIFTING",
            "WEIGHTLIFTING",
            "FREE_WEIGHTS",
            "WEIGHTS",
            "WEIGHT_MACHINES",
            "RESISTANCE_BANDS",
            "TRX",
            "CROSSFIT",
            "HIIT",
            "TABATA_WORKOUT",
            "YOGA",
            "YOGA_BIKRAM",
            "YOGA_HATHA",
            "YOGA_POWER",
            "YOGA_VINYASA",
            "PILATES",
        ],
    ),
];

/// What an `exerciseType` stands for.
pub fn of(sport: &str) -> ActivityType {
    by_word(WORDS, sport).unwrap_or(Unknown)
}
