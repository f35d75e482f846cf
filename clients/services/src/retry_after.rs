//! The `Retry-After` header: seconds or an HTTP date (RFC 9110 section
//! 10.2.3). Never waits; it only says how long.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use tidegate_protocol::time::Timestamp;

use crate::clock::Clock;
use crate::limits::RETRY_AFTER_MAX;

/// How long the answer asks to wait, at most [`RETRY_AFTER_MAX`]. `None` when
/// it does not say, or says it in a form that cannot be read. A date in the
/// past means zero. A date is measured from the answer's own `Date` where it
/// has one: our clock may be wrong.
pub fn from_headers(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    from_answer(headers).or_else(|| parse(headers.get(RETRY_AFTER)?.to_str().ok()?, clock))
}

/// As [`from_headers`], but a date is measured from the answer's own `Date`:
/// no clock is needed, and a difference between the clocks does no harm. A
/// date without a `Date` cannot be read.
pub fn from_answer(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let is_date = value.bytes().any(|byte| byte.is_ascii_alphabetic());
    let sent_ms = match headers.get(DATE) {
        Some(date) => unix_millis(date.to_str().ok()?),
        None => None,
    };
    if is_date && sent_ms.is_none() {
        return None;
    }
    let sent = Timestamp::from_millis(sent_ms.unwrap_or_default());
    parse(value, &Clock::new(move || sent))
}

fn unix_millis(date: &str) -> Option<i64> {
    let date = httpdate::parse_http_date(date.trim()).ok()?;
    let since_epoch = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since_epoch.as_millis()).ok()
}

/// Parses the header's value; see [`from_headers`].
pub fn parse(value: &str, clock: &Clock) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that overflow still mean "very long".
        value.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs)
    } else {
        let date = httpdate::parse_http_date(value).ok()?;
        date.duration_since(system_time(clock)).unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

fn system_time(clock: &Clock) -> SystemTime {
    let since_epoch = u64::try_from(clock.now().millis()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_millis(since_epoch)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_date_is_measured_from_the_answers_own() {
        let seconds = |headers: &[(HeaderName, &'static str)]| {
            let headers = headers.iter().cloned();
            let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
            from_answer(&headers.collect()).map(|wait| wait.as_secs())
        };
        let sent = || (DATE, "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(seconds(&[(RETRY_AFTER, "Sun, 06 Nov 1994 08:50:07 GMT"), sent()]), Some(30));
        assert_eq!(seconds(&[(RETRY_AFTER, "Sun, 06 Nov 1994 08:50:07 GMT")]), None);
        assert_eq!(seconds(&[(RETRY_AFTER, "60")]), Some(60));
        assert_eq!(seconds(&[(RETRY_AFTER, "60"), (DATE, "today")]), Some(60));
        assert_eq!(seconds(&[(RETRY_AFTER, "soon"), sent()]), None);
        assert_eq!(seconds(&[sent()]), None);
    }

    #[test]
    fn our_own_clock_counts_only_where_the_answer_has_none() {
        let wrong = Clock::new(|| Timestamp::from_millis(0));
        let value = |text| HeaderValue::from_static(text);
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value("Sun, 06 Nov 1994 08:50:07 GMT"));
        assert_eq!(from_headers(&headers, &wrong), Some(RETRY_AFTER_MAX));
        headers.insert(DATE, value("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(from_headers(&headers, &wrong), Some(Duration::from_secs(30)));
    }

    #[test]
    fn seconds_dates_and_nonsense_are_told_apart() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let clock = Clock::new(|| Timestamp::from_millis(784_111_777_000));
        let seconds = |value| parse(value, &clock).map(|wait| wait.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(seconds("Sunday, 06-Nov-94 08:50:07 GMT"), Some(30), "the form of RFC 850");
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0), "in the past");
        assert_eq!(seconds("99999999999999999999999"), Some(3600), "bounded");
        assert_eq!(seconds("Sun, 06 Nov 2044 08:50:07 GMT"), Some(3600), "bounded");
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds("-5"), None);
        assert_eq!(seconds("1.5"), None);
        assert_eq!(seconds(""), None);
    }
}
