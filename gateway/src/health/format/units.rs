//! Units that senders measure in, and those that fields are kept in.

use uom::si::energy::{calorie, joule, kilocalorie, kilojoule};
use uom::si::f64::{Energy, Length, Mass};
use uom::si::length::{centimeter, foot, inch, kilometer, meter, mile, millimeter, yard};
use uom::si::mass::{gram, kilogram, milligram, ounce};

use crate::health::field::Field;

/// Grams of a pound by its definition; uom's own has seven digits.
const POUND_G: f64 = 453.592_37;

/// Pounds of a stone.
const STONE_LB: f64 = 14.0;

/// What is measured, and what it is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::health) enum Quantity {
    /// A number of things.
    Count,
    /// Kept in metres.
    Length,
    /// Kept in kcal.
    Energy,
    /// Kept in kilograms.
    Mass,
    /// Kept in grams.
    Food,
    /// Kept in percent.
    Share,
    /// Kept in times per minute.
    Rate,
    /// Kept in milliseconds.
    Milliseconds,
    /// Kept in ml/(kg·min).
    OxygenUptake,
}

impl Quantity {
    /// What a field measures; `None`: it has no unit.
    pub(super) const fn of(field: Field) -> Option<Self> {
        Some(match field {
            Field::Steps | Field::FlightsClimbed => Self::Count,
            Field::DistanceM | Field::HeightM => Self::Length,
            Field::ActiveCalories | Field::Calories => Self::Energy,
            Field::ProteinG | Field::FatG | Field::CarbsG | Field::FiberG => Self::Food,
            Field::WeightKg | Field::LeanBodyMassKg => Self::Mass,
            Field::BodyFatPercentage | Field::OxygenSaturation => Self::Share,
            Field::RestingHeartRate | Field::HeartRateAvg | Field::RespiratoryRate => Self::Rate,
            Field::HrvMs | Field::HrvSdnnMs => Self::Milliseconds,
            Field::Vo2Max => Self::OxygenUptake,
            Field::SleepQuality | Field::Stress | Field::Notes => return None,
        })
    }

    /// By what a number in such a unit is multiplied. `None`: the unit is unknown
    /// or measures something else. Units of counts are words of any language.
    pub(in crate::health) fn factor(self, unit: &str) -> Option<f64> {
        let unit = unit.trim();
        match self {
            Self::Count => (!is_measure(unit)).then_some(1.0),
            Self::Length => length(unit).map(|length| length.get::<meter>()),
            Self::Energy => energy(unit).map(|energy| energy.get::<kilocalorie>()),
            Self::Mass => mass(unit).map(|mass| mass.get::<kilogram>()),
            Self::Food => mass(unit).map(|mass| mass.get::<gram>()),
            Self::Share => matches!(unit, "%" | "percent").then_some(1.0),
            Self::Rate => rate(unit),
            Self::Milliseconds => match unit {
                "ms" => Some(1.0),
                "s" => Some(1000.0),
                _ => None,
            },
            Self::OxygenUptake => is_oxygen_uptake(unit).then_some(1.0),
        }
    }
}

fn is_measure(unit: &str) -> bool {
    length(unit).is_some() || energy(unit).is_some() || mass(unit).is_some() || unit == "%"
}

fn length(unit: &str) -> Option<Length> {
    Some(match unit {
        "m" | "meter" | "meters" => Length::new::<meter>(1.0),
        "km" | "kilometer" | "kilometers" => Length::new::<kilometer>(1.0),
        "cm" => Length::new::<centimeter>(1.0),
        "mm" => Length::new::<millimeter>(1.0),
        "mi" | "mile" | "miles" => Length::new::<mile>(1.0),
        "yd" | "yards" => Length::new::<yard>(1.0),
        "ft" | "feet" => Length::new::<foot>(1.0),
        "in" | "inch" | "inches" => Length::new::<inch>(1.0),
        _ => return None,
    })
}

/// `Cal` is the large calorie, `cal` the small one.
fn energy(unit: &str) -> Option<Energy> {
    Some(match unit {
        "kcal" | "Cal" | "kilocalories" => Energy::new::<kilocalorie>(1.0),
        "cal" => Energy::new::<calorie>(1.0),
        "kJ" | "kj" | "kilojoules" => Energy::new::<kilojoule>(1.0),
        "J" => Energy::new::<joule>(1.0),
        _ => return None,
    })
}

fn mass(unit: &str) -> Option<Mass> {
    Some(match unit {
        "kg" => Mass::new::<kilogram>(1.0),
        "g" => Mass::new::<gram>(1.0),
        "mg" => Mass::new::<milligram>(1.0),
        "oz" => Mass::new::<ounce>(1.0),
        "lb" | "lbs" => Mass::new::<gram>(POUND_G),
        "st" => Mass::new::<gram>(STONE_LB * POUND_G),
        _ => return None,
    })
}

fn rate(unit: &str) -> Option<f64> {
    if matches!(unit, "bpm" | "brpm") {
        return Some(1.0);
    }
    match unit.split_once('/')? {
        ("" | "1" | "count" | "beats" | "breaths", "min" | "minute") => Some(1.0),
        ("" | "1" | "count" | "beats" | "breaths", "s") => Some(60.0),
        _ => None,
    }
}

/// `ml/(kg·min)` is written in many ways.
fn is_oxygen_uptake(unit: &str) -> bool {
    let mut letters: String = unit.chars().filter(char::is_ascii_alphabetic).collect();
    letters.make_ascii_lowercase();
    matches!(letters.as_str(), "mlkgmin" | "mlminkg")
}
