//! Local days: which day of the user's life a time belongs to.

use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveDateTime, Utc};
use tidegate_protocol::time::Timestamp;

use crate::health::fact::Context;

/// A time as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Milliseconds since the epoch.
    pub at_ms: i64,
    /// The offset of the sender's local time. `None`: the time is in UTC and says
    /// nothing about where the sender was (`Z`, `-00:00`; RFC 3339, 4.3).
    pub offset: Option<FixedOffset>,
}

/// Most hours that local time is ahead of UTC anywhere.
const EASTERNMOST_H: i64 = 14;

impl Sent {
    /// Reads an RFC 3339 time. `None` for anything else, local times included.
    pub fn parse(text: &str) -> Option<Self> {
        let time = DateTime::parse_from_rfc3339(text).ok()?;
        let says_nothing = text.ends_with(['Z', 'z']) || text.ends_with("-00:00");
        Some(Self::of(time, !says_nothing))
    }

    /// Reads `yyyy-MM-dd HH:mm:ss Z` (Health Auto Export, `HealthKit`'s export),
    /// and RFC 3339.
    pub fn parse_loosely(text: &str) -> Option<Self> {
        let exported = DateTime::parse_from_str(text.trim(), "%Y-%m-%d %H:%M:%S %z").ok();
        exported.map(|time| Self::of(time, true)).or_else(|| Self::parse(text.trim()))
    }

    fn of(time: DateTime<FixedOffset>, has_offset: bool) -> Self {
        Self { at_ms: time.timestamp_millis(), offset: has_offset.then(|| *time.offset()) }
    }

    /// The same with an offset that was sent beside it.
    #[must_use]
    pub fn with_offset(self, seconds: Option<i32>) -> Self {
        let beside = seconds.and_then(FixedOffset::east_opt);
        Self { offset: beside.or(self.offset), ..self }
    }

    /// Its offset in seconds.
    pub fn offset_s(self) -> Option<i32> {
        self.offset.map(|offset| offset.local_minus_utc())
    }

    /// The same, not later than now.
    #[must_use]
    pub fn at_most(self, now: Timestamp) -> Self {
        Self { at_ms: self.at_ms.min(now.millis()), ..self }
    }

    /// So many seconds later, at the same place.
    #[must_use]
    pub const fn plus_s(self, seconds: i64) -> Self {
        Self { at_ms: self.at_ms.saturating_add(seconds.saturating_mul(1000)), ..self }
    }

    /// The local day: by its own offset, else by the user's time zone, else UTC.
    /// `None` outside of what calendars hold.
    pub fn day(self, context: &Context) -> Option<NaiveDate> {
        let utc = DateTime::<Utc>::from_timestamp_millis(self.at_ms)?;
        Some(match (self.offset, context.zone) {
            (Some(offset), _) => local(utc, offset)?.date(),
            (None, Some(zone)) => utc.with_timezone(&zone).date_naive(),
            (None, None) => utc.date_naive(),
        })
    }
}

fn local(utc: DateTime<Utc>, offset: FixedOffset) -> Option<NaiveDateTime> {
    utc.naive_utc().checked_add_offset(offset)
}

/// Reads `yyyy-MM-dd`, nothing else.
pub fn parse(text: &str) -> Option<NaiveDate> {
    let is_plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| is_plain)
}

/// The latest day that it is anywhere on earth.
pub fn latest(now: Timestamp) -> NaiveDate {
    let ahead = now.plus_millis(EASTERNMOST_H * 3_600_000);
    let time = DateTime::<Utc>::from_timestamp_millis(ahead.millis()).unwrap_or_default();
    time.date_naive()
}

/// Whether a day has begun somewhere.
pub fn has_begun(date: NaiveDate, now: Timestamp) -> bool {
    date <= latest(now)
}

/// The day before and the day after: where something is known that is sent again
/// from another time zone.
pub fn neighbours(date: NaiveDate) -> impl Iterator<Item = NaiveDate> {
    [date.pred_opt(), date.succ_opt()].into_iter().flatten()
}

/// The day so many days before.
pub fn days_before(date: NaiveDate, days: u64) -> NaiveDate {
    date.checked_sub_days(Days::new(days)).unwrap_or(NaiveDate::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(zone: Option<chrono_tz::Tz>) -> Context {
        let now = Timestamp::from_millis(1_760_000_000_000);
        Context { now, zone, items_max: None, may_name_all: false }
    }

    fn day(text: &str, zone: Option<chrono_tz::Tz>) -> String {
        Sent::parse_loosely(text).unwrap().day(&context(zone)).unwrap().to_string()
    }

    #[test]
    fn an_offset_goes_before_the_zone_and_the_zone_before_utc() {
        let berlin = Some(chrono_tz::Europe::Berlin);
        assert_eq!(day("2026-03-28T23:30:00+09:00", berlin), "2026-03-28");
        assert_eq!(day("2026-03-28T23:30:00+00:00", berlin), "2026-03-28");
        assert_eq!(day("2026-03-28T23:30:00Z", berlin), "2026-03-29");
        assert_eq!(day("2026-03-28T23:30:00-00:00", berlin), "2026-03-29");
        assert_eq!(day("2026-03-28T23:30:00Z", None), "2026-03-28");
        assert_eq!(day("2026-05-19 00:00:00 -0700", berlin), "2026-05-19");
        // The hour that daylight saving leaves out, and the one it repeats.
        assert_eq!(day("2026-03-28T22:59:59Z", berlin), "2026-03-28");
        assert_eq!(day("2026-10-24T22:00:00Z", berlin), "2026-10-25");
        assert_eq!(day("2026-10-25T22:59:59Z", berlin), "2026-10-25");
        assert_eq!(day("2026-10-25T23:00:00Z", berlin), "2026-10-26");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["2026-03-28T23:30:00", "2026-03-28", "", "now", "2026-13-28T00:00:00Z"] {
            assert_eq!(Sent::parse_loosely(text), None, "{text}");
        }
        for text in ["2026-3-28", "2026-02-30", "2026-03-28 ", "+026-03-28", "2026-03-28T00:00:00Z"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!(parse("2026-03-28").is_some());
    }

    #[test]
    fn a_day_that_began_in_the_far_east_has_begun() {
        let now = Timestamp::from_millis(1_774_692_000_000); // 2026-03-28T10:00Z
        assert_eq!(latest(now).to_string(), "2026-03-29");
        assert!(!has_begun(latest(now).succ_opt().unwrap(), now));
    }
}
