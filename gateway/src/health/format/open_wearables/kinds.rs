//! Kinds of records: `HealthKit`'s identifiers, and words for Health Connect and
//! Samsung Health.

use crate::health::field::Field;

/// Whether what it measures adds up over a day.
const SUM: bool = true;
const LATEST: bool = false;

const APPLE: [(&str, Field, bool); 19] = [
    ("StepCount", Field::Steps, SUM),
    ("DistanceWalkingRunning", Field::DistanceM, SUM),
    ("ActiveEnergyBurned", Field::ActiveCalories, SUM),
    ("FlightsClimbed", Field::FlightsClimbed, SUM),
    ("DietaryEnergyConsumed", Field::Calories, SUM),
    ("DietaryProtein", Field::ProteinG, SUM),
    ("DietaryCarbohydrates", Field::CarbsG, SUM),
    ("DietaryFatTotal", Field::FatG, SUM),
    ("DietaryFiber", Field::FiberG, SUM),
    ("HeartRate", Field::HeartRateAvg, LATEST),
    ("RestingHeartRate", Field::RestingHeartRate, LATEST),
    ("HeartRateVariabilitySDNN", Field::HrvSdnnMs, LATEST),
    ("VO2Max", Field::Vo2Max, LATEST),
    ("OxygenSaturation", Field::OxygenSaturation, LATEST),
    ("RespiratoryRate", Field::RespiratoryRate, LATEST),
    ("Height", Field::HeightM, LATEST),
    ("BodyMass", Field::WeightKg, LATEST),
    ("LeanBodyMass", Field::LeanBodyMassKg, LATEST),
    ("BodyFatPercentage", Field::BodyFatPercentage, LATEST),
];

const ANDROID: [(&str, Field, bool); 14] = [
    ("STEP_COUNT", Field::Steps, SUM),
    ("DISTANCE", Field::DistanceM, SUM),
    ("ACTIVE_CALORIES_BURNED", Field::ActiveCalories, SUM),
    ("FLOORS_CLIMBED", Field::FlightsClimbed, SUM),
    ("HEART_RATE", Field::HeartRateAvg, LATEST),
    ("RESTING_HEART_RATE", Field::RestingHeartRate, LATEST),
    ("HEART_RATE_VARIABILITY", Field::HrvMs, LATEST),
    ("VO2_MAX", Field::Vo2Max, LATEST),
    ("OXYGEN_SATURATION", Field::OxygenSaturation, LATEST),
    ("RESPIRATORY_RATE", Field::RespiratoryRate, LATEST),
    ("WEIGHT", Field::WeightKg, LATEST),
    ("LEAN_BODY_MASS", Field::LeanBodyMassKg, LATEST),
    ("BODY_FAT", Field::BodyFatPercentage, LATEST),
    ("HEIGHT", Field::HeightM, LATEST),
];

/// What a kind measures, and whether it adds up.
pub(super) fn of(word: &str) -> Option<(Field, bool)> {
    let apple = word.strip_prefix("HKQuantityTypeIdentifier").unwrap_or_default();
    let found = APPLE.iter().find(|(known, ..)| *known == apple);
    let found = found.or_else(|| ANDROID.iter().find(|(known, ..)| *known == word));
    found.map(|(_, field, is_sum)| (*field, *is_sum))
}
