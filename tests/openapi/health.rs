//! What calls about health data answer when they do their work, and refusals of
//! their own.

use reqwest::Method;
use serde_json::{Value, json};

use crate::openapi::call::{Call, Seen, caller};
use crate::support::{Caller, Gateway, Operation, Setup};

const DAY: &str = "2026-11-25";

/// The lists of an ingest call, each with an item that is taken.
fn lists(path: &str) -> Option<(&'static str, Value)> {
    let what = path.strip_prefix("/api/v1/")?;
    Some(match what {
        "ingest/steps" => ("steps", json!({ "date": DAY, "total_steps": 4_000 })),
        "ingest/sleep" => ("sleep_records", json!({ "date": DAY, "total_sleep_minutes": 420 })),
        "ingest/workouts" => (
            "workouts",
            json!({
                "workout_type": 37, "source_id": 98_765,
                "start_time": "2026-11-25T07:00:00Z", "end_time": "2026-11-25T07:30:00Z",
            }),
        ),
        "ingest/profile" => (
            "metrics",
            json!({
                "metric": "weight", "value": 82, "unit": "kg",
                "measured_at": "2026-11-25T07:00:00+01:00",
            }),
        ),
        "ingest/entry" => ("entries", json!({ "date": DAY, "stress": 3 })),
        "ingest/zuralog" | "health/ingest" => ("weight", json!({ "date": DAY, "weight_kg": 82 })),
        "ingest/{format}" => (
            "steps",
            json!({
                "count": 4_000, "start_time": "2026-11-25T07:00:00Z",
                "end_time": "2026-11-25T08:00:00Z",
            }),
        ),
        _ => return None,
    })
}

/// A body that the operation can be called with.
pub(super) fn body(operation: &Operation) -> Value {
    match (lists(operation.path), operation.path) {
        (Some((list, item)), _) => json!({ list: [item] }),
        (None, "/api/v1/profile") => json!({ "time_zone": "Europe/Berlin" }),
        (None, "/api/v1/entries/{date}") => json!({ "steps": 5_000 }),
        _ => panic!("write down a body for {}", operation.name()),
    }
}

/// Everything is taken, and then all but one item.
async fn taken_in(phone: &Caller) {
    for operation in Operation::all() {
        let Some((list, item)) = lists(operation.path) else { continue };
        Call::of(&operation).by(phone).await.expect(200);
        let some = json!({ list: [item, {}] }).to_string();
        let answer = Call::of(&operation).with_body(&some).by(phone).await.expect(207);
        assert_eq!(answer["errors"][0]["index"], 1, "{}: {answer}", operation.name());
    }
    let one = json!({ "date": DAY, "notes": "felt well" });
    phone.post("/api/v1/ingest/entry", &one).await.expect(200);
}

/// With its tag, an answer is told once.
async fn reads(phone: &Caller) -> Value {
    let activity = phone.get("/api/v1/activities").await.expect(200)["items"][0]["id"].clone();
    let activity_path = format!("/api/v1/activities/{}", activity.as_str().unwrap());
    let day = format!("/api/v1/entries/{DAY}");
    for path in [
        "/api/v1/entries",
        &day,
        "/api/v1/sleep",
        "/api/v1/activities",
        &activity_path,
        "/api/v1/profile",
    ] {
        let answer = phone.get(path).await;
        let tag = answer.header("etag").unwrap().to_owned();
        answer.expect(200);
        phone.clone().with_header("if-none-match", &tag).get(path).await.expect(304);
    }
    activity
}

async fn corrections(phone: &Caller, activity: &Value) {
    let day = format!("/api/v1/entries/{DAY}");
    let patch = async |caller: &Caller, path: &str, body: Value| {
        caller.call(Method::PATCH, path, Some(&body.to_string())).await
    };
    patch(phone, &day, json!({ "steps": 5_000 })).await.expect(200);
    patch(phone, &day, json!({ "steps": null })).await.expect(200);
    let stale = phone.clone().with_header("if-match", "\"77\"");
    let refused = patch(&stale, &day, json!({ "steps": 1 })).await;
    refused.expect_error(409, "version_conflict");
    let zone = json!({ "time_zone": "Europe/Berlin" });
    patch(phone, "/api/v1/profile", zone).await.expect(200);
    let activity = format!("/api/v1/activities/{}", activity.as_str().unwrap());
    phone.delete(&activity).await.expect(204);
    phone.delete(&activity).await.expect_error(404, "not_found");
}

/// A device speaks for its own user only.
async fn of_others(gateway: &Gateway) {
    let phone = caller(gateway, "device");
    for operation in Operation::all().into_iter().filter(|operation| operation.is_of("health")) {
        let answer = Call::of(&operation).with_query("user_id=u2").by(&phone).await;
        answer.expect_error(403, "forbidden");
    }
}

pub(super) async fn all() -> Seen {
    let gateway = Setup::new().clock_at("2026-11-26T12:00:00Z").start().await;
    let phone = caller(&gateway, "device");
    taken_in(&phone).await;
    let activity = reads(&phone).await;
    corrections(&phone, &activity).await;
    of_others(&gateway).await;
    gateway.transcript().answers()
}
