//! The names under which senders give the fields of an entry.

use serde_json::value::RawValue;

use crate::health::fact::{Context, DayValues};
use crate::health::field::{Field, Shape, Value};
use crate::health::format::sent;
use crate::health::format::units::Quantity;
use crate::health::item::{self, Item, Wrong};
use crate::health::source::Source;

/// Another name of a field, the unit its numbers are in where that is not the
/// field's own, and the largest number.
struct Alias {
    word: &'static str,
    field: Field,
    unit: Option<(&'static str, f64)>,
}

const fn alias(word: &'static str, field: Field) -> Alias {
    Alias { word, field, unit: None }
}

const ALIASES: [Alias; 15] = [
    Alias { word: "weightLbs", field: Field::WeightKg, unit: Some(("lbs", 1_000.0)) },
    alias("total_steps", Field::Steps),
    alias("distance_meters", Field::DistanceM),
    alias("proteinGrams", Field::ProteinG),
    alias("protein_grams", Field::ProteinG),
    alias("carbsGrams", Field::CarbsG),
    alias("carbs_grams", Field::CarbsG),
    alias("fatGrams", Field::FatG),
    alias("fat_grams", Field::FatG),
    alias("fiberGrams", Field::FiberG),
    alias("fiber_grams", Field::FiberG),
    alias("body_fat", Field::BodyFatPercentage),
    alias("sleepQuality", Field::SleepQuality),
    alias("perceivedStress", Field::Stress),
    alias("perceived_stress", Field::Stress),
];

/// What a name stands for.
struct Named {
    field: Field,
    is_own: bool,
    unit: Option<(&'static str, f64)>,
}

fn named(word: &str, source: Source) -> Option<Named> {
    let own = Field::from_word(word).map(|field| Named { field, is_own: true, unit: None });
    let found = own.or_else(|| {
        let Alias { field, unit, .. } = ALIASES.iter().find(|alias| alias.word == word)?;
        Some(Named { field: *field, is_own: false, unit: *unit })
    })?;
    // What HealthKit calls heart rate variability is SDNN.
    Some(match (found.field, source) {
        (Field::HrvMs, Source::AppleHealth) => {
            Named { field: Field::HrvSdnnMs, is_own: false, ..found }
        }
        _ => found,
    })
}

/// A number of a field from a source, in the field's unit.
pub(super) fn value(field: Field, number: f64, source: Source) -> Result<Value, String> {
    field.number(in_percent(field, number, source))
}

/// `HealthKit` keeps percentages as fractions: 0.97 is 97 %.
pub(super) fn in_percent(field: Field, number: f64, source: Source) -> f64 {
    let is_share = Quantity::of(field) == Some(Quantity::Share);
    let is_fraction = is_share && source == Source::AppleHealth && number <= 1.0;
    if is_fraction { number * 100.0 } else { number }
}

/// The values of a day that an item gives under any of its names; the field's own
/// name goes before others. At least one of them is required.
#[derive(Debug, Default)]
pub(super) struct Values(Vec<(Field, bool, Option<Value>)>);

impl Values {
    /// Reads those values of an item that it may give.
    pub(super) fn read(
        item: &Item<'_>,
        source: Source,
        may: impl Fn(Field) -> bool,
    ) -> Result<Self, Wrong> {
        let mut values = Self::default();
        for (word, raw) in item.fields() {
            if let Some(named) = named(word, source).filter(|named| may(named.field)) {
                let value = values_of(&named, word, raw, item, source)?;
                values.put(named, value);
            }
        }
        Ok(values)
    }

    fn put(&mut self, Named { field, is_own, .. }: Named, value: Option<Value>) {
        match self.0.iter_mut().find(|(known, ..)| *known == field) {
            Some((_, known_is_own, _)) if *known_is_own && !is_own => {}
            Some(known) => *known = (field, is_own, value),
            None => self.0.push((field, is_own, value)),
        }
    }

    fn into_list(self) -> Vec<(Field, Option<Value>)> {
        self.0.into_iter().map(|(field, _, value)| (field, value)).collect()
    }
}

fn values_of(
    named: &Named,
    word: &str,
    raw: &RawValue,
    item: &Item<'_>,
    source: Source,
) -> Result<Option<Value>, Wrong> {
    if raw.get() == "null" {
        return Ok(None);
    }
    let wrong = |reason| Wrong::new(word, reason);
    if let Shape::Text { .. } = named.field.shape() {
        let text = item::text(raw).ok_or_else(|| wrong("a text is required".to_owned()))?;
        return named.field.text(&text).map(Some).map_err(wrong);
    }
    let Some(number) = item.number(word)? else { return Ok(None) };
    let number = match named.unit {
        Some((_, max)) if number > max => return Err(wrong(format!("a number of at most {max}"))),
        Some((unit, _)) => {
            let factor = Quantity::of(named.field).and_then(|quantity| quantity.factor(unit));
            number * factor.unwrap_or(1.0)
        }
        None => number,
    };
    value(named.field, number, source).map(Some).map_err(wrong)
}

/// The fields of an entry's item, whatever else it holds.
pub(super) fn entry(raw: &str) -> Result<Item<'_>, Wrong> {
    Item::pick(raw, |word| {
        matches!(word, "date" | "source" | "measured_at") || named(word, Source::Manual).is_some()
    })
}

/// What an item says of a day: its date, or else the day of its measurement, and
/// at least one value.
pub(super) fn day_values(
    item: &Item<'_>,
    source: Source,
    may: impl Fn(Field) -> bool,
    context: &Context,
) -> Result<DayValues, Wrong> {
    let at = sent::measured_at(item, context)?;
    let said = sent::day(item, "date", context)?;
    let follows = said.is_none();
    let day = match said {
        Some(day) => Some(day),
        None => sent::measured_on(item, context)?,
    };
    let date = sent::there(day, "date")?;
    let values = Values::read(item, source, may)?.into_list();
    if values.is_empty() {
        return Err(Wrong::new("", "at least one field of an entry is required"));
    }
    Ok(DayValues { date, source, at, follows, values })
}
