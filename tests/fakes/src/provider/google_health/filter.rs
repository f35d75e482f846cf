//! Filters, which each type takes by few members of its own, and positions of
//! pages, which hold for the filter they were given for.

use chrono::{DateTime, NaiveDate};

use crate::provider::Item;
use crate::provider::google_health::{EXERCISE, SLEEP, STEPS, WEIGHT};

/// A moment, or a date on the user's wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Bound {
    Moment(i64),
    Day(NaiveDate),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Start,
    StartDay,
    End,
    EndDay,
}

/// What a query asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter(Vec<(Member, bool, Bound)>);

impl Filter {
    /// Reads `MEMBER >= "…" AND MEMBER < "…"`, or either of the two. The error
    /// is what is not supported.
    pub(crate) fn parse(kind: &str, text: &str) -> Result<Self, String> {
        let mut terms = Vec::new();
        for term in text.split(" AND ").filter(|term| !term.trim().is_empty()) {
            let mut words = term.split_whitespace();
            let (Some(name), Some(operator), Some(value), None) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(term.to_owned());
            };
            let member = member(kind, name).ok_or_else(|| name.to_owned())?;
            let is_lower = match operator {
                ">=" => true,
                "<" => false,
                _ => return Err(term.to_owned()),
            };
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            let value = value.ok_or_else(|| term.to_owned())?;
            let bound = match member {
                Member::Start | Member::End => DateTime::parse_from_rfc3339(value)
                    .ok()
                    .map(|time| Bound::Moment(time.timestamp_millis())),
                Member::StartDay | Member::EndDay => value.parse().ok().map(Bound::Day),
            };
            terms.push((member, is_lower, bound.ok_or_else(|| term.to_owned())?));
        }
        Ok(Self(terms))
    }

    pub(crate) fn takes(&self, item: &Item) -> bool {
        self.0.iter().all(|(member, is_lower, bound)| {
            let value = match member {
                Member::Start => Bound::Moment(item.start_ms),
                Member::StartDay => Bound::Day(item.start_day()),
                Member::End => Bound::Moment(item.end_ms),
                Member::EndDay => Bound::Day(item.end_day()),
            };
            if *is_lower { value >= *bound } else { value < *bound }
        })
    }
}

fn member(kind: &str, name: &str) -> Option<Member> {
    match (kind, name) {
        (EXERCISE, "exercise.interval.civil_start_time")
        | (STEPS, "steps.interval.civil_start_time") => Some(Member::StartDay),
        (STEPS, "steps.interval.start_time") | (WEIGHT, "weight.sample_time.physical_time") => {
            Some(Member::Start)
        }
        (SLEEP, "sleep.interval.end_time") => Some(Member::End),
        (SLEEP, "sleep.interval.civil_end_time") => Some(Member::EndDay),
        _ => None,
    }
}

/// Tells filters apart.
pub(crate) fn stamp(text: &str) -> u64 {
    // FNV-1a: short, and the same in every run.
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

pub(crate) fn token(offset: usize, stamp: u64) -> String {
    format!("CiA{offset}-{stamp:016x}")
}

pub(crate) fn offset_of(token: &str, stamp: u64) -> Option<usize> {
    let (offset, known) = token.strip_prefix("CiA")?.split_once('-')?;
    (known == format!("{stamp:016x}")).then(|| offset.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::google_health::{exercise, night, steps};

    /// 2026-09-25T23:30:00Z.
    const NIGHT_MS: i64 = 1_790_379_000_000;

    #[test]
    fn each_type_is_filtered_by_its_own_members() {
        let takes = |kind, item: &Item, text: &str| Filter::parse(kind, text).unwrap().takes(item);
        let run = exercise(1, NIGHT_MS, 600, "RUNNING", 32_400);
        let by_day = |from: &str, to: &str| {
            let member = "exercise.interval.civil_start_time";
            takes(EXERCISE, &run, &format!("{member} >= \"{from}\" AND {member} < \"{to}\""))
        };
        assert!(by_day("2026-09-26", "2026-09-27"), "it is the 26th there");
        assert!(!by_day("2026-09-25", "2026-09-26"));
        let night = night(1, NIGHT_MS, 3600, 0);
        assert!(!takes(SLEEP, &night, "sleep.interval.end_time < \"2026-09-25T23:30:00Z\""));
        assert!(takes(SLEEP, &night, "sleep.interval.end_time >= \"2026-09-25T23:30:00Z\""));
        let steps = steps(NIGHT_MS, 60, 9, 0);
        assert!(takes(STEPS, &steps, "steps.interval.start_time >= \"2026-09-25T23:30:00Z\""));
        assert!(takes(STEPS, &steps, ""));
    }

    #[test]
    fn other_members_are_refused_by_name() {
        for (kind, member) in [
            (EXERCISE, "exercise.interval.start_time"),
            (SLEEP, "sleep.interval.civil_start_time"),
            (SLEEP, "sleep.interval.start_time"),
            (STEPS, "steps.interval.end_time"),
            (WEIGHT, "weight.sample_time.civil_time"),
            (EXERCISE, "steps.interval.civil_start_time"),
        ] {
            let text = format!("{member} >= \"2026-09-25\"");
            assert_eq!(Filter::parse(kind, &text), Err(member.to_owned()));
        }
        for text in [
            "exercise.interval.civil_start_time >= 2026-09-25",
            "exercise.interval.civil_start_time >= \"2026-09-25T00:00:00Z\"",
            "exercise.interval.civil_start_time == \"2026-09-25\"",
            "exercise.interval.civil_start_time",
        ] {
            assert!(Filter::parse(EXERCISE, text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_position_holds_for_its_filter_only() {
        let here = token(25, stamp("a"));
        assert_eq!(offset_of(&here, stamp("a")), Some(25));
        assert_eq!(offset_of(&here, stamp("b")), None);
        assert_eq!(offset_of("25", stamp("a")), None);
    }
}
