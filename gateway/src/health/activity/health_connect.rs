//! What Health Connect calls exercise sessions: `EXERCISE_TYPE_…`, as a number or
//! as a name. Its segments' types are other numbers.

use crate::health::activity::ActivityType::{self, Cycle, Run, Strength, Swim, Unknown, Walk};
use crate::health::activity::table::{Numbers, by_name, by_number};

/// How names begin in its library.
pub(super) const PREFIX: &str = "EXERCISE_TYPE_";

/// Its numbers. The gaps are retired.
pub(super) const NUMBERS: Numbers = &[
    (0, "OTHER_WORKOUT", Unknown),
    (2, "BADMINTON", Unknown),
    (4, "BASEBALL", Unknown),
    (5, "BASKETBALL", Unknown),
    (8, "BIKING", Cycle),
    (9, "BIKING_STATIONARY", Cycle),
    (10, "BOOT_CAMP", Unknown),
    (11, "BOXING", Unknown),
    (13, "CALISTHENICS", Strength),
    (14, "CRICKET", Unknown),
    (16, "DANCING", Unknown),
    (25, "ELLIPTICAL", Unknown),
    (26, "EXERCISE_CLASS", Unknown),
    (27, "FENCING", Unknown),
    (28, "FOOTBALL_AMERICAN", Unknown),
    (29, "FOOTBALL_AUSTRALIAN", Unknown),
    (31, "FRISBEE_DISC", Unknown),
    (32, "GOLF", Unknown),
    (33, "GUIDED_BREATHING", Unknown),
    (34, "GYMNASTICS", Unknown),
    (35, "HANDBALL", Unknown),
    (36, "HIGH_INTENSITY_INTERVAL_TRAINING", Strength),
    (37, "HIKING", Walk),
    (38, "ICE_HOCKEY", Unknown),
    (39, "ICE_SKATING", Unknown),
    (44, "MARTIAL_ARTS", Unknown),
    (46, "PADDLING", Unknown),
    (47, "PARAGLIDING", Unknown),
    (48, "PILATES", Strength),
    (50, "RACQUETBALL", Unknown),
    (51, "ROCK_CLIMBING", Unknown),
    (52, "ROLLER_HOCKEY", Unknown),
    (53, "ROWING", Unknown),
    (54, "ROWING_MACHINE", Unknown),
    (55, "RUGBY", Unknown),
    (56, "RUNNING", Run),
    (57, "RUNNING_TREADMILL", Run),
    (58, "SAILING", Unknown),
    (59, "SCUBA_DIVING", Unknown),
    (60, "SKATING", Unknown),
    (61, "SKIING", Unknown),
    (62, "SNOWBOARDING", Unknown),
    (63, "SNOWSHOEING", Unknown),
    (64, "SOCCER", Unknown),
    (65, "SOFTBALL", Unknown),
    (66, "SQUASH", Unknown),
    (68, "STAIR_CLIMBING", Unknown),
    (69, "STAIR_CLIMBING_MACHINE", Unknown),
    (70, "STRENGTH_TRAINING", Strength),
    (71, "STRETCHING", Unknown),
    (72, "SURFING", Unknown),
    (73, "SWIMMING_OPEN_WATER", Swim),
    (74, "SWIMMING_POOL", Swim),
    (75, "TABLE_TENNIS", Unknown),
    (76, "TENNIS", Unknown),
    (78, "VOLLEYBALL", Unknown),
    (79, "WALKING", Walk),
    (80, "WATER_POLO", Unknown),
    (81, "WEIGHTLIFTING", Strength),
    (82, "WHEELCHAIR", Unknown),
    (83, "YOGA", Strength),
];

/// What a number or a name stands for.
pub fn of(sport: &str) -> ActivityType {
    let name = sport.strip_prefix(PREFIX).unwrap_or(sport);
    by_number(NUMBERS, name).or_else(|| by_name(NUMBERS, name)).unwrap_or(Unknown)
}
