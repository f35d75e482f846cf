//! What devices are asked to write has values that their health stores take.

use serde_json::{Value, json};

use crate::health::world::{USER, World};

const PATH: &str = "/api/v1/commands";

fn command(data_type: &str, value: &Value) -> Value {
    json!({ "user_id": USER, "data_type": data_type, "value": value })
}

/// The field at fault is named in the same way wherever a command is made.
#[tokio::test]
async fn numbers_out_of_range_are_refused_by_name() {
    let world = World::start().await;
    let steps = json!({ "count": 200_001 });
    let refused = world.coach.post(PATH, &command("steps", &steps)).await;
    let error = refused.expect_error(422, "invalid");
    let details = json!([{ "field": "value.count", "reason": "a number from 0 to 200000" }]);
    assert_eq!(error["details"], details);
    let own = json!({ "data_type": "steps", "value": steps });
    let refused = world.phone.post("/api/v1/dev/trigger-write", &own).await;
    assert_eq!(refused.expect_error(422, "invalid")["details"], details);
    let rows = json!({ "commands": [
        command("steps", &steps),
        command("weight", &json!({ "value": 82.5, "unit": "kg" })),
        command("sleep", &json!({ "total_sleep_minutes": 450, "awake_minutes": -1 })),
    ] });
    let rows = world.coach.post(&format!("{PATH}/batch"), &rows).await.expect(207);
    let row = |at: usize| &rows["results"][at];
    assert_eq!((&row(0)["status"], &row(0)["error"]["details"]), (&json!(422), &details));
    assert_eq!(row(1)["status"], 202);
    assert_eq!(row(2)["error"]["details"][0]["field"], "value.awake_minutes");
    let made = world.coach.get(&format!("{PATH}?user_id={USER}")).await.expect(200);
    assert_eq!(made["items"].as_array().unwrap().len(), 1);
}

/// Types and shapes that nobody here knows are the app's own.
#[tokio::test]
async fn other_values_pass() {
    let world = World::start().await;
    for (data_type, value) in [
        ("steps", json!({ "count": "300000" })),
        ("steps", json!([{ "count": 300_000 }])),
        ("steps", json!(-1)),
        ("workout", json!({ "laps": [{ "duration_seconds": -1 }] })),
        ("hydration", json!({ "count": -1, "value": 1e300 })),
    ] {
        world.coach.post(PATH, &command(data_type, &value)).await.expect(202);
    }
}
