//! Words that senders use with any source: apps of our own, exporters, SDKs and
//! backends.

use crate::health::activity::ActivityType::{self, Cycle, Run, Strength, Swim, Unknown, Walk};
use crate::health::activity::table::{Words, by_word};

/// `other`, words in other languages and everything else are unknown.
pub(super) const WORDS: Words = &[
    (
        Run,
        &[
            "run",
            "running",
            "jogging",
            "trail run",
            "trail running",
            "treadmill",
            "treadmill run",
            "treadmill running",
            "running treadmill",
            "indoor run",
            "indoor running",
            "outdoor run",
            "outdoor running",
            "virtual run",
        ],
    ),
    (
        Cycle,
        &[
            "cycle",
            "cycling",
            "bike",
            "biking",
            "bicycling",
            "ride",
            "indoor cycling",
            "outdoor cycling",
            "cycling stationary",
            "stationary bike",
            "spinning",
            "mountain biking",
            "gravel cycling",
            "virtual cycling",
            "virtual ride",
            "e-bike",
            "e-biking",
            "hand cycling",
        ],
    ),
    (
        Walk,
        &[
            "walk",
            "walking",
            "hike",
            "hiking",
            "indoor walk",
            "indoor walking",
            "outdoor walk",
            "outdoor walking",
            "nordic walking",
        ],
    ),
    (
        Swim,
        &[
            "swim",
            "swimming",
            "pool swim",
            "pool swimming",
            "swimming pool",
            "open water swim",
            "open water swimming",
            "swimming open water",
        ],
    ),
    (
        Strength,
        &[
            "strength",
            "strength training",
            "traditional strength training",
            "functional strength training",
            "weights",
            "weight training",
            "weightlifting",
            "calisthenics",
            "core",
            "core training",
            "crossfit",
            "hiit",
            "high intensity interval training",
            "yoga",
            "pilates",
        ],
    ),
];

/// What a word stands for.
pub fn of(sport: &str) -> ActivityType {
    by_word(WORDS, sport).unwrap_or(Unknown)
}
