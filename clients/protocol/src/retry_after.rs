//! How long an answer asks to wait: `Retry-After` in seconds or as an HTTP date
//! (RFC 9110, 10.2.3).
//!
//! Pure: it looks at no clock, never waits and sets no bound; who plans the wait
//! does.

use std::time::{Duration, SystemTime};

use crate::time::Timestamp;

/// Reads the value of `Retry-After`. `None` when it cannot be read. A date is
/// measured from `sent`: the answer's own `Date`, so that no difference between
/// two clocks counts, or what the caller takes where there is none. One in the
/// past means no wait.
pub fn wait(value: &str, sent: impl FnOnce() -> Option<Timestamp>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that overflow still mean "very long".
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = date(value)?;
    let wait_ms = until.millis().saturating_sub(sent()?.millis());
    Some(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)))
}

/// Reads an HTTP date, such as the value of `Date`; whole seconds.
pub fn date(value: &str) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    let since_epoch = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_dates_and_nonsense_are_told_apart() {
        let sent = || date("Sun, 06 Nov 1994 08:49:37 GMT");
        let seconds = |value| wait(value, sent).map(|wait| wait.as_secs());
        assert_eq!(sent().map(Timestamp::millis), Some(784_111_777_000));
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(seconds("Sunday, 06-Nov-94 08:50:07 GMT"), Some(30), "the form of RFC 850");
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0), "in the past");
        for nonsense in ["soon", "-5", "1.5", ""] {
            assert_eq!(seconds(nonsense), None, "{nonsense}");
        }
        assert_eq!(wait("60", || None), Some(Duration::from_mins(1)), "needs no clock");
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:07 GMT", || None), None);
    }
}
