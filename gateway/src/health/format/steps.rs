//! `{source?, steps: [{date, total_steps, source_devices?, measured_at?}]}`

use serde_json::value::RawValue;

use crate::health::fact::{Context, DayValues, Facts, Refusal, What};
use crate::health::field::{Field, Value};
use crate::health::format::lists::{self, refused};
use crate::health::format::sent;
use crate::health::format::taken::Taken;
use crate::health::item::Wrong;
use crate::health::source::Source;

const LIST: &str = "steps";

pub(super) fn read(body: &str, context: &Context) -> Result<Facts, Refusal> {
    let body = lists::body(body, &["source", LIST])?;
    let source = sent::source(&body, Source::AppleHealth, context).map_err(refused)?;
    let list = lists::required(&body, LIST, context)?;
    let mut taken = Taken::default();
    taken.each(LIST, list, |raw| steps(raw, source, context));
    Ok(taken.finish())
}

fn steps(raw: &RawValue, source: Source, context: &Context) -> Result<What, Wrong> {
    let item = lists::item(raw, &["date", "total_steps", "source_devices", "measured_at"])?;
    let date = sent::there(sent::day(&item, "date", context)?, "date")?;
    let steps = sent::whole(&item, "total_steps", 0.0, 200_000.0)?;
    let steps = sent::there(steps, "total_steps")?;
    sent::devices(&item, "source_devices")?;
    let at = sent::measured_at(&item, context)?;
    let values = vec![(Field::Steps, Some(Value::Whole(steps)))];
    Ok(What::Values(DayValues { date, source, at, follows: false, values }))
}
