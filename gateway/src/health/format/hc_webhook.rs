//! What HC Webhook sends of Health Connect: a list for each kind of record, no
//! ids, the same records again in windows that overlap.

use serde_json::value::RawValue;

use crate::health::activity::{self, Activity};
use crate::health::date::Sent;
use crate::health::fact::{Context, Facts, Night, Refusal, What};
use crate::health::field::Field;
use crate::health::format::days::{Days, Reading};
use crate::health::format::external;
use crate::health::format::lists::{self, refusal};
use crate::health::format::sent::{self, Period};
use crate::health::format::stages::{self, Span, Stage};
use crate::health::format::taken::Taken;
use crate::health::item::{Item, Wrong};
use crate::health::source::Source;

const SOURCE: Source = Source::HealthConnect;

/// Lists of samples that add up: list, field, name of the number.
const SUMS: [(&str, Field, &str); 3] = [
    ("steps", Field::Steps, "count"),
    ("distance", Field::DistanceM, "meters"),
    ("active_calories", Field::ActiveCalories, "calories"),
];

/// Lists of measurements: list, field, name of the number.
const LATEST: [(&str, Field, &str); 10] = [
    ("heart_rate", Field::HeartRateAvg, "bpm"),
    ("resting_heart_rate", Field::RestingHeartRate, "bpm"),
    ("heart_rate_variability", Field::HrvMs, "rmssd_millis"),
    ("oxygen_saturation", Field::OxygenSaturation, "percentage"),
    ("respiratory_rate", Field::RespiratoryRate, "rate"),
    ("weight", Field::WeightKg, "kilograms"),
    ("lean_body_mass", Field::LeanBodyMassKg, "kilograms"),
    ("height", Field::HeightM, "meters"),
    ("body_fat", Field::BodyFatPercentage, "percentage"),
    ("vo2_max", Field::Vo2Max, "ml_per_kg_per_min"),
];

/// What meals add up to.
const EATEN: [(&str, Field); 5] = [
    ("calories", Field::Calories),
    ("protein_grams", Field::ProteinG),
    ("carbs_grams", Field::CarbsG),
    ("fat_grams", Field::FatG),
    ("dietary_fiber_grams", Field::FiberG),
];

/// Seconds in 30 days: what a session of sleep lasts at most.
const LONGEST_S: f64 = 2_592_000.0;

const OFFSETS: [&str; 2] = ["start_zone_offset", "zone_offset"];

pub(super) fn read(body: &str, context: &Context) -> Result<Facts, Refusal> {
    let mut taken = Taken::default();
    let mut days = Days::new(SOURCE, "hc_webhook");
    let mut elements = 0;
    lists::fields(body, |name, raw| {
        let kind = Kind::of(name);
        let Some(count) = lists::count(raw) else {
            let is_wrong = kind.is_some() && raw.get() != "null";
            return if is_wrong { Err(refusal(name, "a list is required")) } else { Ok(()) };
        };
        elements += count;
        let Some(kind) = kind else {
            taken.ignore(count);
            return Ok(());
        };
        lists::each(raw, |index, raw| match record(kind, raw, &mut days, context) {
            Ok(Some(what)) => taken.fact(1, what),
            Ok(None) => {}
            Err(wrong) => taken.wrong(name, index, wrong),
        });
        Ok(())
    })?;
    if elements == 0 {
        return Err(refusal("steps", "a list of items is required"));
    }
    days.finish(&mut taken);
    Ok(taken.finish())
}

#[derive(Clone, Copy)]
enum Kind {
    Sum(Field, &'static str),
    Latest(Field, &'static str),
    Meals,
    Sleep,
    Exercise,
}

impl Kind {
    fn of(list: &str) -> Option<Self> {
        let found = |table: &'static [(&str, Field, &str)]| {
            table.iter().find(|(name, ..)| *name == list).map(|(_, field, name)| (*field, *name))
        };
        match list {
            "sleep" => Some(Self::Sleep),
            "exercise" => Some(Self::Exercise),
            "nutrition" => Some(Self::Meals),
            _ => found(&SUMS)
                .map(|(field, name)| Self::Sum(field, name))
                .or_else(|| found(&LATEST).map(|(field, name)| Self::Latest(field, name))),
        }
    }
}

fn record(
    kind: Kind,
    raw: &RawValue,
    days: &mut Days,
    context: &Context,
) -> Result<Option<What>, Wrong> {
    match kind {
        Kind::Sum(field, name) => sample(field, name, raw, days, context).map(|()| None),
        Kind::Latest(field, name) => measurement(field, name, raw, days, context).map(|()| None),
        Kind::Meals => meal(raw, days, context).map(|()| None),
        Kind::Sleep => night(raw, context).map(|night| Some(What::Night(Box::new(night)))),
        Kind::Exercise => exercise(raw, context).map(|found| Some(What::Activity(Box::new(found)))),
    }
}

fn time(item: &Item<'_>, name: &str) -> Result<Option<Sent>, Wrong> {
    let offset_s = sent::offset_s(item, &OFFSETS)?;
    Ok(sent::time(item, name)?.map(|time| time.with_offset(offset_s)))
}

fn period(item: &Item<'_>, context: &Context) -> Result<Period, Wrong> {
    Period::new(
        (time(item, "start_time")?, "start_time"),
        (time(item, "end_time")?, "end_time"),
        context,
    )
}

/// What the platform says of a record.
fn metadata<'a>(item: &Item<'a>) -> Result<Item<'a>, Wrong> {
    let Some(raw) = item.get("metadata") else { return Ok(Item::default()) };
    let metadata = lists::item(raw, &["data_origin", "device", "id"]);
    metadata.map_err(|wrong| Wrong::new("metadata", wrong.reason))
}

/// Who wrote a record.
fn origin(item: &Item<'_>) -> Result<String, Wrong> {
    let origin = metadata(item)?.text("data_origin");
    let origin = origin.map_err(|wrong| Wrong::new("metadata", wrong.reason))?.unwrap_or_default();
    if origin.chars().count() > sent::ID {
        return Err(Wrong::new("metadata", format!("at most {} characters", sent::ID)));
    }
    Ok(origin.into_owned())
}

fn pick<'a>(raw: &'a RawValue, names: &[&str]) -> Result<Item<'a>, Wrong> {
    let shared = ["start_time", "end_time", "metadata"];
    Item::pick(raw.get(), |name| {
        names.contains(&name) || shared.contains(&name) || OFFSETS.contains(&name)
    })
}

fn sample(
    field: Field,
    name: &str,
    raw: &RawValue,
    days: &mut Days,
    context: &Context,
) -> Result<(), Wrong> {
    let item = pick(raw, &[name])?;
    let number = sent::there(item.number(name)?, name)?;
    let key = sent::span_key(&item, "start_time", "end_time")?;
    let period = period(&item, context)?;
    let origin = origin(&item)?;
    days.add(Reading { field, name, number }, (period.date, &origin), key, 1)
}

fn measurement(
    field: Field,
    name: &str,
    raw: &RawValue,
    days: &mut Days,
    context: &Context,
) -> Result<(), Wrong> {
    let item = pick(raw, &[name, "time"])?;
    let number = sent::there(item.number(name)?, name)?;
    let at = sent::there(time(&item, "time")?, "time")?.at_most(context.now);
    let date = sent::day_of(at, "time", context)?;
    days.tell(Reading { field, name, number }, date, at)
}

/// All of a meal or nothing: what it is counted by is its first number.
fn meal(raw: &RawValue, days: &mut Days, context: &Context) -> Result<(), Wrong> {
    let item = pick(raw, &EATEN.map(|(name, _)| name))?;
    let key = sent::span_key(&item, "start_time", "end_time")?;
    let period = period(&item, context)?;
    let origin = origin(&item)?;
    let mut readings = Vec::new();
    for (name, field) in EATEN {
        if let Some(number) = item.number(name)? {
            let reading = Reading { field, name, number };
            days.check(reading)?;
            readings.push(reading);
        }
    }
    if readings.is_empty() {
        return Err(Wrong::new("calories", "required"));
    }
    for (reading, items) in readings.into_iter().zip([1, 0, 0, 0, 0]) {
        days.add(reading, (period.date, &origin), key.clone(), items)?;
    }
    Ok(())
}

/// A session with its stages; without any, all of it was sleep.
fn night(raw: &RawValue, context: &Context) -> Result<Night, Wrong> {
    let item = pick(raw, &["session_end_time", "duration_seconds", "stages"])?;
    let end = sent::there(time(&item, "session_end_time")?, "session_end_time")?;
    let duration = sent::whole(&item, "duration_seconds", 0.0, LONGEST_S)?;
    let duration = sent::there(duration, "duration_seconds")?;
    let start = end.plus_s(-duration);
    let session =
        Period::new((Some(start), "session_end_time"), (Some(end), "session_end_time"), context)?;
    let mut spans = Vec::new();
    let mut fault = None;
    if let Some(list) = item.get("stages") {
        lists::count(list).ok_or_else(|| Wrong::new("stages", "a list is required"))?;
        lists::each(list, |_, raw| match stage(raw, context) {
            Ok(span) => spans.extend(span),
            Err(wrong) => fault = fault.take().or(Some(wrong)),
        });
    }
    if let Some(Wrong { reason, .. }) = fault {
        return Err(Wrong::new("stages", reason));
    }
    let minutes = sent::whole_minutes(session.elapsed_s());
    let night = Night {
        in_bed_minutes: Some(minutes),
        sleep_start_ms: Some(session.start.at_ms),
        sleep_end_ms: Some(session.end.at_ms),
        source_devices: device(&item)?.into_iter().collect(),
        at: Some(sent::at(session.end)),
        ..Night::of(SOURCE, sent::day_of(session.end, "session_end_time", context)?)
    };
    if spans.is_empty() {
        return Ok(Night { total_sleep_minutes: Some(minutes), ..night });
    }
    Ok(stages::fill(night, &mut spans))
}

/// A stage that nobody knows says nothing.
fn stage(raw: &RawValue, context: &Context) -> Result<Option<Span>, Wrong> {
    let item = pick(raw, &["stage"])?;
    let word = sent::there(item.id("stage")?, "stage")?;
    let period = period(&item, context)?;
    Stage::of(SOURCE, &word).map(|stage| Span::new(stage, &period, "end_time")).transpose()
}

fn device(item: &Item<'_>) -> Result<Option<String>, Wrong> {
    const NAMES: [&str; 2] = ["model", "manufacturer"];
    let metadata = metadata(item)?;
    let device = metadata.get("device").and_then(|raw| lists::item(raw, &NAMES).ok());
    let device = device.unwrap_or_default();
    for name in NAMES {
        if let Some(found) = sent::device(&device, name)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn exercise(raw: &RawValue, context: &Context) -> Result<Activity, Wrong> {
    const NAMES: [&str; 7] = [
        "type",
        "duration_seconds",
        "distance_meters",
        "calories",
        "avg_heart_rate",
        "max_heart_rate",
        "id",
    ];
    let item = Item::pick(raw.get(), |name| {
        NAMES.contains(&name)
            || external::NAMES.contains(&name)
            || OFFSETS.contains(&name)
            || matches!(name, "start_time" | "end_time")
    })?;
    let sport = sent::there(sent::id(&item, "type", sent::WORD)?, "type")?;
    let period = period(&item, context)?;
    let duration = sent::duration_s(&item, "duration_seconds")?;
    let metadata = metadata(&item)?;
    let id = sent::id(&item, "id", sent::ID)?;
    let id = if id.is_some() { id } else { sent::id(&metadata, "id", sent::ID)? };
    Ok(Activity {
        source: SOURCE,
        source_id: id.map(Into::into),
        external_id: external::id(&item)?,
        activity_type: activity::type_of(SOURCE, &sport),
        sport: sport.into_owned(),
        date: period.date,
        start_ms: period.start.at_ms,
        end_ms: period.end.at_ms,
        duration_s: duration.unwrap_or(period.elapsed_s()),
        elapsed_s: period.elapsed_s(),
        distance_m: sent::measure(&item, "distance_meters")?,
        calories_kcal: sent::measure(&item, "calories")?,
        avg_heart_rate: sent::heart_rate(&item, "avg_heart_rate")?,
        max_heart_rate: sent::heart_rate(&item, "max_heart_rate")?,
        device: device(&item)?,
        utc_offset_s: period.start.offset_s(),
        raw: raw.get().to_owned(),
    })
}
