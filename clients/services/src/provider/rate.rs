//! What answers say about rates. Header names come in any case.

use std::time::Duration;

use reqwest::header::HeaderMap;
use tidegate_protocol::time::Timestamp;

use crate::limits::PROVIDER_WAIT_MAX;
use crate::provider::Provider;

const QUARTER_MS: i64 = 15 * 60 * 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What the rate headers said; empty where there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// By window.
    pub windows: Vec<WindowUsage>,
}

/// A window of time, and what is used of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowUsage {
    /// Strava: `read_15m`, `read_day`, `all_15m`, `all_day`, of the
    /// application; Fitbit: `user_hour`; Oura: `app_5m`.
    pub window: &'static str,
    /// Requests that it allows.
    pub limit: u64,
    /// Requests that were made.
    pub used: u64,
    /// How long until it begins anew.
    pub resets_in: Option<Duration>,
}

impl WindowUsage {
    /// Requests that are left.
    pub const fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// Reads the headers of a provider. `is_limited`: the answer is a 429.
pub(super) fn usage(
    provider: Provider,
    headers: &HeaderMap,
    is_limited: bool,
    now: Timestamp,
) -> Usage {
    let windows = match provider {
        Provider::Strava => strava(headers, now),
        Provider::GoogleHealth => Vec::new(),
        Provider::Oura => {
            remaining(headers, "x-ratelimit", "app_5m", is_limited, now).into_iter().collect()
        }
        Provider::Fitbit => remaining(headers, "fitbit-rate-limit", "user_hour", is_limited, now)
            .into_iter()
            .collect(),
    };
    Usage { windows }
}

fn strava(headers: &HeaderMap, now: Timestamp) -> Vec<WindowUsage> {
    let mut windows = Vec::new();
    for (name, quarter, day) in
        [("x-readratelimit", "read_15m", "read_day"), ("x-ratelimit", "all_15m", "all_day")]
    {
        let limits = pair(headers, &format!("{name}-limit"));
        let used = pair(headers, &format!("{name}-usage"));
        let (Some(limits), Some(used)) = (limits, used) else { continue };
        let window = |window, index: usize, length_ms| WindowUsage {
            window,
            limit: limits[index],
            used: used[index],
            resets_in: Some(until_multiple(now, length_ms)),
        };
        windows.extend([window(quarter, 0, QUARTER_MS), window(day, 1, DAY_MS)]);
    }
    windows
}

/// A limit, what remains of it and when it resets. Who names no remainder has
/// used all of it when it refuses, and else says nothing.
fn remaining(
    headers: &HeaderMap,
    name: &str,
    window: &'static str,
    is_limited: bool,
    now: Timestamp,
) -> Option<WindowUsage> {
    let number = |part: &str| text(headers, &format!("{name}-{part}"))?.parse::<u64>().ok();
    let limit = number("limit")?;
    let left = if is_limited { Some(0) } else { number("remaining") };
    let resets_in = number("reset").map(|reset| {
        // A count of seconds, or the second it happens.
        let now_s = u64::try_from(now.millis() / 1000).unwrap_or_default();
        let seconds =
            if reset > PROVIDER_WAIT_MAX.as_secs() { reset.saturating_sub(now_s) } else { reset };
        Duration::from_secs(seconds).min(PROVIDER_WAIT_MAX)
    });
    Some(WindowUsage { window, limit, used: limit.saturating_sub(left?), resets_in })
}

fn pair(headers: &HeaderMap, name: &str) -> Option<[u64; 2]> {
    let (first, second) = text(headers, name)?.split_once(',')?;
    Some([first.trim().parse().ok()?, second.trim().parse().ok()?])
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn until_multiple(now: Timestamp, length_ms: i64) -> Duration {
    let left_ms = length_ms - now.millis().rem_euclid(length_ms);
    Duration::from_millis(u64::try_from(left_ms).unwrap_or_default())
}
