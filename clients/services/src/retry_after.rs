//! The `Retry-After` header of services, within bounds. Never waits; it only
//! says how long.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use tidegate_clock::Clock;
use tidegate_protocol::retry_after;

use crate::limits::RETRY_AFTER_MAX;

/// How long the answer asks to wait, at most [`RETRY_AFTER_MAX`]. `None` when
/// it does not say, or says it in a form that cannot be read. A date in the
/// past means zero. A date is measured from the answer's own `Date` where it
/// has one: our clock may be wrong.
pub fn from_headers(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    within(headers, clock, RETRY_AFTER_MAX)
}

/// As [`from_headers`], with another bound.
pub(crate) fn within(headers: &HeaderMap, clock: &Clock, longest: Duration) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let sent = || text(DATE).and_then(retry_after::date).or_else(|| Some(clock.now()));
    Some(retry_after::wait(text(RETRY_AFTER)?, sent)?.min(longest))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use tidegate_protocol::time::Timestamp;

    use super::*;

    #[test]
    fn our_own_clock_counts_only_where_the_answer_has_none() {
        let wrong = Clock::standing(Timestamp::from_millis(0)).0;
        let value = |text| HeaderValue::from_static(text);
        let mut headers = HeaderMap::new();
        assert_eq!(from_headers(&headers, &wrong), None);
        headers.insert(RETRY_AFTER, value("Sun, 06 Nov 1994 08:50:07 GMT"));
        assert_eq!(from_headers(&headers, &wrong), Some(RETRY_AFTER_MAX));
        headers.insert(DATE, value("today"));
        assert_eq!(from_headers(&headers, &wrong), Some(RETRY_AFTER_MAX));
        headers.insert(DATE, value("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(from_headers(&headers, &wrong), Some(Duration::from_secs(30)));
        headers.insert(RETRY_AFTER, value("99999999999999999999999"));
        assert_eq!(from_headers(&headers, &wrong), Some(RETRY_AFTER_MAX));
    }
}
