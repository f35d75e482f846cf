//! Numbers that devices are asked to write into their health stores. What a store
//! would refuse on every device is refused when the command is made; types and
//! fields that are not listed here are the app's own matter.

use serde_json::value::RawValue;

use crate::health::field::{Field, Shape, above, real};
use crate::health::format::sent::{BEATS, LONGEST_S, MEASURE, SLEEP_MINUTES};
use crate::health::format::units::Quantity;
use crate::health::item::{Item, Wrong};

/// Numbers of one meaning, by all of their names.
struct Known {
    names: &'static [&'static str],
    shape: Shape,
    /// The field that says what unit they are in, and what they measure.
    unit: Option<(&'static str, Quantity)>,
}

const fn known(names: &'static [&'static str], shape: Shape) -> Known {
    Known { names, shape, unit: None }
}

const MINUTES: Shape = real(0.0, SLEEP_MINUTES);
const HEART_RATE: Shape = real(*BEATS.start(), *BEATS.end());

const STEPS: &[Known] = &[known(&["count", "steps", "total_steps"], Field::Steps.shape())];

const NUTRITION: &[Known] = &[
    known(&["calories"], Field::Calories.shape()),
    known(&["protein_g", "protein_grams", "proteinGrams"], Field::ProteinG.shape()),
    known(&["carbs_g", "carbs_grams", "carbsGrams"], Field::CarbsG.shape()),
    known(&["fat_g", "fat_grams", "fatGrams"], Field::FatG.shape()),
    known(&["fiber_g", "fiber_grams", "fiberGrams"], Field::FiberG.shape()),
];

const WEIGHT: &[Known] = &[
    known(&["weight_kg", "kilograms", "kg"], Field::WeightKg.shape()),
    Known {
        names: &["value"],
        shape: Field::WeightKg.shape(),
        unit: Some(("unit", Quantity::Mass)),
    },
];

const WORKOUT: &[Known] = &[
    known(&["duration_seconds"], above(0.0, LONGEST_S)),
    known(&["distance_meters"], real(0.0, MEASURE)),
    known(&["calories", "calories_active"], real(0.0, MEASURE)),
    known(&["avg_heart_rate", "max_heart_rate"], HEART_RATE),
];

const SLEEP: &[Known] = &[
    known(&["total_sleep_minutes", "in_bed_minutes", "awake_minutes"], MINUTES),
    known(&["asleep_core_minutes", "asleep_deep_minutes", "asleep_rem_minutes"], MINUTES),
];

fn of_type(data_type: &str) -> &'static [Known] {
    match data_type {
        "steps" => STEPS,
        "nutrition" => NUTRITION,
        "weight" => WEIGHT,
        "workout" => WORKOUT,
        "sleep" => SLEEP,
        _ => &[],
    }
}

/// Judges the value of a command.
///
/// # Errors
/// The first number, in the order of the tables, that is out of its range.
pub fn check(data_type: &str, value: &RawValue) -> Result<(), Wrong> {
    let known = of_type(data_type);
    if known.is_empty() {
        return Ok(());
    }
    let is_asked = |name: &str| {
        known.iter().any(|known| {
            known.names.contains(&name) || known.unit.is_some_and(|(unit, _)| unit == name)
        })
    };
    // What is no object is another shape.
    let Ok(item) = Item::pick(value.get(), is_asked) else { return Ok(()) };
    for known in known {
        let Some(factor) = known.factor(&item) else { continue };
        for name in known.names {
            known.judge(&item, name, factor)?;
        }
    }
    Ok(())
}

impl Known {
    /// By what numbers are multiplied; `None`: their unit is not known.
    fn factor(&self, item: &Item<'_>) -> Option<f64> {
        let Some((name, quantity)) = self.unit else { return Some(1.0) };
        match item.text(name) {
            Ok(None) => Some(1.0),
            Ok(Some(unit)) => quantity.factor(&unit),
            Err(_) => None,
        }
    }

    fn judge(&self, item: &Item<'_>, name: &str, factor: f64) -> Result<(), Wrong> {
        let is_number =
            |raw: &RawValue| raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
        if !item.get(name).is_some_and(is_number) {
            return Ok(());
        }
        // JSON has numbers that are larger than any that is allowed.
        let number = item.number(name).ok().flatten().unwrap_or(f64::INFINITY);
        let judged = self.shape.number(number * factor);
        judged.map(drop).map_err(|reason| Wrong::new(name, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(data_type: &str, value: &str) -> Option<String> {
        let value = serde_json::from_str(value).unwrap();
        check(data_type, value).err().map(|wrong| wrong.field)
    }

    /// Each name of the tables takes both of its bounds and nothing beyond.
    #[test]
    fn each_known_number_has_its_range() {
        for data_type in ["steps", "nutrition", "weight", "workout", "sleep"] {
            for known in of_type(data_type) {
                let (least, most) = match known.shape {
                    Shape::Real { min, max, is_above: true } => (min + 0.001, max),
                    Shape::Real { min, max, .. } => (min, max),
                    Shape::Whole { min, max } => (
                        f64::from(i32::try_from(min).unwrap()),
                        f64::from(i32::try_from(max).unwrap()),
                    ),
                    Shape::Text { .. } => panic!("no number"),
                };
                for name in known.names {
                    let judge =
                        |number: f64| judge(data_type, &format!(r#"{{"{name}":{number}}}"#));
                    assert_eq!((judge(least), judge(most)), (None, None), "{data_type} {name}");
                    let named = Some((*name).to_owned());
                    assert_eq!(judge(least - 0.001), named, "{data_type} {name}");
                    assert_eq!(judge(most + 0.001), named, "{data_type} {name}");
                }
            }
        }
    }

    #[test]
    fn the_ranges_are_those_of_health_data() {
        for (data_type, good, bad, field) in [
            ("steps", r#"{"count":200000}"#, r#"{"count":200001}"#, "count"),
            ("steps", r#"{"steps":0}"#, r#"{"steps":-1}"#, "steps"),
            ("steps", r#"{"total_steps":1}"#, r#"{"total_steps":1e400}"#, "total_steps"),
            ("nutrition", r#"{"calories":20000}"#, r#"{"calories":20001}"#, "calories"),
            ("nutrition", r#"{"carbs_g":2000}"#, r#"{"carbs_g":2000.5}"#, "carbs_g"),
            ("nutrition", r#"{"fiber_grams":500}"#, r#"{"fiber_grams":501}"#, "fiber_grams"),
            ("weight", r#"{"weight_kg":500}"#, r#"{"weight_kg":0}"#, "weight_kg"),
            ("weight", r#"{"value":500}"#, r#"{"value":501}"#, "value"),
            ("weight", r#"{"value":1100,"unit":"lbs"}"#, r#"{"unit":"lb","value":1103}"#, "value"),
            (
                "workout",
                r#"{"duration_seconds":1}"#,
                r#"{"duration_seconds":0}"#,
                "duration_seconds",
            ),
            (
                "workout",
                r#"{"distance_meters":0}"#,
                r#"{"distance_meters":-0.5}"#,
                "distance_meters",
            ),
            ("workout", r#"{"max_heart_rate":250}"#, r#"{"max_heart_rate":251}"#, "max_heart_rate"),
            ("sleep", r#"{"awake_minutes":43200}"#, r#"{"awake_minutes":43201}"#, "awake_minutes"),
        ] {
            assert_eq!(judge(data_type, good), None, "{good}");
            assert_eq!(judge(data_type, bad).as_deref(), Some(field), "{bad}");
        }
    }

    #[test]
    fn other_shapes_pass() {
        for (data_type, value) in [
            ("steps", "-5"),
            ("steps", "[300000]"),
            ("steps", r#""many""#),
            ("steps", "null"),
            ("steps", "{}"),
            ("steps", r#"{"count":"300000"}"#),
            ("steps", r#"{"count":null,"steps":[300000],"other":-1}"#),
            ("steps", r#"{"samples":[{"count":300000}]}"#),
            // Of two with one name the last counts.
            ("steps", r#"{"count":300000,"count":3}"#),
            ("Steps", r#"{"count":300000}"#),
            ("hydration", r#"{"count":300000,"value":-1}"#),
            ("weight", r#"{"value":-1,"unit":"bananas"}"#),
            ("weight", r#"{"value":-1,"unit":7}"#),
            ("sleep", r#"{"sleep_start":"2026-11-25T22:00:00Z"}"#),
        ] {
            assert_eq!(judge(data_type, value), None, "{data_type} {value}");
        }
    }
}
