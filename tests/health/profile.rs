//! Where a user lives, and body metrics.

use serde_json::{Value, json};

use crate::health::world::{USER, World, patch};

#[tokio::test]
async fn the_newest_metrics_are_shown_and_a_withdrawn_one_uncovers_what_was_before() {
    let world = World::start().await;
    let metric = |name: &str, value: f64, unit: &str, at: &str| json!({ "metric": name, "value": value, "unit": unit, "measured_at": at });
    let body = json!({ "metrics": [
        metric("weight", 181.0, "lbs", "2026-11-20T08:00:00+01:00"),
        metric("weight", 81.5, "kg", "2026-11-24T08:00:00+01:00"),
        metric("height", 71.0, "inches", "2026-11-01T08:00:00+01:00"),
        metric("body_fat", 21.5, "percent", "2026-11-24T08:00:00+01:00"),
    ] });
    assert_eq!(world.ingest("profile", body).await["processed"], 4);
    let profile = world.phone.get("/api/v1/profile").await.expect(200);
    assert_eq!(profile["time_zone"], Value::Null);
    assert_eq!(
        profile["weight_kg"],
        json!({ "value": 81.5, "at": "2026-11-24T07:00:00.000Z", "source": "apple_health" })
    );
    assert_eq!(profile["height_m"]["value"], 1.803);
    assert_eq!(profile["body_fat_percentage"]["value"], 21.5);
    assert_eq!(profile.get("lean_body_mass_kg"), None);
    world.correct("2026-11-25", json!({ "weight_kg": 80 })).await.expect(200);
    let weight = world.phone.get("/api/v1/profile").await.expect(200)["weight_kg"].clone();
    assert_eq!((&weight["value"], &weight["source"]), (&json!(80), &json!("manual")));
    world.correct("2026-11-25", json!({ "weight_kg": null })).await.expect(200);
    let weight = world.phone.get("/api/v1/profile").await.expect(200)["weight_kg"].clone();
    assert_eq!(weight["value"], 81.5);
    assert_eq!(world.day("2026-11-20").await["weight_kg"], 82.1);
}

/// Days are the user's, and stay where they were when the user moves.
#[tokio::test]
async fn the_time_zone_says_which_day_a_time_without_one_belongs_to() {
    let world = World::start().await;
    let night =
        |end: &str| json!({ "sleep_records": [{ "total_sleep_minutes": 400, "sleep_end": end }] });
    world.ingest("sleep", night("2026-11-20T23:30:00Z")).await;
    let zone = json!({ "time_zone": "Europe/Berlin" });
    let changed = patch(&world.phone, "/api/v1/profile", &zone).await.expect(200);
    assert_eq!(changed["time_zone"], "Europe/Berlin");
    world.ingest("sleep", night("2026-11-22T23:30:00Z")).await;
    world.ingest("sleep", night("2026-11-24T23:30:00+00:00")).await;
    let dates: Vec<Value> =
        world.list("sleep").await.iter().map(|night| night["date"].clone()).collect();
    assert_eq!(dates, ["2026-11-24", "2026-11-23", "2026-11-20"]);
    for wrong in
        [json!({ "time_zone": "Berlin" }), json!({ "time_zone": 1 }), json!({ "zone": "UTC" })]
    {
        patch(&world.phone, "/api/v1/profile", &wrong).await.expect_error(422, "invalid");
    }
    let path = format!("/api/v1/profile?user_id={USER}");
    patch(&world.coach, &path, &json!({ "time_zone": null })).await.expect(200);
    let noted = world.gateway.audited(&format!("user:{USER}/profile")).await;
    assert_eq!(noted[0].1, "profile.change");
}

/// Days are fixed when something arrives: the same again, from another time zone, says
/// nothing new.
#[tokio::test]
async fn the_same_again_after_a_move_is_unchanged() {
    let world = World::start().await;
    let record = json!({
        "id": "r1", "type": "HKQuantityTypeIdentifierStepCount", "value": 100, "unit": "count",
        "startDate": "2026-11-02T20:00:00Z", "endDate": "2026-11-02T20:10:00Z",
    });
    let sdk = json!({ "provider": "apple", "data": { "records": [record] } });
    let hook = json!({
        "weight": [{ "kilograms": 80, "time": "2026-11-03T20:00:00Z" }],
        "sleep": [{
            "session_end_time": "2026-11-04T20:00:00Z", "duration_seconds": 25_200, "stages": [],
        }],
    });
    let workout = json!({ "workouts": [{
        "workout_type": "running", "source_id": "z",
        "start_time": "2026-11-10T20:30:00Z", "end_time": "2026-11-10T21:30:00Z",
    }] });
    let metric = json!({ "metrics": [{
        "metric": "height", "value": 1.8, "unit": "m", "measured_at": "2026-11-05T20:00:00Z",
    }] });
    let all =
        [("open-wearables", sdk), ("hc-webhook", hook), ("workouts", workout), ("profile", metric)];
    for (what, body) in &all {
        world.ingest(what, body.clone()).await;
    }
    let lists = async || {
        let entries = world.list("entries").await;
        (entries, world.list("sleep").await, world.list("activities").await)
    };
    let before = lists().await;
    let zone = json!({ "time_zone": "Asia/Tokyo" });
    patch(&world.phone, "/api/v1/profile", &zone).await.expect(200);
    for (what, body) in &all {
        let answer = world.ingest(what, body.clone()).await;
        assert_eq!(answer["unchanged"], answer["total"], "{what}: {answer}");
    }
    assert_eq!(lists().await, before);
    // What is new belongs to the new day.
    world
        .ingest(
            "profile",
            json!({ "metrics": [{
        "metric": "height", "value": 1.81, "unit": "m", "measured_at": "2026-11-05T21:00:00Z",
    }] }),
        )
        .await;
    assert_eq!(world.day("2026-11-06").await["height_m"], 1.81);
}
