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

    /// A fact for each period of sleep. Time in bed that one device recorded belongs
    /// to the sleep that another recorded in it.
    pub(super) fn finish(self, context: &Context, taken: &mut Taken) {
        let (mut slept, mut lain): (Vec<_>, Vec<_>) = self
            .origins
            .into_values()
            .flat_map(|(devices, spans)| periods(&devices, spans))
            .partition(|period| period.spans.iter().any(|span| span.stage.is_sleep()));
        slept.sort_by_key(|period| period.start_ms);
        lain.retain_mut(|period| {
            let later = slept.partition_point(|other| other.start_ms < period.end_ms);
            let overlap = |other: &&mut Recorded| other.overlap_ms(period);
            let near = slept[later.saturating_sub(NEAR)..later].iter_mut();
            match near.max_by_key(overlap).filter(|other| overlap(other) > 0) {
                Some(other) => other.absorb(period),
                None => return true,
            }
            false
        });
        for period in slept.into_iter().chain(lain) {
            let items = period.items;
            match period.night(self.source, context) {
                Some(night) => taken.fact(items, What::Night(Box::new(night))),
                None => taken.ignore(items as usize),
            }
        }
    }
}

/// How many periods of sleep that began before its end a time in bed is compared
/// with: more than anybody has devices, and few enough for a body that is all
/// periods.
const NEAR: usize = 32;

/// A period of sleep, or in bed, as it was recorded.
struct Recorded {
    /// What it was told in.
    items: u32,
    devices: Vec<String>,
    /// At least one.
    spans: Vec<Span>,
    /// Of what its own origin recorded.
    start_ms: i64,
    end_ms: i64,
    has_bed: bool,
}

/// Spans of one origin, parted at long gaps.
fn periods(devices: &[String], mut spans: Vec<Span>) -> Vec<Recorded> {
    spans.sort_by_key(|span| (span.start_ms, span.end_ms));
    let mut periods = Vec::new();
    let mut rest = &spans[..];
    while !rest.is_empty() {
        let (first, after) = rest.split_at(first_period(rest));
        rest = after;
        periods.push(Recorded::new(devices, first));
    }
    periods
}

impl Recorded {
    fn new(devices: &[String], spans: &[Span]) -> Self {
        Self {
            items: u32::try_from(spans.len()).unwrap_or(u32::MAX),
            devices: devices.to_vec(),
            start_ms: spans.iter().map(|span| span.start_ms).min().unwrap_or_default(),
            end_ms: spans.iter().map(|span| span.end_ms).max().unwrap_or_default(),
            has_bed: spans.iter().any(|span| span.stage == Stage::InBed),
            spans: spans.to_vec(),
        }
    }

    fn overlap_ms(&self, other: &Self) -> i64 {
        let end_ms = self.end_ms.min(other.end_ms);
        end_ms.saturating_sub(self.start_ms.max(other.start_ms))
    }

    fn absorb(&mut self, other: &mut Self) {
        self.items += other.items;
        if !self.has_bed {
            self.has_bed = true;
            self.devices.append(&mut other.devices);
            self.spans.extend(other.spans.drain(..).filter(|span| span.stage == Stage::InBed));
        }
    }

    /// It belongs to the day on which the sleep, or else the time in bed, ended.
    fn night(mut self, source: Source, context: &Context) -> Option<Night> {
        let spans = &self.spans;
        let (_, end) = range(spans, Stage::is_sleep).or_else(|| range(spans, |_| true))?;
        let night = Night {
            source_devices: self.devices,
            at: Some(sent::at(end)),
            ..Night::of(source, end.day(context)?)
        };
        Some(fill(night, &mut self.spans))
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
