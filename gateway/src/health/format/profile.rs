//! `{source?, metrics: [{metric, value, unit, measured_at}]}`

use serde_json::value::RawValue;

use crate::health::fact::{Context, DayValues, Facts, Refusal, What};
use crate::health::field::Field;
use crate::health::format::lists::{self, refused};
use crate::health::format::taken::Taken;
use crate::health::format::units::Quantity;
use crate::health::format::{names, sent};
use crate::health::item::Wrong;
use crate::health::source::Source;

const LIST: &str = "metrics";

const METRICS: [(&str, Field); 5] = [
    ("weight", Field::WeightKg),
    ("height", Field::HeightM),
    ("body_fat_percentage", Field::BodyFatPercentage),
    ("body_fat", Field::BodyFatPercentage),
    ("lean_body_mass", Field::LeanBodyMassKg),
];

pub(super) fn read(body: &str, context: &Context) -> Result<Facts, Refusal> {
    let body = lists::body(body, &["source", LIST])?;
    let source = sent::source(&body, Source::AppleHealth, context).map_err(refused)?;
    let list = lists::required(&body, LIST, context)?;
    let mut taken = Taken::default();
    taken.each(LIST, list, |raw| metric(raw, source, context));
    Ok(taken.finish())
}

fn metric(raw: &RawValue, source: Source, context: &Context) -> Result<What, Wrong> {
    let item = lists::item(raw, &["metric", "value", "unit", "measured_at"])?;
    let name = sent::there(item.text("metric")?, "metric")?;
    let known = METRICS.iter().find(|(word, _)| *word == name);
    let (_, field) = *known.ok_or_else(|| {
        let words = METRICS.map(|(word, _)| word).join(", ");
        Wrong::new("metric", format!("one of {words}"))
    })?;
    let number = sent::there(item.number("value")?, "value")?;
    if number <= 0.0 {
        return Err(Wrong::new("value", "a number above 0"));
    }
    let unit = sent::there(item.text("unit")?, "unit")?;
    let factor = Quantity::of(field).and_then(|quantity| quantity.factor(&unit));
    let factor = factor.ok_or_else(|| Wrong::new("unit", format!("a unit of {name}")))?;
    let at = sent::there(sent::measured_at(&item, context)?, "measured_at")?;
    let date = sent::there(sent::measured_on(&item, context)?, "measured_at")?;
    let value = names::value(field, number * factor, source);
    let value = value.map_err(|reason| Wrong::new("value", reason))?;
    let (at, values) = (Some(at), vec![(field, Some(value))]);
    Ok(What::Values(DayValues { date, source, at, follows: true, values }))
}
