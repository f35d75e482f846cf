//! A night of Google Health: its summary, and the stages where that is missing.

use crate::health::fact::{Context, Night};
use crate::health::field::half_up;
use crate::health::item::{Item, Wrong, text};
use crate::health::provider::google_health::{local, span};
use crate::health::provider::{self, MINUTES_MAX, inside, minutes, part};
use crate::health::source::Source;

/// Reads a night. Its day is the local one of its end.
pub(super) fn night(item: &Item<'_>, source_id: String, context: &Context) -> Result<Night, Wrong> {
    let (span, date) = inside(item, "interval", |interval| {
        let span = span(interval, context)?;
        let date = span.last_day("endTime", context)?;
        Ok((span, date))
    })?;
    let in_bed = Minutes(span.end.at_ms.saturating_sub(span.start.at_ms)).whole();
    let stages = Stages::of(item);
    let summary = part(item, "summary");
    let said = |name| minutes(&summary, name, 1.0);
    Ok(Night {
        total_sleep_minutes: said("minutesAsleep").or_else(|| stages.asleep()),
        in_bed_minutes: in_bed,
        awake_minutes: said("minutesAwake").or(stages.awake),
        asleep_core_minutes: stages.light,
        asleep_deep_minutes: stages.deep,
        asleep_rem_minutes: stages.rem,
        ..provider::night(Source::GoogleHealth, source_id, date, Some(&span))
    })
}

/// Milliseconds that are shown as minutes.
#[derive(Clone, Copy, Default)]
struct Minutes(i64);

impl Minutes {
    fn whole(self) -> Option<i64> {
        #[expect(clippy::cast_precision_loss, reason = "nights are short")]
        let minutes = self.0 as f64 / 60_000.0;
        (0.0..=MINUTES_MAX).contains(&minutes).then(|| half_up(minutes))
    }
}

/// Minutes of each stage; `None`: nothing is said of it.
#[derive(Default)]
struct Stages {
    awake: Option<i64>,
    light: Option<i64>,
    deep: Option<i64>,
    rem: Option<i64>,
    /// Of nights that know only asleep, restless and awake.
    asleep: Option<i64>,
}

impl Stages {
    fn of(item: &Item<'_>) -> Self {
        let summary = part(item, "summary");
        let in_short = items(&summary, "stagesSummary");
        if in_short.is_empty() {
            return Self::of_periods(&items(item, "stages"));
        }
        Self::of_summary(&in_short)
    }

    /// Lists that were reconciled name a stage twice: the first counts.
    fn of_summary(list: &[Item<'_>]) -> Self {
        let mut found = Self::default();
        for stage in list {
            if let Some(of_stage) = found.stage(stage) {
                *of_stage = of_stage.or_else(|| minutes(stage, "minutes", 1.0));
            }
        }
        found
    }

    fn of_periods(list: &[Item<'_>]) -> Self {
        let mut sums = Self::default();
        for period in list {
            let start = local(period, "startTime", "startUtcOffset");
            let end = local(period, "endTime", "endUtcOffset");
            if let (Some(of_stage), Ok(start), Ok(end)) = (sums.stage(period), start, end) {
                let lasted_ms = end.at_ms.saturating_sub(start.at_ms).max(0);
                *of_stage = Some(of_stage.unwrap_or(0).saturating_add(lasted_ms));
            }
        }
        let whole = |sum_ms: Option<i64>| sum_ms.and_then(|sum_ms| Minutes(sum_ms).whole());
        Self {
            awake: whole(sums.awake),
            light: whole(sums.light),
            deep: whole(sums.deep),
            rem: whole(sums.rem),
            asleep: whole(sums.asleep),
        }
    }

    fn stage(&mut self, item: &Item<'_>) -> Option<&mut Option<i64>> {
        let word = text(item.get("type")?)?;
        match word.as_ref() {
            "AWAKE" => Some(&mut self.awake),
            "LIGHT" => Some(&mut self.light),
            "DEEP" => Some(&mut self.deep),
            "REM" => Some(&mut self.rem),
            "ASLEEP" => Some(&mut self.asleep),
            _ => None,
        }
    }

    /// All that is sleep, where something is said of it.
    fn asleep(&self) -> Option<i64> {
        let stages = [self.light, self.deep, self.rem, self.asleep];
        stages.iter().any(Option::is_some).then(|| stages.iter().flatten().sum())
    }
}

/// The objects of a list; none where there is no list.
fn items<'a>(item: &Item<'a>, name: &str) -> Vec<Item<'a>> {
    let list = item.list(name).ok().flatten().unwrap_or_default();
    list.into_iter().filter_map(|raw| Item::read(raw).ok()).collect()
}
