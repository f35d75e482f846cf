//! Stages of sleep, and the nights that they make up.

use std::collections::BTreeMap;

use chrono::FixedOffset;

use crate::health::date::Sent;
use crate::health::fact::{Context, Night, What};
use crate::health::field::half_up;
use crate::health::format::sent::{self, Period};
use crate::health::format::taken::Taken;
use crate::health::item::Wrong;
use crate::health::source::Source;

/// What is farther apart belongs to two periods of sleep.
const GAP_MS: i64 = 3 * 3_600_000;

/// What a stage lasts at most: 30 days, as a night does.
const LONGEST_MS: i64 = 30 * 24 * 3_600_000;

/// How somebody sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    InBed,
    /// Nobody knows how.
    Asleep,
    Core,
    Deep,
    Rem,
    Awake,
}

impl Stage {
    const fn is_sleep(self) -> bool {
        matches!(self, Self::Asleep | Self::Core | Self::Deep | Self::Rem)
    }

    /// What a word, or a number as text, stands for. Numbers mean one thing to
    /// `HealthKit` and another to Health Connect.
    pub(super) fn of(source: Source, word: &str) -> Option<Self> {
        const PREFIXES: [&str; 3] = ["hkcategoryvaluesleepanalysis", "sleepstagetype", "stagetype"];
        if let Ok(number) = word.trim().parse() {
            return Self::numbered(source, number);
        }
        let letters = word.chars().filter(char::is_ascii_alphanumeric);
        let letters: String = letters.take(64).map(|c| c.to_ascii_lowercase()).collect();
        let bare = PREFIXES.iter().find_map(|prefix| letters.strip_prefix(prefix));
        Some(match bare.unwrap_or(&letters) {
            "inbed" => Self::InBed,
            "asleep" | "asleepunspecified" | "unspecified" | "sleeping" => Self::Asleep,
            "core" | "asleepcore" | "light" | "asleeplight" => Self::Core,
            "deep" | "asleepdeep" => Self::Deep,
            "rem" | "asleeprem" => Self::Rem,
            "awake" | "awakeinbed" | "outofbed" => Self::Awake,
            _ => return None,
        })
    }

    const fn numbered(source: Source, number: i64) -> Option<Self> {
        Some(match (source, number) {
            (Source::AppleHealth, 0) => Self::InBed,
            (Source::AppleHealth, 1) | (Source::HealthConnect, 2) => Self::Asleep,
            (Source::AppleHealth, 2) | (Source::HealthConnect, 1 | 3 | 7) => Self::Awake,
            (Source::AppleHealth, 3) | (Source::HealthConnect, 4) => Self::Core,
            (Source::AppleHealth, 4) | (Source::HealthConnect, 5) => Self::Deep,
            (Source::AppleHealth, 5) | (Source::HealthConnect, 6) => Self::Rem,
            _ => return None,
        })
    }
}

/// A stage and how long it lasted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    stage: Stage,
    start_ms: i64,
    end_ms: i64,
    /// Of the local time in which it ended.
    offset: Option<FixedOffset>,
}

impl Span {
    /// A stage of a period; `end` names the field that ends it.
    pub(super) fn new(stage: Stage, period: &Period, end: &str) -> Result<Self, Wrong> {
        let (start_ms, end_ms) = (period.start.at_ms, period.end.at_ms);
        if end_ms - start_ms > LONGEST_MS {
            return Err(Wrong::new(end, "at most 30 days of sleep"));
        }
        Ok(Self { stage, start_ms, end_ms, offset: period.end.offset })
    }
}

/// The first and the last moment of those spans that are meant.
fn range(spans: &[Span], is_meant: impl Fn(Stage) -> bool) -> Option<(i64, Sent)> {
    let meant = || spans.iter().filter(|span| is_meant(span.stage));
    let start_ms = meant().map(|span| span.start_ms).min()?;
    let end = meant().max_by_key(|span| span.end_ms)?;
    Some((start_ms, Sent { at_ms: end.end_ms, offset: end.offset }))
}

/// Minutes that the spans meant last; what overlaps counts once. The spans are
/// in the order of their starts.
fn minutes(spans: impl Iterator<Item = (i64, i64)>) -> Option<i64> {
    let (mut total_ms, mut until, mut is_any) = (0, i64::MIN, false);
    for (start_ms, end_ms) in spans {
        is_any = true;
        total_ms += (end_ms - start_ms.max(until)).max(0);
        until = until.max(end_ms);
    }
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a body's times")]
    let total = total_ms as f64 / 60_000.0;
    is_any.then(|| half_up(total))
}

/// Fills in what stages say of a night, and when it was slept.
pub(super) fn fill(night: Night, spans: &mut [Span]) -> Night {
    spans.sort_by_key(|span| (span.start_ms, span.end_ms));
    let spans = &*spans;
    let of = |is_meant: fn(Stage) -> bool| {
        let meant = spans.iter().filter(|span| is_meant(span.stage));
        minutes(meant.map(|span| (span.start_ms, span.end_ms)))
    };
    let slept = range(spans, Stage::is_sleep);
    let awake = slept.and_then(|(start_ms, end)| {
        let meant = spans.iter().filter(|span| span.stage == Stage::Awake);
        minutes(meant.map(|span| (span.start_ms.max(start_ms), span.end_ms.min(end.at_ms))))
    });
    Night {
        total_sleep_minutes: of(Stage::is_sleep),
        in_bed_minutes: of(|stage| stage == Stage::InBed).or(night.in_bed_minutes),
        awake_minutes: awake,
        asleep_core_minutes: of(|stage| stage == Stage::Core),
        asleep_deep_minutes: of(|stage| stage == Stage::Deep),
        asleep_rem_minutes: of(|stage| stage == Stage::Rem),
        sleep_start_ms: night.sleep_start_ms.or(slept.map(|(start_ms, _)| start_ms)),
        sleep_end_ms: night.sleep_end_ms.or(slept.map(|(_, end)| end.at_ms)),
        ..night
    }
}

/// Stages that come one by one, by who recorded them.
#[derive(Debug)]
pub(super) struct Nights {
    source: Source,
    origins: BTreeMap<String, (Vec<String>, Vec<Span>)>,
}

impl Nights {
    pub(super) const fn new(source: Source) -> Self {
        Self { source, origins: BTreeMap::new() }
    }

    /// A stage that somebody recorded, with these devices.
    pub(super) fn add(&mut self, origin: &str, devices: &[&str], span: Span) {
        if !self.origins.contains_key(origin) {
            let devices = devices.iter().filter(|device| !device.is_empty());
            let devices = devices.map(|device| (*device).to_owned()).collect();
            self.origins.insert(origin.to_owned(), (devices, Vec::new()));
        }
        if let Some((_, spans)) = self.origins.get_mut(origin) {
            spans.push(span);
        }
    }

    /// A fact for each period of sleep.
    pub(super) fn finish(self, context: &Context, taken: &mut Taken) {
        for (devices, mut spans) in self.origins.into_values() {
            spans.sort_by_key(|span| (span.start_ms, span.end_ms));
            let mut rest = &mut spans[..];
            while !rest.is_empty() {
                let (spans, after) = rest.split_at_mut(first_period(rest));
                rest = after;
                let items = u32::try_from(spans.len()).unwrap_or(u32::MAX);
                match night_of(self.source, &devices, spans, context) {
                    Some(night) => taken.fact(items, What::Night(Box::new(night))),
                    None => taken.ignore(spans.len()),
                }
            }
        }
    }
}

/// How many spans follow each other without a long gap.
fn first_period(spans: &[Span]) -> usize {
    let mut until = i64::MAX - GAP_MS;
    for (index, span) in spans.iter().enumerate() {
        if span.start_ms > until.saturating_add(GAP_MS) {
            return index;
        }
        until = if index == 0 { span.end_ms } else { until.max(span.end_ms) };
    }
    spans.len()
}

/// It belongs to the day on which the sleep, or else the time in bed, ended.
fn night_of(
    source: Source,
    devices: &[String],
    spans: &mut [Span],
    context: &Context,
) -> Option<Night> {
    let (_, end) = range(spans, Stage::is_sleep).or_else(|| range(spans, |_| true))?;
    let night = Night {
        source_devices: devices.to_vec(),
        at: Some(sent::at(end)),
        ..Night::of(source, end.day(context)?)
    };
    Some(fill(night, spans))
}
