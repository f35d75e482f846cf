//! What devices are told.

use serde_json::{Value, json};

use crate::health::world::{USER, World, run};

fn bodies(frame: &Value) -> Vec<(String, Value)> {
    let entries = frame["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| (entry["kind"].as_str().unwrap().to_owned(), entry["body"].clone()))
        .collect()
}

#[tokio::test]
async fn each_changed_row_is_one_entry_and_the_snapshot_holds_them() {
    let world = World::start().await;
    let device = world.gateway.device("phone", USER);
    let mut socket = device.open().await;
    let body = json!({
        "workouts": [{
            "original_id": "w1", "activity_type": "running", "duration_seconds": 1_800,
            "calories": 300, "start_time": "2026-11-25T07:00:00Z",
        }],
        "sleep": [{ "date": "2026-11-25", "hours": 7.5 }],
        "weight": [{ "date": "2026-11-25", "weight_kg": 81.5 }],
        "daily_metrics": [{ "date": "2026-11-25", "steps": 9_000 }],
    });
    world.phone.post("/api/v1/health/ingest", &body).await.expect(200);
    let told = bodies(&socket.expect("events").await);
    let kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["daily_entry", "sleep", "activity"]);
    assert_eq!(told[0].1, world.day("2026-11-25").await);
    assert_eq!(told[1].1["op"], "put");
    let mut shown = world.list("activities").await.remove(0);
    shown["op"] = json!("put");
    assert_eq!(told[2].1, shown);
    let path = format!("/api/v1/activities/{}", shown["id"].as_str().unwrap());
    assert_eq!(world.phone.delete(&path).await.status, 204);
    let gone = bodies(&socket.expect("events").await);
    let expected = json!({ "id": shown["id"], "version": 2, "op": "delete" });
    assert_eq!(gone, [("activity".to_owned(), expected)]);
    let old = run("2026-01-05T07:00:00Z", "2026-01-05T07:30:00Z");
    world.ingest("workouts", json!({ "workouts": [old] })).await;
    let tablet = world.gateway.device("tablet", USER);
    let (mut later, _) = tablet.open_with(&tablet.hello()).await;
    let items = later.snapshot().await;
    let items: Vec<&str> = items.iter().map(|item| item["kind"].as_str().unwrap()).collect();
    assert_eq!(items, ["daily_entry", "sleep"], "what is gone or old is not current");
}

/// Two reports of one run: the second is told with what it is a duplicate of.
#[tokio::test]
async fn a_duplicate_is_told_as_one() {
    let world = World::start().await;
    let mut socket = world.gateway.device("phone", USER).open().await;
    let body = |source: &str| {
        let workout = run("2026-11-25T07:00:00Z", "2026-11-25T07:30:00Z");
        json!({ "source": source, "workouts": [workout] })
    };
    world.ingest("workouts", body("health_connect")).await;
    socket.expect("events").await;
    world.ingest("workouts", body("apple_health")).await;
    let told = bodies(&socket.expect("events").await);
    assert_eq!(told.len(), 2, "the newcomer is shown, the other hidden: {told:?}");
    let (hidden, shown): (Vec<_>, Vec<_>) =
        told.iter().partition(|(_, body)| body.get("duplicate_of").is_some());
    assert_eq!(hidden[0].1["duplicate_of"], shown[0].1["id"]);
    assert_eq!(hidden[0].1["version"], 2);
}
