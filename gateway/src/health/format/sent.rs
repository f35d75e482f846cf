//! Values that all formats share: who says something, when and on which day,
//! and numbers within bounds.

use std::borrow::Cow;

use chrono::{FixedOffset, NaiveDate};
use serde_json::value::RawValue;
use tidegate_protocol::time::Timestamp;

use crate::health::date::{self, Sent};
use crate::health::fact::Context;
use crate::health::field::{half_up, thousandths};
use crate::health::format::lists;
use crate::health::item::{self, Item, Wrong};
use crate::health::source::Source;

/// Most characters of words: names of workouts and devices.
pub(super) const WORD: usize = 100;

/// Most characters of ids. Databases bound the keys of their indexes.
pub(super) const ID: usize = 255;

/// What a time is to look like.
pub(super) const TIME: &str = "a time with an offset is required";

/// Minutes in 30 days: what a period of sleep lasts at most.
pub(in crate::health) const SLEEP_MINUTES: f64 = 43_200.0;

/// Seconds in a year: what a workout, or anything else, lasts at most.
pub(in crate::health) const LONGEST_S: f64 = 31_622_400.0;
const LONGEST_MS: i64 = 31_622_400_000;

/// Most metres and kcal of a workout: no sender says what is possible, and
/// thousandths of them are exact.
pub(in crate::health) const MEASURE: f64 = 1e9;

/// Beats per minute that are possible.
pub(in crate::health) const BEATS: std::ops::RangeInclusive<f64> = 30.0..=250.0;

/// A field without which an item says nothing.
pub(super) fn there<T>(found: Option<T>, name: &str) -> Result<T, Wrong> {
    found.ok_or_else(|| Wrong::new(name, "required"))
}

/// Who speaks: `source`, or whoever is meant where it is not sent.
pub(super) fn source(item: &Item<'_>, unsaid: Source, context: &Context) -> Result<Source, Wrong> {
    let may = |source: &Source| context.may_name_all || source.is_of_devices();
    let Some(word) = item.text("source")? else { return Ok(unsaid) };
    Source::from_word(&word).filter(may).ok_or_else(|| {
        let words: Vec<_> = Source::ALL.iter().filter(|s| may(s)).map(|s| s.as_str()).collect();
        Wrong::new("source", format!("one of {}", words.join(", ")))
    })
}

/// A time in RFC 3339.
pub(super) fn time(item: &Item<'_>, name: &str) -> Result<Option<Sent>, Wrong> {
    time_by(item, name, Sent::parse)
}

/// A time, also as exporters write it.
pub(super) fn time_loosely(item: &Item<'_>, name: &str) -> Result<Option<Sent>, Wrong> {
    time_by(item, name, Sent::parse_loosely)
}

fn time_by(
    item: &Item<'_>,
    name: &str,
    parse: fn(&str) -> Option<Sent>,
) -> Result<Option<Sent>, Wrong> {
    let Some(text) = item.text(name).map_err(|_| Wrong::new(name, TIME))? else {
        return Ok(None);
    };
    parse(&text).map(Some).ok_or_else(|| Wrong::new(name, TIME))
}

/// Refuses what starts in the future.
pub(super) fn started(start: Sent, name: &str, context: &Context) -> Result<Sent, Wrong> {
    if start.at_ms > context.now.millis() {
        return Err(Wrong::new(name, "a time that has come is required"));
    }
    Ok(start)
}

/// When it was measured; what is in the future counts as now.
pub(super) fn measured_at(item: &Item<'_>, context: &Context) -> Result<Option<Timestamp>, Wrong> {
    Ok(time(item, "measured_at")?.map(|sent| at(sent.at_most(context.now))))
}

/// The local day on which it was measured; what is in the future counts as now.
pub(super) fn measured_on(item: &Item<'_>, context: &Context) -> Result<Option<NaiveDate>, Wrong> {
    let sent = time(item, "measured_at")?.map(|sent| sent.at_most(context.now));
    sent.map(|sent| day_of(sent, "measured_at", context)).transpose()
}

/// As a point in time.
pub(super) fn at(sent: Sent) -> Timestamp {
    Timestamp::from_millis(sent.at_ms)
}

/// The local day of a time, where it has begun.
pub(super) fn day_of(sent: Sent, name: &str, context: &Context) -> Result<NaiveDate, Wrong> {
    begun(sent.day(context), name, context)
}

/// The day an item names: `yyyy-MM-dd`, or a time on it.
pub(super) fn day(
    item: &Item<'_>,
    name: &str,
    context: &Context,
) -> Result<Option<NaiveDate>, Wrong> {
    const DATE: &str = "a date is required (yyyy-MM-dd)";
    let Some(text) = item.text(name).map_err(|_| Wrong::new(name, DATE))? else {
        return Ok(None);
    };
    let of_time = || Sent::parse_loosely(&text).and_then(|sent| sent.day(context));
    let day = date::parse(&text).or_else(of_time).ok_or_else(|| Wrong::new(name, DATE))?;
    begun(Some(day), name, context).map(Some)
}

fn begun(day: Option<NaiveDate>, name: &str, context: &Context) -> Result<NaiveDate, Wrong> {
    let begun = day.filter(|day| date::has_begun(*day, context.now));
    begun.ok_or_else(|| Wrong::new(name, "a day that has begun is required"))
}

/// A period whose start has come and whose end lies at most now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period {
    pub(super) start: Sent,
    pub(super) end: Sent,
    pub(super) date: NaiveDate,
}

impl Period {
    /// From two times and the names of their fields.
    pub(super) fn new(
        (start, start_name): (Option<Sent>, &str),
        (end, end_name): (Option<Sent>, &str),
        context: &Context,
    ) -> Result<Self, Wrong> {
        let start = started(there(start, start_name)?, start_name, context)?;
        let end = there(end, end_name)?.at_most(context.now);
        if end.at_ms < start.at_ms {
            return Err(Wrong::new(end_name, format!("not before {start_name}")));
        }
        if end.at_ms - start.at_ms > LONGEST_MS {
            return Err(Wrong::new(end_name, format!("at most a year after {start_name}")));
        }
        Ok(Self { start, end, date: day_of(start, start_name, context)? })
    }

    /// From start to end, seconds.
    pub(super) fn elapsed_s(&self) -> i64 {
        (self.end.at_ms - self.start.at_ms + 500) / 1000
    }
}

/// A number within bounds, both inclusive.
pub(super) fn number(
    item: &Item<'_>,
    name: &str,
    min: f64,
    max: f64,
) -> Result<Option<f64>, Wrong> {
    let Some(number) = item.number(name)? else { return Ok(None) };
    if !(min..=max).contains(&number) {
        return Err(Wrong::new(name, format!("a number from {min} to {max}")));
    }
    Ok(Some(number))
}

/// A whole number within bounds; a fraction is refused.
pub(super) fn whole(item: &Item<'_>, name: &str, min: f64, max: f64) -> Result<Option<i64>, Wrong> {
    let number = number(item, name, min, max)?;
    if number.is_some_and(|number| number.fract() != 0.0) {
        return Err(Wrong::new(name, format!("a whole number from {min} to {max}")));
    }
    Ok(number.map(half_up))
}

/// Whole minutes of sleep.
pub(super) fn minutes(item: &Item<'_>, name: &str) -> Result<Option<i64>, Wrong> {
    whole(item, name, 0.0, SLEEP_MINUTES)
}

/// Minutes of sleep, from a number of longer or shorter periods.
pub(super) fn minutes_of(
    item: &Item<'_>,
    name: &str,
    minutes_each: f64,
) -> Result<Option<i64>, Wrong> {
    let found = number(item, name, 0.0, SLEEP_MINUTES / minutes_each)?;
    Ok(found.map(|number| half_up(number * minutes_each)))
}

/// How long a workout lasted, in seconds.
pub(super) fn duration_s(item: &Item<'_>, name: &str) -> Result<Option<i64>, Wrong> {
    item.number(name)?.map(|number| lasted(number, name).map(half_up)).transpose()
}

/// Seconds that a workout may last.
pub(super) fn lasted(seconds: f64, name: &str) -> Result<f64, Wrong> {
    if !(seconds > 0.0 && seconds <= LONGEST_S) {
        return Err(Wrong::new(name, format!("a number above 0, at most {LONGEST_S}")));
    }
    Ok(seconds)
}

/// Seconds as minutes.
pub(super) const fn whole_minutes(seconds: i64) -> i64 {
    (seconds + 30) / 60
}

/// What names a sample among those of its kind and origin: from when to when. The
/// end is taken as it was sent, so that it is the same when it is sent again.
pub(super) fn span_key(item: &Item<'_>, start: &str, end: &str) -> Result<String, Wrong> {
    let from = there(time(item, start)?, start)?;
    let to = there(time(item, end)?, end)?;
    Ok(format!("{}+{}", from.at_ms, to.at_ms.saturating_sub(from.at_ms)))
}

/// An offset beside a time, such as `+02:00`, or in seconds. `Z` and `-00:00` say
/// nothing.
pub(super) fn offset_s(item: &Item<'_>, names: &[&str]) -> Result<Option<i32>, Wrong> {
    for name in names {
        let Some(raw) = item.get(name) else { continue };
        let offset = match item::text(raw).as_deref() {
            Some("Z" | "z" | "-00:00" | "-0000") => return Ok(None),
            Some(text) => text.parse().ok(),
            None => raw.get().parse().ok().and_then(FixedOffset::east_opt),
        };
        let wrong = || Wrong::new(*name, "an offset such as +02:00 is required");
        return Ok(Some(offset.ok_or_else(wrong)?.local_minus_utc()));
    }
    Ok(None)
}

/// Metres or kcal of a workout, in thousandths.
pub(super) fn measure(item: &Item<'_>, name: &str) -> Result<Option<i64>, Wrong> {
    Ok(number(item, name, 0.0, MEASURE)?.map(thousandths))
}

/// Metres or kcal of a workout from what exporters send, in thousandths.
pub(super) fn measured(number: f64, name: &str) -> Result<i64, Wrong> {
    if !(0.0..=MEASURE).contains(&number) {
        return Err(Wrong::new(name, format!("a number from 0 to {MEASURE}")));
    }
    Ok(thousandths(number))
}

/// Beats per minute from what exporters send, in thousandths.
pub(super) fn beats(number: f64, name: &str) -> Result<i64, Wrong> {
    let bounds = BEATS;
    if !bounds.contains(&number) {
        let (min, max) = (bounds.start(), bounds.end());
        return Err(Wrong::new(name, format!("a number from {min} to {max}")));
    }
    Ok(thousandths(number))
}

/// Beats per minute, in thousandths.
pub(super) fn heart_rate(item: &Item<'_>, name: &str) -> Result<Option<i64>, Wrong> {
    Ok(number(item, name, *BEATS.start(), *BEATS.end())?.map(thousandths))
}

/// An id, or a type that may be a number: as text.
pub(super) fn id<'a>(
    item: &Item<'a>,
    name: &str,
    max: usize,
) -> Result<Option<Cow<'a, str>>, Wrong> {
    item.id(name)?.map(|text| short(text, name, max)).transpose()
}

fn short<'a>(text: Cow<'a, str>, name: &str, max: usize) -> Result<Cow<'a, str>, Wrong> {
    if text.is_empty() || text.chars().count() > max {
        return Err(Wrong::new(name, format!("a text of 1 to {max} characters")));
    }
    Ok(text)
}

/// What recorded something; `None` where it has no name.
pub(super) fn device(item: &Item<'_>, name: &str) -> Result<Option<String>, Wrong> {
    let text = item.text(name)?.filter(|text| !text.is_empty());
    Ok(text.map(|text| short(text, name, WORD)).transpose()?.map(Cow::into_owned))
}

/// Names of devices.
pub(super) fn devices(item: &Item<'_>, name: &str) -> Result<Vec<String>, Wrong> {
    let wrong = || Wrong::new(name, format!("at most {WORD} texts of at most {WORD} characters"));
    let Some(list) = item.get(name) else { return Ok(Vec::new()) };
    lists::count(list).filter(|count| *count <= WORD).ok_or_else(wrong)?;
    let mut devices = Some(Vec::new());
    lists::each(list, |_, raw: &RawValue| {
        let text = item::text(raw).filter(|text| text.chars().count() <= WORD);
        match (devices.as_mut(), text) {
            (Some(devices), Some(text)) => devices.push(text.into_owned()),
            _ => devices = None,
        }
    });
    devices.ok_or_else(wrong)
}
