//! What the headers of an answer say of time: `Retry-After` and `Date`.
//!
//! Never waits and sets no bound: `Settings::retry_after_longest` does, where
//! the wait is planned.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use tidegate_protocol::retry_after;
use tidegate_protocol::time::Timestamp;

use crate::clock::Clock;

/// How long an answer asks to wait. `None` when it does not say, or in a form
/// that cannot be read. A date is measured from the answer's own `Date`; only
/// without one from this device's clock.
pub(crate) fn from_answer(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    retry_after::wait(value, || date(headers).or_else(|| Some(Clock::system().local_now())))
}

/// When an answer was written, by the clock of who wrote it; whole seconds.
pub(crate) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    retry_after::date(headers.get(DATE)?.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn a_date_is_measured_from_the_answers_own() {
        let mut headers = HeaderMap::new();
        assert_eq!(from_answer(&headers), None);
        headers.insert(RETRY_AFTER, HeaderValue::from_static("Sun, 06 Nov 1994 08:50:07 GMT"));
        assert_eq!(from_answer(&headers), Some(Duration::ZERO), "it is past by any clock");
        headers.insert(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(from_answer(&headers), Some(Duration::from_secs(30)));
    }
}
