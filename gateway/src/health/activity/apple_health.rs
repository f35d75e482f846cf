//! What `HealthKit` calls workouts: `HKWorkoutActivityType`, as a number or as a
//! name.

use crate::health::activity::ActivityType::{self, Cycle, Run, Strength, Swim, Unknown, Walk};
use crate::health::activity::table::{Numbers, Words, by_name, by_number, by_word};

/// How names begin in exports.
pub(super) const PREFIX: &str = "HKWorkoutActivityType";

/// Raw values. 81 is not used.
pub(super) const NUMBERS: Numbers = &[
    (1, "americanFootball", Unknown),
    (2, "archery", Unknown),
    (3, "australianFootball", Unknown),
    (4, "badminton", Unknown),
    (5, "baseball", Unknown),
    (6, "basketball", Unknown),
    (7, "bowling", Unknown),
    (8, "boxing", Unknown),
    (9, "climbing", Unknown),
    (10, "cricket", Unknown),
    (11, "crossTraining", Unknown),
    (12, "curling", Unknown),
    (13, "cycling", Cycle),
    (14, "dance", Unknown),
    (15, "danceInspiredTraining", Unknown),
    (16, "elliptical", Unknown),
    (17, "equestrianSports", Unknown),
    (18, "fencing", Unknown),
    (19, "fishing", Unknown),
    (20, "functionalStrengthTraining", Strength),
    (21, "golf", Unknown),
    (22, "gymnastics", Unknown),
    (23, "handball", Unknown),
    (24, "hiking", Walk),
    (25, "hockey", Unknown),
    (26, "hunting", Unknown),
    (27, "lacrosse", Unknown),
    (28, "martialArts", Unknown),
    (29, "mindAndBody", Unknown),
    (30, "mixedMetabolicCardioTraining", Unknown),
    (31, "paddleSports", Unknown),
    (32, "play", Unknown),
    (33, "preparationAndRecovery", Unknown),
    (34, "racquetball", Unknown),
    (35, "rowing", Unknown),
    (36, "rugby", Unknown),
    (37, "running", Run),
    (38, "sailing", Unknown),
    (39, "skatingSports", Unknown),
    (40, "snowSports", Unknown),
    (41, "soccer", Unknown),
    (42, "softball", Unknown),
    (43, "squash", Unknown),
    (44, "stairClimbing", Unknown),
    (45, "surfingSports", Unknown),
    (46, "swimming", Swim),
    (47, "tableTennis", Unknown),
    (48, "tennis", Unknown),
    (49, "trackAndField", Unknown),
    (50, "traditionalStrengthTraining", Strength),
    (51, "volleyball", Unknown),
    (52, "walking", Walk),
    (53, "waterFitness", Unknown),
    (54, "waterPolo", Unknown),
    (55, "waterSports", Unknown),
    (56, "wrestling", Unknown),
    (57, "yoga", Strength),
    (58, "barre", Unknown),
    (59, "coreTraining", Strength),
    (60, "crossCountrySkiing", Unknown),
    (61, "downhillSkiing", Unknown),
    (62, "flexibility", Unknown),
    (63, "highIntensityIntervalTraining", Strength),
    (64, "jumpRope", Unknown),
    (65, "kickboxing", Unknown),
    (66, "pilates", Strength),
    (67, "snowboarding", Unknown),
    (68, "stairs", Unknown),
    (69, "stepTraining", Unknown),
    (70, "wheelchairWalkPace", Unknown),
    (71, "wheelchairRunPace", Unknown),
    (72, "taiChi", Unknown),
    (73, "mixedCardio", Unknown),
    (74, "handCycling", Cycle),
    (75, "discSports", Unknown),
    (76, "fitnessGaming", Unknown),
    (77, "cardioDance", Unknown),
    (78, "socialDance", Unknown),
    (79, "pickleball", Unknown),
    (80, "cooldown", Unknown),
    (82, "swimBikeRun", Unknown),
    (83, "transition", Unknown),
    (84, "underwaterDiving", Unknown),
    (3000, "other", Unknown),
];

/// Names that its apps and exporters show in English.
pub(super) const WORDS: Words = &[
    (
        Run,
        &[
            "Outdoor Run",
            "Indoor Run",
            "Outdoor Running",
            "Indoor Running",
            "Trail Run",
            "Trail Running",
            "Treadmill",
            "Treadmill Run",
            "Track Run",
        ],
    ),
    (
        Cycle,
        &[
            "Outdoor Cycle",
            "Indoor Cycle",
            "Outdoor Cycling",
            "Indoor Cycling",
            "Outdoor Bike",
            "Indoor Bike",
            "Mountain Biking",
        ],
    ),
    (
        Walk,
        &[
            "Outdoor Walk",
            "Indoor Walk",
            "Outdoor Walking",
            "Indoor Walking",
            "Hike",
            "Outdoor Hike",
        ],
    ),
    (
        Swim,
        &[
            "Swim",
            "Pool Swim",
            "Open Water Swim",
            "Pool Swimming",
            "Open Water Swimming",
            "Indoor Swim",
            "Outdoor Swim",
        ],
    ),
    (Strength, &["Strength Training", "HIIT"]),
];

/// What a raw value, an identifier or a name stands for. Names in the language of
/// the phone are unknown.
pub fn of(sport: &str) -> ActivityType {
    let name = sport.strip_prefix(PREFIX).unwrap_or(sport);
    let found = by_number(NUMBERS, name).or_else(|| by_name(NUMBERS, name));
    found.or_else(|| by_word(WORDS, name)).unwrap_or(Unknown)
}
