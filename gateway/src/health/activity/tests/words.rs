//! Sources that name their activities, and words of any sender.

use crate::health::activity::table::Words;
use crate::health::activity::tests::ActivityType;
use crate::health::activity::{apple_health, fitbit, google_health, native, oura, strava};

/// Checks rows, spelt as they are and otherwise, and that a table has no others.
fn check(of: fn(&str) -> ActivityType, table: Words, rows: &str, unknown: &str) {
    let mut count = 0;
    for row in rows.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (activity_type, words) = row.split_once(": ").unwrap();
        let expected = ActivityType::from_word(activity_type).unwrap();
        for word in words.split(", ") {
            let snake = word.replace([' ', '-'], "_");
            for sport in [word, &word.to_uppercase(), &word.to_lowercase(), &snake] {
                assert_eq!(of(sport), expected, "{sport}");
            }
            count += 1;
        }
    }
    for sport in unknown.split_whitespace() {
        assert_eq!(of(sport), ActivityType::Unknown, "{sport}");
    }
    assert_eq!(count, table.iter().map(|(_, words)| words.len()).sum::<usize>());
}

const STRAVA: &str = "
        RUN: Run, TrailRun, VirtualRun
        CYCLE: Ride, MountainBikeRide, GravelRide, EBikeRide, EMountainBikeRide
        CYCLE: VirtualRide, Handcycle, Velomobile
        WALK: Walk, Hike
        SWIM: Swim
        STRENGTH: WeightTraining, Crossfit, HighIntensityIntervalTraining, Yoga, Pilates
";

#[test]
fn strava() {
    let unknown = "
        AlpineSki BackcountrySki Canoeing Elliptical Golf IceSkate InlineSkate Kayaking
        Kitesurf NordicSki RockClimbing RollerSki Rowing Sail Skateboard Snowboard
        Snowshoe Soccer StairStepper StandUpPaddling Surfing Wheelchair Windsurf Workout
        Badminton Basketball Cricket Dance Padel PhysicalTherapy Pickleball Racquetball
        Squash TableTennis Tennis VirtualRow Volleyball";
    check(strava::of, strava::WORDS, STRAVA, unknown);
}

const GOOGLE_HEALTH: &str = "
        RUN: RUNNING, TRAIL_RUN, INCLINE_RUN, TREADMILL, TREADMILL_RUN
        CYCLE: BIKING, OUTDOOR_BIKE, MOUNTAIN_BIKE, ELECTRIC_BIKE, STATIONARY_BIKE
        CYCLE: ASSAULT_BIKE, SPINNING, HAND_CYCLING, UNICYCLING
        WALK: WALKING, HIKING, BACKPACKING, RUCKING, INCLINE_WALK, NORDIC_WALKING
        WALK: POWER_WALKING, STROLLER_WALK, TREADMILL_WALK, WALK_WITH_WEIGHTS
        SWIM: SWIMMING, SWIMMING_POOL, SWIMMING_OPEN_WATER, SYNCHRONIZED_SWIMMING
        STRENGTH: STRENGTH_TRAINING, FUNCTIONAL_STRENGTH_TRAINING, CORE_TRAINING
        STRENGTH: BODY_WEIGHT, CALISTHENICS, POWERLIFTING, WEIGHTLIFTING, FREE_WEIGHTS
        STRENGTH: WEIGHTS, WEIGHT_MACHINES, RESISTANCE_BANDS, TRX, CROSSFIT, HIIT
        STRENGTH: TABATA_WORKOUT, YOGA, YOGA_BIKRAM, YOGA_HATHA, YOGA_POWER, YOGA_VINYASA
        STRENGTH: PILATES
";

#[test]
fn google_health() {
    let unknown = "
        CARDIO_WORKOUT WORKOUT OTHER EXERCISE_TYPE_UNSPECIFIED ELLIPTICAL ROWING
        ROWING_MACHINE STAIRCLIMBER CIRCUIT_TRAINING INTERVAL_WORKOUT BOOTCAMP
        STRETCHING MEDITATE WATER_POLO WATER_JOGGING ROCK_CLIMBING SKIING TENNIS DANCING
        MOTORCYCLE WHEELCHAIR";
    check(google_health::of, google_health::WORDS, GOOGLE_HEALTH, unknown);
}

const OURA: &str = "
        RUN: running, trail_running, treadmill_running, indoor_running
        CYCLE: cycling, mountain_biking, indoor_cycling, outdoor_cycling
        CYCLE: electric_biking
        WALK: walking, indoor_walking, nordic_walking, hiking
        SWIM: swimming, pool_swimming, open_water_swimming
        STRENGTH: strength_training, weightlifting, core_training, hiit
        STRENGTH: high_intensity_interval_training, crossfit, yoga, pilates
";

#[test]
fn oura() {
    let unknown = "
        other activity workout rest recovery rowing elliptical stair_climbing
        circuit_training stretching meditation skiing tennis dance triathlon";
    check(oura::of, oura::WORDS, OURA, unknown);
}

const FITBIT: &str = "
        RUN: Run, Running, Treadmill, Treadmill Run, Trail Run, Jogging
        CYCLE: Bike, Biking, Bicycling, Cycling, Outdoor Bike, Indoor Bike
        CYCLE: Indoor Cycling, Mountain Bike, Mountain Biking, Stationary Bike
        CYCLE: Spinning, eBike
        WALK: Walk, Walking, Hike, Hiking, Treadmill Walk, Power Walking
        WALK: Nordic Walking
        SWIM: Swim, Swimming, Pool Swim, Open Water Swim
        STRENGTH: Weights, Weightlifting, Weight Training, Strength Training
        STRENGTH: Core Training, CrossFit, HIIT, Yoga, Pilates
";

#[test]
fn fitbit() {
    let unknown = "
        Workout Sport Elliptical Rowing Tennis Golf Dance";
    check(fitbit::of, fitbit::WORDS, FITBIT, unknown);
}

const APPLE_HEALTH_NAMES: &str = "
        RUN: Outdoor Run, Indoor Run, Outdoor Running, Indoor Running, Trail Run
        RUN: Trail Running, Treadmill, Treadmill Run, Track Run
        CYCLE: Outdoor Cycle, Indoor Cycle, Outdoor Cycling, Indoor Cycling
        CYCLE: Outdoor Bike, Indoor Bike, Mountain Biking
        WALK: Outdoor Walk, Indoor Walk, Outdoor Walking, Indoor Walking, Hike
        WALK: Outdoor Hike
        SWIM: Swim, Pool Swim, Open Water Swim, Pool Swimming, Open Water Swimming
        SWIM: Indoor Swim, Outdoor Swim
        STRENGTH: Strength Training, HIIT
";

#[test]
fn apple_health_names() {
    let unknown = "
        Rowing Elliptical Dance Cooldown";
    check(apple_health::of, apple_health::WORDS, APPLE_HEALTH_NAMES, unknown);
}

const NATIVE: &str = "
        RUN: run, running, jogging, trail run, trail running, treadmill
        RUN: treadmill run, treadmill running, running treadmill, indoor run
        RUN: indoor running, outdoor run, outdoor running, virtual run
        CYCLE: cycle, cycling, bike, biking, bicycling, ride, indoor cycling
        CYCLE: outdoor cycling, cycling stationary, stationary bike, spinning
        CYCLE: mountain biking, gravel cycling, virtual cycling, virtual ride, e-bike
        CYCLE: e-biking, hand cycling
        WALK: walk, walking, hike, hiking, indoor walk, indoor walking, outdoor walk
        WALK: outdoor walking, nordic walking
        SWIM: swim, swimming, pool swim, pool swimming, swimming pool, open water swim
        SWIM: open water swimming, swimming open water
        STRENGTH: strength, strength training, traditional strength training
        STRENGTH: functional strength training, weights, weight training, weightlifting
        STRENGTH: calisthenics, core, core training, crossfit, hiit
        STRENGTH: high intensity interval training, yoga, pilates
";

#[test]
fn native() {
    let unknown = "
        other unknown workout sport rowing";
    check(native::of, native::WORDS, NATIVE, unknown);
}
