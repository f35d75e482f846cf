//! The fields of a day's entry, and what values they take.

use std::fmt;

/// Real numbers are kept in thousandths: three decimals, and equal is equal.
pub const SCALE: i64 = 1000;

/// What a field holds, and its bounds, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// A whole number.
    Whole {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A real number.
    Real {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
        /// Whether `min` itself is refused.
        is_above: bool,
    },
    /// Text of at most so many characters.
    Text {
        /// Most characters.
        max: usize,
    },
}

/// A field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A whole number.
    Whole(i64),
    /// A real number, in thousandths.
    Real(i64),
    /// Text.
    Text(String),
}

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $word:literal: $shape:expr;)+) => {
        /// A field of a day's entry.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field { $($(#[$doc])* $variant,)+ }

        impl Field {
            /// All of them, in the order in which rows show them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The field of a name, without aliases.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }

            /// What it holds.
            pub const fn shape(self) -> Shape {
                match self { $(Self::$variant => $shape),+ }
            }
        }
    };
}

/// A whole number within bounds.
pub(super) const fn whole(min: i64, max: i64) -> Shape {
    Shape::Whole { min, max }
}

/// A real number within bounds.
pub(super) const fn real(min: f64, max: f64) -> Shape {
    Shape::Real { min, max, is_above: false }
}

/// A real number above the first bound.
pub(super) const fn above(min: f64, max: f64) -> Shape {
    Shape::Real { min, max, is_above: true }
}

fields! {
    /// Steps.
    Steps = "steps": whole(0, 200_000);
    /// Flights of stairs.
    FlightsClimbed = "flights_climbed": whole(0, 10_000);
    /// Distance walked and run, metres.
    DistanceM = "distance_m": real(0.0, 1e6);
    /// Active energy, kcal.
    ActiveCalories = "active_calories": real(0.0, 20_000.0);
    /// Energy eaten, kcal.
    Calories = "calories": real(0.0, 20_000.0);
    /// Protein eaten, grams.
    ProteinG = "protein_g": real(0.0, 1_000.0);
    /// Fat eaten, grams.
    FatG = "fat_g": real(0.0, 1_000.0);
    /// Carbohydrates eaten, grams.
    CarbsG = "carbs_g": real(0.0, 2_000.0);
    /// Fibre eaten, grams.
    FiberG = "fiber_g": real(0.0, 500.0);
    /// Body mass, kg.
    WeightKg = "weight_kg": above(0.0, 500.0);
    /// Lean body mass, kg.
    LeanBodyMassKg = "lean_body_mass_kg": above(0.0, 500.0);
    /// Height, metres.
    HeightM = "height_m": above(0.0, 3.0);
    /// Body fat, percent.
    BodyFatPercentage = "body_fat_percentage": real(0.0, 100.0);
    /// Blood oxygen saturation, percent.
    OxygenSaturation = "oxygen_saturation": real(0.0, 100.0);
    /// Resting heart rate, beats per minute.
    RestingHeartRate = "resting_heart_rate": real(20.0, 250.0);
    /// Mean heart rate, beats per minute.
    HeartRateAvg = "heart_rate_avg": real(20.0, 250.0);
    /// Heart rate variability as RMSSD, milliseconds.
    HrvMs = "hrv_ms": real(0.0, 1_000.0);
    /// Heart rate variability as SDNN, milliseconds: not comparable with RMSSD.
    HrvSdnnMs = "hrv_sdnn_ms": real(0.0, 1_000.0);
    /// Maximal oxygen uptake, ml/(kg·min).
    Vo2Max = "vo2_max": real(0.0, 100.0);
    /// Breaths per minute.
    RespiratoryRate = "respiratory_rate": real(0.0, 100.0);
    /// How the user slept, 1 to 10.
    SleepQuality = "sleep_quality": whole(1, 10);
    /// How stressed the user feels, 1 to 10.
    Stress = "stress": whole(1, 10);
    /// Words of the user.
    Notes = "notes": Shape::Text { max: 2_000 };
}

impl Shape {
    /// A number as it is kept: whole numbers half up, real ones to three decimals.
    /// `Err` says what is allowed.
    pub fn number(self, number: f64) -> Result<Value, String> {
        match self {
            Self::Whole { min, max } if (as_real(min)..=as_real(max)).contains(&number) => {
                Ok(Value::Whole(half_up(number)))
            }
            Self::Real { min, max, is_above }
                if (min..=max).contains(&number) && !(is_above && thousandths(number) <= 0) =>
            {
                Ok(Value::Real(thousandths(number)))
            }
            Self::Text { .. } => Err("a text is required".to_owned()),
            shape => Err(shape.to_string()),
        }
    }
}

impl Field {
    /// A number as this field keeps it: [`Shape::number`].
    pub fn number(self, number: f64) -> Result<Value, String> {
        self.shape().number(number)
    }

    /// A text, for the fields that take one.
    pub fn text(self, text: &str) -> Result<Value, String> {
        match self.shape() {
            Shape::Text { max } if text.chars().count() <= max => Ok(Value::Text(text.to_owned())),
            shape => Err(shape.to_string()),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole { min, max } => write!(f, "a number from {min} to {max}"),
            Self::Real { min, max, is_above: true } => {
                write!(f, "a number above {min}, at most {max}")
            }
            Self::Real { min, max, .. } => write!(f, "a number from {min} to {max}"),
            Self::Text { max } => write!(f, "a text of at most {max} characters"),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "bounds of fields are small")]
const fn as_real(number: i64) -> f64 {
    number as f64
}

/// Rounded to the nearest whole number, halves up.
#[expect(clippy::cast_possible_truncation, reason = "callers check bounds before")]
pub fn half_up(number: f64) -> i64 {
    (number + 0.5).floor() as i64
}

/// In thousandths, halves away from zero.
#[expect(clippy::cast_possible_truncation, reason = "callers check bounds before")]
pub fn thousandths(number: f64) -> i64 {
    (number * 1000.0).round() as i64
}

/// Thousandths as JSON shows them: without a fraction that says nothing.
pub fn real_json(thousandths: i64) -> serde_json::Value {
    if thousandths % SCALE == 0 {
        return (thousandths / SCALE).into();
    }
    #[expect(clippy::cast_precision_loss, reason = "below 2^53 by the fields' bounds")]
    let number = thousandths as f64 / 1000.0;
    number.into()
}

impl Value {
    /// As JSON shows it.
    pub fn json(&self) -> serde_json::Value {
        match self {
            Self::Whole(number) => (*number).into(),
            Self::Real(thousandths) => real_json(*thousandths),
            Self::Text(text) => text.as_str().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_within_their_bounds() {
        assert_eq!(Field::Steps.number(2.5), Ok(Value::Whole(3)));
        assert_eq!(Field::Steps.number(200_000.0), Ok(Value::Whole(200_000)));
        assert!(Field::Steps.number(200_000.4).is_err());
        assert!(Field::Steps.number(-0.4).is_err());
        assert!(Field::Steps.number(f64::NAN).is_err());
        assert_eq!(Field::WeightKg.number(82.123_45), Ok(Value::Real(82_123)));
        assert!(Field::WeightKg.number(0.0).is_err());
        assert!(Field::WeightKg.number(0.000_1).is_err());
        assert_eq!(Field::ProteinG.number(0.0), Ok(Value::Real(0)));
        assert!(Field::Notes.number(1.0).is_err());
        assert!(Field::Notes.text(&"ä".repeat(2_000)).is_ok());
        assert!(Field::Notes.text(&"ä".repeat(2_001)).is_err());
        assert!(Field::Steps.text("many").is_err());
    }

    #[test]
    fn thousandths_are_shown_as_people_write_them() {
        assert_eq!(Value::Real(82_000).json().to_string(), "82");
        assert_eq!(Value::Real(82_120).json().to_string(), "82.12");
        assert_eq!(Value::Real(-1).json().to_string(), "-0.001");
    }

    /// What the protocol's types call the fields.
    #[test]
    fn senders_may_name_each_field() {
        let names: Vec<_> = Field::ALL.iter().map(|field| field.as_str()).collect();
        assert_eq!(names, tidegate_protocol::rest::health::day::CorrectDay::NAMES);
    }

    #[test]
    fn each_field_is_found_by_its_name() {
        for field in Field::ALL {
            assert_eq!(Field::from_word(field.as_str()), Some(*field));
        }
    }
}
