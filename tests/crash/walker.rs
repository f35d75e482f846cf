//! A sender of health data under trouble: it says each thing until it is taken,
//! and what it says again makes nothing twice.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tidegate_protocol::entry::kind;
use tokio_util::sync::CancellationToken;

use crate::crash::load::{Load, Said};
use crate::seed;

/// A user without devices.
pub(super) const USER: &str = "walker";

/// Between two calls, at most.
const PAUSE_MS: u64 = 30;

/// Sends until `end`: a workout and a day, under a number.
pub(super) async fn live(load: &Load, seed: u64, end: &CancellationToken) -> Result<(), String> {
    let mut rng = seed::rng(seed);
    while !end.is_cancelled() {
        let number = load.walks().len();
        let body = walk(number);
        let path = format!("/api/v1/health/ingest?user_id={USER}");
        match load.send(load.request(Method::POST, &path, None).json(&body)).await? {
            Said::Answered(StatusCode::OK, text) if text.contains(r#""processed":2"#) => {
                load.walks().push(number);
            }
            Said::Answered(status, text) => return Err(format!("{status}: {text}")),
            // The same again.
            Said::Refused | Said::Cut => {}
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..PAUSE_MS))).await;
    }
    Ok(())
}

/// Each on a day of its own.
fn date(number: usize) -> String {
    format!("{}-{:02}-{:02}", 2000 + number / 336, number / 28 % 12 + 1, number % 28 + 1)
}

fn walk(number: usize) -> Value {
    let date = date(number);
    json!({
        "source": "apple_health",
        "workouts": [{
            "original_id": number.to_string(), "activity_type": "walking", "calories": 100,
            "duration_seconds": 1_800, "start_time": format!("{date}T07:00:00Z"),
        }],
        "daily_metrics": [{ "date": date, "steps": number }],
    })
}

/// Everything taken is told of, once.
pub(super) fn check<'a>(
    load: &Load,
    told: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), String> {
    let mut times: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (kind, body) in told {
        let body: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
        let name = body.get("source_id").unwrap_or(&body["date"]).as_str().unwrap_or_default();
        *times.entry((kind.to_owned(), name.to_owned())).or_default() += 1;
    }
    if let Some(((kind, name), times)) = times.iter().find(|(_, times)| **times != 1) {
        return Err(format!("{kind} {name} of {USER} is told {times} times"));
    }
    for number in load.walks().iter() {
        for (kind, name) in
            [(kind::ACTIVITY, number.to_string()), (kind::DAILY_ENTRY, date(*number))]
        {
            if !times.contains_key(&(kind.to_owned(), name.clone())) {
                return Err(format!("{kind} {name} of {USER} was taken, and is not there"));
            }
        }
    }
    Ok(())
}
