//! Health data for people: one line for what a change says.

use serde::Deserialize;
use tidegate_device::handler::Change;
use tidegate_protocol::entry::health::{ActivityBody, SleepBody};
use tidegate_protocol::entry::kind;
use tidegate_protocol::rest::health::day::{CorrectDay, DailyEntry};
use tidegate_protocol::rest::health::{Activity, SleepNight};

/// What a change says; `None` for kinds that are not about health, and for bodies
/// of a gateway that is newer than this.
pub(crate) fn line(change: &Change) -> Option<String> {
    let name = match change.kind.as_str() {
        kind::DAILY_ENTRY => "day",
        kind::SLEEP => "night",
        kind::ACTIVITY => "workout",
        kind::INTEGRATION => "integration",
        _ => return None,
    };
    let id = &change.id;
    let Some(data) = &change.data else { return Some(format!("{name} {id} is gone")) };
    let said = match change.kind.as_str() {
        kind::DAILY_ENTRY => day(data.get())?,
        kind::SLEEP => match serde_json::from_str(data.get()).ok()? {
            SleepBody::Put { night, .. } => of_night(&night),
            SleepBody::Gone { .. } => return None,
        },
        kind::ACTIVITY => match serde_json::from_str(data.get()).ok()? {
            ActivityBody::Put { activity, .. } => workout(&activity),
            ActivityBody::Gone { .. } => return None,
        },
        _ => integration(data.get())?,
    };
    Some(format!("{name} {id}: {said}"))
}

/// Each field with who says it, and where a person said otherwise.
fn day(data: &str) -> Option<String> {
    let entry: DailyEntry = serde_json::from_str(data).ok()?;
    let fields: serde_json::Value = serde_json::from_str(data).ok()?;
    let mut parts = Vec::new();
    for name in CorrectDay::NAMES {
        let Some(value) = fields.get(name) else { continue };
        let source = entry.field_sources.get(*name).map_or("?", |owner| owner.source.as_str());
        let other = entry.overridden.iter().find(|other| other.field == *name);
        let other = other.map(|other| format!(", {} by {}", other.device, other.source));
        parts.push(format!("{name} {value} ({source}{})", other.unwrap_or_default()));
    }
    if parts.is_empty() {
        parts.push("nothing".to_owned());
    }
    Some(parts.join(", "))
}

fn of_night(night: &SleepNight) -> String {
    let slept = night.total_sleep_minutes.map_or_else(|| "?".to_owned(), |all| all.to_string());
    format!("{slept} min asleep ({})", night.source)
}

fn workout(activity: &Activity) -> String {
    let Activity { activity_type, sport, start, elapsed_s, source, .. } = activity;
    let minutes = elapsed_s / 60;
    let distance = activity.distance_m.as_ref().map(|distance| format!(", {distance} m"));
    let shown = activity.duplicate_of.as_ref().map(|other| format!(", the same as {other}"));
    let (distance, shown) = (distance.unwrap_or_default(), shown.unwrap_or_default());
    format!("{activity_type} ({sport}) at {start}, {minutes} min{distance} ({source}){shown}")
}

fn integration(data: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        connected: bool,
        sync_status: String,
        sync_error: Option<String>,
    }
    let body: Body = serde_json::from_str(data).ok()?;
    let connected = if body.connected { "connected" } else { "not connected" };
    let error = body.sync_error.map(|error| format!(" ({error})")).unwrap_or_default();
    Some(format!("{connected}, {}{error}", body.sync_status))
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn of(kind: &str, id: &str, data: Option<&str>) -> Option<String> {
        let data = data.map(|data| RawValue::from_string(data.to_owned()).unwrap());
        let (kind, id) = (kind.to_owned(), id.to_owned());
        line(&Change { kind, collection: String::new(), id, version: 1, data })
    }

    #[test]
    fn each_kind_has_its_line() {
        let day = r#"{"date":"2026-11-25","version":3,"steps":5000,"stress":3,
            "data_sources":["apple_health","manual"],
            "field_sources":{"steps":{"source":"manual","at":"2026-11-26T12:00:00.000Z"},
                "stress":{"source":"manual","at":"2026-11-26T12:00:00.000Z"}},
            "overridden":[{"field":"steps","manual":5000,"device":7000,"source":"apple_health"}],
            "updated_at":"2026-11-26T12:01:00.000Z"}"#;
        let night = r#"{"date":"2026-11-25","version":1,"source":"oura","canonical":true,
            "total_sleep_minutes":432,"op":"put"}"#;
        let workout = r#"{"id":"a","version":1,"source":"strava","activity_type":"RUN",
            "sport":"TrailRun","date":"2026-11-25","start":"2026-11-25T06:00:00.000Z",
            "end":"2026-11-25T06:31:00.000Z","duration_s":1800,"elapsed_s":1860,
            "distance_m":5200,"duplicate_of":"b","op":"put"}"#;
        let integration = r#"{"provider":"strava","connected":true,"sync_status":"error",
            "sync_error":"reconnect_required"}"#;
        for (kind, id, data, expected) in [
            (
                "daily_entry",
                "2026-11-25",
                day,
                "day 2026-11-25: steps 5000 (manual, 7000 by apple_health), stress 3 (manual)",
            ),
            ("sleep", "2026-11-25", night, "night 2026-11-25: 432 min asleep (oura)"),
            (
                "activity",
                "a",
                workout,
                "workout a: RUN (TrailRun) at 2026-11-25T06:00:00.000Z, 31 min, 5200 m (strava), \
                 the same as b",
            ),
            (
                "integration",
                "strava",
                integration,
                "integration strava: connected, error (reconnect_required)",
            ),
        ] {
            assert_eq!(of(kind, id, Some(data)).as_deref(), Some(expected));
        }
        assert_eq!(of("activity", "a", None).unwrap(), "workout a is gone");
        assert_eq!(of("record", "a", Some("{}")), None);
        assert_eq!(of("sleep", "a", Some("{}")), None, "of a newer gateway");
    }
}
