//! Exporters' own formats: windows that overlap and follow each other, days that
//! daylight saving makes longer, and travellers.

use serde_json::{Value, json};

use crate::health::world::World;

/// Points of an hour each, as Health Auto Export writes them.
fn steps(points: &[(&str, u32)]) -> Value {
    let point = |(date, qty): &(&str, u32)| json!({ "date": date, "qty": qty, "source": "Watch" });
    let data: Vec<Value> = points.iter().map(point).collect();
    json!({ "data": { "metrics": [{ "name": "step_count", "units": "count", "data": data }] } })
}

#[tokio::test]
async fn windows_that_overlap_count_once_and_those_that_follow_add_up() {
    let world = World::start().await;
    let hour = |hour: u32| format!("2026-11-25 {hour:02}:00:00 +0100");
    let hours: Vec<String> = (0..24).map(hour).collect();
    let window = |from: usize, to: usize| -> Value {
        let points: Vec<(&str, u32)> =
            hours[from..to].iter().map(|at| (at.as_str(), 100)).collect();
        steps(&points)
    };
    let first = world.ingest("health-auto-export", window(0, 12)).await;
    assert_eq!((&first["processed"], &first["created"]), (&json!(12), &json!(12)));
    assert_eq!(world.day("2026-11-25").await["steps"], 1_200);
    world.ingest("health-auto-export", window(10, 24)).await;
    assert_eq!(world.day("2026-11-25").await["steps"], 2_400);
    let again = world.ingest("health-auto-export", window(0, 24)).await;
    assert_eq!((&again["unchanged"], &again["updated"]), (&json!(24), &json!(0)));
    // An hour is corrected.
    world.ingest("health-auto-export", steps(&[(&hours[3], 150)])).await;
    let day = world.day("2026-11-25").await;
    assert_eq!((&day["steps"], &day["version"]), (&json!(2_450), &json!(3)));
}

/// A day of 25 hours, one of 23, and one spent in two zones keep their sums.
#[tokio::test]
async fn daylight_saving_and_travel_days_keep_their_sums() {
    let world = World::start().await;
    // Berlin, 25 October 2026: the hour from two to three comes twice.
    let mut autumn = vec![("2026-10-25 02:30:00 +0200", 10), ("2026-10-25 02:30:00 +0100", 20)];
    autumn.extend([("2026-10-25 00:00:00 +0200", 1), ("2026-10-25 23:59:00 +0100", 2)]);
    world.ingest("health-auto-export", steps(&autumn)).await;
    assert_eq!(world.day("2026-10-25").await["steps"], 33);
    // 29 March 2026: it never comes.
    let spring = [("2026-03-29 01:59:00 +0100", 5), ("2026-03-29 03:00:00 +0200", 6)];
    world.ingest("health-auto-export", steps(&spring)).await;
    assert_eq!(world.day("2026-03-29").await["steps"], 11);
    // From Tokyo to Honolulu: the same date twice over, 43 hours of it.
    let travel = [("2026-11-20 09:00:00 +0900", 7), ("2026-11-20 22:00:00 -1000", 8)];
    world.ingest("health-auto-export", steps(&travel)).await;
    assert_eq!(world.day("2026-11-20").await["steps"], 15);
    let dates: Vec<Value> =
        world.list("entries").await.iter().map(|day| day["date"].clone()).collect();
    assert_eq!(dates, ["2026-11-20", "2026-10-25", "2026-03-29"]);
}

#[tokio::test]
async fn of_two_origins_the_one_that_counted_more_counts() {
    let world = World::start().await;
    let record = |start: u32, count: u32, origin: &str| {
        json!({
            "count": count,
            "start_time": format!("2026-11-25T{start:02}:00:00Z"),
            "end_time": format!("2026-11-25T{start:02}:30:00Z"),
            "metadata": { "data_origin": origin, "recording_method": 2 },
        })
    };
    let phone = "com.google.android.apps.fitness";
    let watch = "com.example.watch";
    let body = |steps: Vec<Value>| json!({ "timestamp": "2026-11-25T21:00:00Z", "steps": steps });
    world.ingest("hc-webhook", body(vec![record(8, 900, phone), record(8, 1_000, watch)])).await;
    assert_eq!(world.day("2026-11-25").await["steps"], 1_000);
    // The next push brings only what is new, of one of them.
    world.ingest("hc-webhook", body(vec![record(9, 500, phone)])).await;
    let day = world.day("2026-11-25").await;
    assert_eq!(day["steps"], 1_400);
    assert_eq!(day["field_sources"]["steps"]["source"], "health_connect");
}

#[tokio::test]
async fn other_formats_are_not_known_and_unknown_names_are_counted() {
    let world = World::start().await;
    world.phone.post("/api/v1/ingest/csv", &json!({})).await.expect_error(404, "not_found");
    let body = json!({ "data": { "metrics": [
        { "name": "walking_asymmetry", "units": "%", "data": [{ "date": "2026-11-25 08:00:00 +0100", "qty": 1 }] },
        { "name": "step_count", "units": "steps in another language", "data": [] },
    ] } });
    let answer = world.ingest("health-auto-export", body).await;
    assert_eq!((&answer["processed"], &answer["ignored"]), (&json!(0), &json!(1)));
    let wrong = json!({ "data": { "metrics": [
        { "name": "weight_body_mass", "units": "pud", "data": [{ "date": "2026-11-25 08:00:00 +0100", "qty": 5 }] },
    ] } });
    let error = world.phone.post("/api/v1/ingest/health-auto-export", &wrong).await;
    let error = error.expect_error(422, "invalid");
    assert!(
        error["details"][0]["field"].as_str().unwrap().starts_with("weight_body_mass[0]"),
        "{error}"
    );
}
