//! Moments as the APIs want them: seconds, RFC 3339, and dates of nobody knows
//! which time zone.

use chrono::{DateTime, Days, NaiveDate, SecondsFormat, TimeDelta, Utc};
use tidegate_protocol::time::Timestamp;

use crate::provider::Span;

/// How far behind and ahead of UTC a user's date may be, in hours.
const BEHIND_H: i64 = 12;
const AHEAD_H: i64 = 14;

/// Years that every API takes.
const FIRST_S: i64 = 0;
const LAST_S: i64 = 253_370_764_800;

/// First and last date, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dates {
    pub(super) first: NaiveDate,
    pub(super) last: NaiveDate,
}

impl Dates {
    /// The dates that a span touches in any time zone.
    pub(super) fn of(span: &Span) -> Self {
        let first = utc(span.from) - TimeDelta::hours(BEHIND_H);
        let last = utc(span.to) + TimeDelta::hours(AHEAD_H);
        let first = first.date_naive();
        Self { first, last: last.date_naive().max(first) }
    }

    /// At most `days` of them from `first` on, and where the rest begins.
    pub(super) fn portion(self, first: NaiveDate, days: u64) -> (Self, Option<NaiveDate>) {
        let after = first.checked_add_days(Days::new(days)).unwrap_or(NaiveDate::MAX);
        if after > self.last {
            return (Self { first, last: self.last.max(first) }, None);
        }
        (Self { first, last: after.pred_opt().unwrap_or(first) }, Some(after))
    }
}

/// The first whole second that is not before this moment.
pub(super) fn seconds_from(at: Timestamp) -> i64 {
    let seconds = at.millis().div_euclid(1000) + i64::from(at.millis().rem_euclid(1000) > 0);
    seconds.clamp(FIRST_S, LAST_S)
}

/// RFC 3339 in UTC, to the second that is not after it.
pub(super) fn rfc3339(at: Timestamp) -> String {
    utc(at).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// RFC 3339 in UTC, to the second that is not before it.
pub(super) fn rfc3339_up(at: Timestamp) -> String {
    rfc3339(Timestamp::from_millis(seconds_from(at) * 1000))
}

/// A date as a page's position.
pub(super) fn parse(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}

fn utc(at: Timestamp) -> DateTime<Utc> {
    let seconds = at.millis().div_euclid(1000).clamp(FIRST_S, LAST_S);
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        serde_json::from_value(text.into()).unwrap()
    }

    fn dates(from: &str, to: &str) -> (String, String) {
        let dates = Dates::of(&Span { from: at(from), to: at(to) });
        (dates.first.to_string(), dates.last.to_string())
    }

    #[test]
    fn dates_hold_every_zones_day() {
        let pair = |first: &str, last: &str| (first.to_owned(), last.to_owned());
        assert_eq!(
            dates("2026-11-01T11:59:59Z", "2026-11-02T09:59:59Z"),
            pair("2026-10-31", "2026-11-02")
        );
        assert_eq!(
            dates("2026-11-01T12:00:00Z", "2026-11-02T10:00:00Z"),
            pair("2026-11-01", "2026-11-03")
        );
        // A span that runs backwards still is one date.
        assert_eq!(
            dates("2026-11-09T12:00:00Z", "2026-11-02T10:00:00Z"),
            pair("2026-11-09", "2026-11-09")
        );
    }

    #[test]
    fn moments_beyond_all_calendars_are_brought_back() {
        let span =
            Span { from: Timestamp::from_millis(i64::MIN), to: Timestamp::from_millis(i64::MAX) };
        let dates = Dates::of(&span);
        assert_eq!(dates.first.to_string(), "1969-12-31");
        assert!(dates.last.to_string().starts_with("9999-"));
        assert_eq!(seconds_from(span.from), 0);
        assert_eq!(seconds_from(Timestamp::from_millis(1)), 1);
        assert_eq!(seconds_from(Timestamp::from_millis(1000)), 1);
        assert_eq!(rfc3339(at("2026-11-01T12:00:00.999Z")), "2026-11-01T12:00:00Z");
    }

    #[test]
    fn portions_cover_everything_once() {
        let day = |text| parse(text).unwrap();
        let all = Dates { first: day("2026-01-01"), last: day("2026-04-11") };
        let (portion, next) = all.portion(all.first, 100);
        assert_eq!(portion.last, day("2026-04-10"));
        let (rest, next) = all.portion(next.unwrap(), 100);
        assert_eq!((rest.first, rest.last, next), (day("2026-04-11"), day("2026-04-11"), None));
        let whole = Dates { last: day("2026-04-10"), ..all };
        assert_eq!(whole.portion(whole.first, 100), (whole, None), "no empty portion follows");
    }
}
