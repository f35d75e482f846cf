//! When runs are due: each integration at its own moment of the interval, so that
//! all of them are spread over it.

use sha2::{Digest as _, Sha256};

/// When an integration is due next: at its own moment, at least half an interval
/// from now, all in milliseconds.
pub(super) fn next_due(user_id: &str, provider: &str, interval_ms: i64, now: i64) -> i64 {
    let interval_ms = interval_ms.max(1);
    let moment = moment(user_id, provider).rem_euclid(interval_ms);
    let earliest = now.saturating_add(interval_ms / 2);
    let into = (earliest - moment).rem_euclid(interval_ms);
    if into == 0 { earliest } else { earliest.saturating_add(interval_ms - into) }
}

/// A number that is always the same for an integration, and any for others.
fn moment(user_id: &str, provider: &str) -> i64 {
    let mut hash = Sha256::new();
    hash.update(provider);
    hash.update([0]);
    hash.update(user_id);
    let bytes = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&bytes[..8]);
    i64::from_be_bytes(first) & i64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: i64 = 900_000;

    #[test]
    fn each_integration_keeps_its_moment() {
        let first = next_due("ana", "strava", INTERVAL, 1_000_000_000);
        let mut now = first;
        for _ in 0..100 {
            let next = next_due("ana", "strava", INTERVAL, now);
            assert_eq!(next - now, INTERVAL);
            // The run itself took a while.
            now = next;
            assert_eq!(next_due("ana", "strava", INTERVAL, now + 60_000), next + INTERVAL);
        }
        let soon = next_due("ana", "strava", INTERVAL, first - 1);
        assert!(soon >= first - 1 + INTERVAL / 2);
    }

    #[test]
    fn integrations_are_spread_over_the_interval() {
        let mut parts = [0; 10];
        for user in 0..1_000 {
            let due = next_due(&format!("user{user}"), "strava", INTERVAL, 0);
            assert!((INTERVAL / 2..INTERVAL * 3 / 2).contains(&due), "{due}");
            parts[usize::try_from(due.rem_euclid(INTERVAL) * 10 / INTERVAL).unwrap()] += 1;
        }
        assert!(parts.iter().all(|part| (60..=140).contains(part)), "{parts:?}");
    }
}
