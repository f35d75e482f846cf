//! What providers' APIs answer, read into facts: a page of one kind of items at a
//! time.
//!
//! An item that cannot be placed (no id, no time, an end before its start) is
//! wrong. A measurement beside them that cannot be one is unknown, and the item
//! stands: what a provider stores wrongly is wrong each time that it is read, and
//! would hide the workout for ever.

pub mod fitbit;
pub mod google_health;
pub mod oura;
pub mod strava;

use std::borrow::Cow;

use chrono::NaiveDate;
use serde_json::value::RawValue;
use tidegate_protocol::time::Timestamp;

use crate::health::activity::{Activity, ActivityType};
use crate::health::date::{self, Sent};
use crate::health::fact::{Context, Fact, Facts, ItemError, Night, What};
use crate::health::field::{half_up, thousandths};
use crate::health::item::{Item, Wrong};
use crate::health::source::Source;

/// Beats per minute that somebody's heart makes.
const HEART_RATE: (f64, f64) = (30.0, 250.0);

/// Most metres, kilocalories, seconds of one item: what is more is a fault.
const MOST: f64 = 1e9;

/// Most minutes of one night, as for those that devices send.
const MINUTES_MAX: f64 = 43_200.0;

/// No local time is further from UTC.
const OFFSET_S_MAX: i32 = 14 * 3_600;

/// Most characters of a name that is shown, and of an id.
const NAME_CHARS_MAX: usize = 100;
const ID_CHARS_MAX: usize = 255;

/// Reads items one by one. `None` is an item that says nothing of ours.
fn each(
    list: &str,
    items: &[Box<RawValue>],
    read: impl Fn(&Item<'_>, &RawValue) -> Result<Option<What>, Wrong>,
) -> Facts {
    let mut facts = Facts::default();
    for (index, raw) in items.iter().enumerate() {
        facts.total += 1;
        match Item::read(raw).and_then(|item| read(&item, raw)) {
            Ok(Some(what)) => facts.facts.push(Fact { items: 1, what }),
            Ok(None) => facts.ignored += 1,
            Err(wrong) => facts.errors.push(refused(list, index, wrong)),
        }
    }
    facts
}

fn refused(list: &str, index: usize, wrong: Wrong) -> ItemError {
    ItemError { list: list.to_owned(), index, field: wrong.field, reason: wrong.reason }
}

/// Reads an object inside an item; what is wrong there is named by its path.
fn inside<'a, T>(
    item: &Item<'a>,
    name: &str,
    read: impl FnOnce(&Item<'a>) -> Result<T, Wrong>,
) -> Result<T, Wrong> {
    let inner = item.item(name)?.ok_or_else(|| Wrong::new(name, "an object is required"))?;
    read(&inner).map_err(|wrong| Wrong::new(format!("{name}.{}", wrong.field), wrong.reason))
}

/// An object inside an item; empty where there is none.
fn part<'a>(item: &Item<'a>, name: &str) -> Item<'a> {
    item.item(name).ok().flatten().unwrap_or_default()
}

/// The id that an item must have.
fn id(item: &Item<'_>, name: &str) -> Result<String, Wrong> {
    let id = item.id(name)?.ok_or_else(|| Wrong::new(name, "a text or a number is required"))?;
    if id.contains('\0') || id.chars().count() > ID_CHARS_MAX {
        let reason = format!("at most {ID_CHARS_MAX} characters are allowed, none of them U+0000");
        return Err(Wrong::new(name, reason));
    }
    Ok(id.into_owned())
}

/// A word to be shown; empty is none.
fn word(item: &Item<'_>, name: &str) -> Option<String> {
    let text = item.text(name).ok().flatten()?;
    let shown = text.chars().filter(|letter| *letter != '\0').take(NAME_CHARS_MAX);
    Some(shown.collect::<String>()).filter(|text| !text.trim().is_empty())
}

/// The time that an item must have.
fn time(item: &Item<'_>, name: &str) -> Result<Sent, Wrong> {
    let text = item.text(name)?.unwrap_or(Cow::Borrowed(""));
    Sent::parse(&text).ok_or_else(|| Wrong::new(name, "a time with its offset is required"))
}

/// The date that an item must have; not one that has not begun anywhere.
fn day(item: &Item<'_>, name: &str, context: &Context) -> Result<NaiveDate, Wrong> {
    let text = item.text(name)?.unwrap_or(Cow::Borrowed(""));
    let date = date::parse(&text).ok_or_else(|| Wrong::new(name, "a date is required"))?;
    begun(date, name, context)
}

fn begun(date: NaiveDate, name: &str, context: &Context) -> Result<NaiveDate, Wrong> {
    let has_begun = date::has_begun(date, context.now);
    has_begun.then_some(date).ok_or_else(|| Wrong::new(name, "must not be in the future"))
}

/// An offset that is one somewhere.
fn offset(seconds: f64) -> Option<i32> {
    let is_one = seconds.fract() == 0.0 && seconds.abs() <= f64::from(OFFSET_S_MAX);
    #[expect(clippy::cast_possible_truncation, reason = "its bounds were checked")]
    is_one.then_some(seconds as i32)
}

/// From when to when something was.
struct Span {
    start: Sent,
    end: Sent,
}

impl Span {
    /// The names are those of the fields of start and end.
    fn new(start: (&str, Sent), end: (&str, Sent), context: &Context) -> Result<Self, Wrong> {
        let [(start_name, start), (end_name, end)] = [start, end];
        if start.at_ms > context.now.millis() {
            return Err(Wrong::new(start_name, "must not be in the future"));
        }
        if end.at_ms < start.at_ms {
            return Err(Wrong::new(end_name, "must not be before the start"));
        }
        Ok(Self { start, end: end.at_most(context.now) })
    }

    /// One of so many seconds, whose field the name is.
    fn lasting(
        start: (&str, Sent),
        (name, seconds): (&str, f64),
        context: &Context,
    ) -> Result<Self, Wrong> {
        if !(0.0..=MOST).contains(&seconds) {
            return Err(Wrong::new(name, format!("a number from 0 to {MOST} is required")));
        }
        let at_ms = start.1.at_ms.saturating_add(thousandths(seconds));
        Self::new(start, (name, Sent { at_ms, ..start.1 }), context)
    }

    /// The local day on which it started.
    fn first_day(&self, name: &str, context: &Context) -> Result<NaiveDate, Wrong> {
        day_of(self.start, name, context)
    }

    /// The local day on which it ended.
    fn last_day(&self, name: &str, context: &Context) -> Result<NaiveDate, Wrong> {
        day_of(self.end, name, context)
    }
}

fn day_of(sent: Sent, name: &str, context: &Context) -> Result<NaiveDate, Wrong> {
    let date = sent.day(context).ok_or_else(|| Wrong::new(name, "must be on a day"))?;
    begun(date, name, context)
}

/// A workout of which nothing but the time is known.
fn activity(
    source: Source,
    source_id: String,
    date: NaiveDate,
    span: &Span,
    raw: &RawValue,
) -> Activity {
    let elapsed_s = span.end.at_ms.saturating_sub(span.start.at_ms) / 1_000;
    Activity {
        source,
        source_id: Some(source_id),
        external_id: None,
        activity_type: ActivityType::Unknown,
        sport: String::new(),
        date,
        start_ms: span.start.at_ms,
        end_ms: span.end.at_ms,
        duration_s: elapsed_s,
        elapsed_s,
        distance_m: None,
        calories_kcal: None,
        avg_heart_rate: None,
        max_heart_rate: None,
        device: None,
        utc_offset_s: span.start.offset_s(),
        raw: raw.get().to_owned(),
    }
}

/// A night of which nothing but the time is known, if that.
fn night(source: Source, source_id: String, date: NaiveDate, span: Option<&Span>) -> Night {
    let end_ms = span.map(|span| span.end.at_ms);
    Night {
        source,
        date,
        source_id: Some(source_id),
        total_sleep_minutes: None,
        in_bed_minutes: None,
        awake_minutes: None,
        asleep_core_minutes: None,
        asleep_deep_minutes: None,
        asleep_rem_minutes: None,
        sleep_start_ms: span.map(|span| span.start.at_ms),
        sleep_end_ms: end_ms,
        source_devices: Vec::new(),
        at: end_ms.map(Timestamp::from_millis),
    }
}

/// A number from 0, in units of which so many make one of ours.
fn number(item: &Item<'_>, name: &str, per_unit: f64) -> Option<f64> {
    let number = item.number_or_text(name).ok().flatten()? / per_unit;
    (0.0..=MOST).contains(&number).then_some(number)
}

/// A measurement in thousandths.
fn amount(item: &Item<'_>, name: &str, per_unit: f64) -> Option<i64> {
    number(item, name, per_unit).map(thousandths)
}

/// Whole seconds.
fn seconds(item: &Item<'_>, name: &str, per_second: f64) -> Option<i64> {
    number(item, name, per_second).map(half_up)
}

/// Whole minutes of a night.
fn minutes(item: &Item<'_>, name: &str, per_minute: f64) -> Option<i64> {
    number(item, name, per_minute).filter(|minutes| *minutes <= MINUTES_MAX).map(half_up)
}

/// Beats per minute, in thousandths.
fn heart_rate(item: &Item<'_>, name: &str) -> Option<i64> {
    let (min, max) = HEART_RATE;
    number(item, name, 1.0).filter(|rate| (min..=max).contains(rate)).map(thousandths)
}

#[cfg(test)]
mod tests;
