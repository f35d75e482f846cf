//! The `Retry-After` header: seconds, or an HTTP date (RFC 9110, 10.2.3).
//!
//! Never waits and sets no bound: `Settings::retry_after_longest` does, where
//! the wait is planned.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use tidegate_protocol::time::Timestamp;

use crate::clock::Clock;

/// How long an answer asks to wait. `None` when it does not say, or in a form
/// that cannot be read. A date is measured from the answer's own `Date`, so
/// that no difference between the clocks counts; only without one from this
/// device's clock. One in the past means no wait.
pub(crate) fn from_answer(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that overflow still mean "very long".
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = parse_date(value)?;
    let from = date(headers).unwrap_or_else(|| Clock::system().local_now());
    let wait_ms = until.millis().saturating_sub(from.millis());
    Some(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)))
}

/// When an answer was written, by the clock of who wrote it; whole seconds.
pub(crate) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    parse_date(headers.get(DATE)?.to_str().ok()?.trim())
}

fn parse_date(text: &str) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(text).ok()?;
    let since_epoch = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn wait(retry_after: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(retry_after).unwrap());
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_str(date).unwrap());
        }
        from_answer(&headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read() {
        let sent = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(wait("120", None), Some(120));
        assert_eq!(wait(" 0 ", sent), Some(0));
        assert_eq!(wait("99999999999999999999999", None), Some(u64::MAX));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:07 GMT", sent), Some(30));
        assert_eq!(wait("Sunday, 06-Nov-94 08:50:07 GMT", sent), Some(30), "the form of RFC 850");
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT", sent), Some(0), "in the past");
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT", None), Some(0), "in the past");
        for nonsense in ["soon", "-5", "1.5", ""] {
            assert_eq!(wait(nonsense, sent), None, "{nonsense}");
        }
        assert_eq!(from_answer(&HeaderMap::new()), None);
    }
}
