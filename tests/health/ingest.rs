//! What is taken, what is refused, and what the answer says of it.

use serde_json::{Value, json};

use crate::health::world::World;

#[tokio::test]
async fn one_bad_item_fails_nothing_else() {
    let world = World::start().await;
    let body = json!({ "steps": [
        { "date": "2026-11-20", "total_steps": 1_000 },
        { "date": "2026-11-21", "total_steps": 200_001 },
        { "date": "20.11.2026", "total_steps": 1 },
        { "date": "2026-11-22", "total_steps": "NaN" },
        { "date": "2026-11-23", "total_steps": 3_000 },
    ] });
    let answer = world.phone.post("/api/v1/ingest/steps", &body).await.expect(207);
    assert_eq!((&answer["processed"], &answer["total"]), (&json!(2), &json!(5)));
    let faults = answer["errors"].as_array().unwrap();
    let named: Vec<_> = faults
        .iter()
        .map(|fault| {
            assert_eq!(fault["list"], "steps");
            assert!(!fault["reason"].as_str().unwrap().is_empty());
            (fault["index"].as_u64().unwrap(), fault["field"].as_str().unwrap())
        })
        .collect();
    assert_eq!(named, [(1, "total_steps"), (2, "date"), (3, "total_steps")]);
    assert_eq!(world.list("entries").await.len(), 2);
}

#[tokio::test]
async fn where_nothing_is_stored_the_call_is_refused() {
    let world = World::start().await;
    let path = "/api/v1/ingest/steps";
    let body = r#"{"steps": [{"date": "2026-11-20", "total_steps": 1e400}]}"#;
    let error = world.phone.post_text(path, body).await.expect_error(422, "invalid");
    assert_eq!(error["details"][0]["field"], "steps[0].total_steps");
    let nan = r#"{"steps": [{"date": "2026-11-20", "total_steps": NaN}]}"#;
    world.phone.post_text(path, nan).await.expect_error(400, "malformed");
    let zero = r#"{"steps": [{"date": "2026-11-20", "total_steps": 1, "x": "\u0000"}]}"#;
    world.phone.post_text(path, zero).await.expect_error(422, "invalid");
    for body in [json!({}), json!({ "steps": [] }), json!({ "steps": 5 })] {
        let error = world.phone.post(path, &body).await.expect_error(422, "invalid");
        assert_eq!(error["details"][0]["field"], "steps", "{error}");
    }
    let many: Vec<Value> =
        (0..501).map(|_| json!({ "date": "2026-11-20", "total_steps": 1 })).collect();
    let error = world.phone.post(path, &json!({ "steps": many })).await;
    assert_eq!(error.expect_error(422, "invalid")["details"][0]["field"], "steps");
    world.phone.post_text(path, "[]").await.expect_error(422, "invalid");
    assert_eq!(world.list("entries").await.len(), 0);
}

#[tokio::test]
async fn zuralogs_apps_are_told_how_many_of_each_kind() {
    let world = World::start().await;
    let body = json!({
        "source": "apple_health",
        "workouts": [{
            "original_id": "w1", "activity_type": "running", "duration_seconds": 1_800,
            "distance_meters": 5_000, "calories": 300, "start_time": "2026-11-25T07:00:00Z",
        }],
        "sleep": [{ "date": "2026-11-25", "hours": 7.5, "quality_score": 80 }],
        "nutrition": [{ "date": "2026-11-25", "calories": 2_100, "protein_grams": 120 }],
        "weight": [{ "date": "2026-11-25", "weight_kg": 81.5 }],
        "daily_metrics": [{ "date": "2026-11-25", "steps": 9_000, "hrv_ms": 55 }],
    });
    let answer = world.phone.post("/api/v1/health/ingest", &body).await.expect(200);
    let counts = json!({
        "workouts": 1, "sleep": 1, "nutrition": 1, "weight": 1, "daily_metrics": 1,
    });
    assert_eq!(answer["counts"], counts);
    assert_eq!(answer["message"], "5 of 5 items are stored");
    assert_eq!(world.list("activities").await[0]["end"], "2026-11-25T07:30:00.000Z");
    assert_eq!(world.list("sleep").await[0]["total_sleep_minutes"], 450);
    let day = world.day("2026-11-25").await;
    assert_eq!((&day["protein_g"], &day["hrv_sdnn_ms"]), (&json!(120), &json!(55)));
}

#[tokio::test]
async fn figures_tell_what_became_of_items() {
    let world = World::start().await;
    let steps = |steps: Value| json!({ "steps": steps });
    let day =
        |day: u32, count: u32| json!({ "date": format!("2026-11-{day}"), "total_steps": count });
    let path = "/api/v1/ingest/steps";
    let bodies = [
        (steps(json!([day(20, 1), day(21, 1), day(22, 1)])), 200),
        (steps(json!([day(20, 2), day(21, 1), day(22, 200_001)])), 207),
        (steps(json!([day(31, 1)])), 422),
    ];
    for (body, status) in &bodies {
        world.phone.post(path, body).await.expect(*status);
    }
    let export = json!({ "data": { "metrics": [
        { "name": "time_in_daylight", "units": "min", "data": [
            { "date": "2026-11-20 09:00:00 +0100", "qty": 4 },
            { "date": "2026-11-20 10:00:00 +0100", "qty": 5 },
        ] },
    ] } });
    world.ingest("health-auto-export", export.clone()).await;
    let figures = world.coach.get("/metrics").await;
    let figure = |name: &str| {
        let line = figures.text().lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name}")).parse::<usize>().unwrap()
    };
    let items =
        |result: &str| figure(&format!("tidegate_health_items_total{{result=\"{result}\"}}"));
    assert_eq!((items("created"), items("updated"), items("unchanged")), (3, 1, 1));
    assert_eq!((items("refused"), items("ignored")), (2, 2));
    let bytes =
        bodies.iter().map(|(body, _)| body).chain([&export]).map(|body| body.to_string().len());
    assert_eq!(figure("tidegate_health_body_bytes_total"), bytes.sum::<usize>());
    assert_eq!(figure("tidegate_health_read_seconds_count"), 4);
    assert_eq!(figure("tidegate_health_ingest_seconds_count"), 4);
}
