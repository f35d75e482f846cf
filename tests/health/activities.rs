//! Workouts: one row for each report, one shown for each workout.

use serde_json::{Value, json};

use crate::health::world::{USER, World, run};

/// A run by the watch and by another app, both brought in by the phone.
fn reports() -> [Value; 2] {
    let by = |source: &str, workout: Value| json!({ "source": source, "workouts": [workout] });
    [
        by("apple_health", run("2026-11-25T07:00:00+01:00", "2026-11-25T07:30:00+01:00")),
        by("health_connect", run("2026-11-25T06:01:00Z", "2026-11-25T06:31:00Z")),
    ]
}

#[tokio::test]
async fn a_run_recorded_twice_appears_once_whichever_came_first() {
    for order in [[0, 1], [1, 0]] {
        let world = World::start().await;
        let reports = reports();
        for at in order {
            assert_eq!(world.ingest("workouts", reports[at].clone()).await["created"], 1);
        }
        let shown = world.list("activities").await;
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[0]["source"], "apple_health", "of two alike the first by name");
        assert_eq!(shown[0]["activity_type"], "RUN");
        assert_eq!(shown[0]["date"], "2026-11-25");
        let all = world.list("activities?canonical=false").await;
        assert_eq!(all.len(), 2);
        let hidden = all.iter().find(|one| one["source"] == "health_connect").unwrap();
        assert_eq!(hidden["duplicate_of"], shown[0]["id"]);
        let id = shown[0]["id"].as_str().unwrap();
        let whole = world.phone.get(&format!("/api/v1/activities/{id}")).await.expect(200);
        assert_eq!(whole["members"], json!([hidden["id"]]));
        assert_eq!(whole["raw"]["workout_type"], "running");
    }
}

#[tokio::test]
async fn deleting_one_promotes_the_other_and_it_does_not_return() {
    let world = World::start().await;
    for report in reports() {
        world.ingest("workouts", report).await;
    }
    let shown = world.list("activities").await;
    let path = format!("/api/v1/activities/{}", shown[0]["id"].as_str().unwrap());
    assert_eq!(world.phone.delete(&path).await.status, 204);
    world.phone.delete(&path).await.expect_error(404, "not_found");
    world.phone.get(&path).await.expect_error(404, "not_found");
    let shown = world.list("activities").await;
    assert_eq!((shown.len(), &shown[0]["source"]), (1, &json!("health_connect")));
    assert_eq!(shown[0].get("duplicate_of"), None);
    let [first, _] = reports();
    assert_eq!(world.ingest("workouts", first).await["unchanged"], 1);
    assert_eq!(world.list("activities?canonical=false").await.len(), 1);
}

#[tokio::test]
async fn what_a_source_deletes_returns_when_it_is_sent_again() {
    let world = World::start().await;
    let mut workout = run("2026-11-25T07:00:00Z", "2026-11-25T07:30:00Z");
    workout["source_id"] = json!(98_765_432_123_456_789_u64);
    let body = json!({ "workouts": [workout] });
    world.ingest("workouts", body.clone()).await;
    let shown = world.list("activities").await;
    assert_eq!(shown[0]["source_id"], "98765432123456789");
    let gone = world.ingest("workouts", json!({ "deleted": ["98765432123456789"] })).await;
    assert_eq!((&gone["updated"], &gone["total"]), (&json!(1), &json!(1)));
    assert_eq!(world.list("activities").await.len(), 0);
    assert_eq!(world.ingest("workouts", body).await["updated"], 1);
    assert_eq!(world.list("activities").await[0]["version"], 3);
}

/// What a phone wrote for us and reports as its own is one activity, whoever
/// reports it, and only for the user whose command it was.
#[tokio::test]
async fn what_a_command_made_a_phone_write_is_known_again() {
    let world = World::start().await;
    let value = json!({ "workout_type": "running", "duration_seconds": 1_800 });
    let command = json!({ "user_id": USER, "data_type": "workout", "value": value });
    let command_id = world.coach.make_with(&command).await;
    let mut workout = run("2026-11-25T07:00:00Z", "2026-11-25T07:30:00Z");
    workout["external_id"] = json!(command_id);
    for (source, fate) in [("apple_health", "created"), ("health_connect", "unchanged")] {
        workout["source_id"] = json!(format!("of {source}"));
        let body = json!({ "source": source, "workouts": [workout] });
        assert_eq!(world.ingest("workouts", body).await[fate], 1);
    }
    assert_eq!(world.list("activities?canonical=false").await.len(), 1);
    let foreign = crate::support::Token::device("u2").sign();
    let foreign = world.gateway.caller("other", &foreign).quiet();
    let body = json!({ "workouts": [workout] });
    foreign.post("/api/v1/ingest/workouts", &body).await.expect(200);
    let theirs = foreign.get("/api/v1/activities").await.expect(200);
    assert_eq!(theirs["items"][0]["source_id"], "of health_connect");
}

#[tokio::test]
async fn lists_are_paged_filtered_and_tagged() {
    let world = World::start().await;
    let workout = |day: u32| {
        run(&format!("2026-11-{day:02}T07:00:00Z"), &format!("2026-11-{day:02}T07:30:00Z"))
    };
    let workouts: Vec<Value> = (1..=9).map(workout).collect();
    world.ingest("workouts", json!({ "workouts": workouts })).await;
    let (mut dates, mut path) = (Vec::new(), "/api/v1/activities?limit=4".to_owned());
    loop {
        let page = world.phone.get(&path).await.expect(200);
        for item in page["items"].as_array().unwrap() {
            dates.push(item["date"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/activities?limit=4&cursor={next}");
    }
    let expected: Vec<String> = (1..=9).rev().map(|day| format!("2026-11-{day:02}")).collect();
    assert_eq!(dates, expected);
    let some = world.list("activities?from=2026-11-03&to=2026-11-05&source=healthkit").await;
    assert_eq!(some.len(), 3);
    assert_eq!(world.list("activities?source=strava").await.len(), 0);
    for wrong in
        ["from=2026-11-05&to=2026-11-03", "from=yesterday", "source=me", "cursor=x", "canonical=1"]
    {
        let path = format!("/api/v1/activities?{wrong}");
        world.phone.get(&path).await.expect_error(422, "invalid");
    }
    let answer = world.phone.get("/api/v1/activities").await;
    let tag = answer.header("etag").unwrap().to_owned();
    let again = world.phone.clone().with_header("if-none-match", &tag);
    assert_eq!(again.get("/api/v1/activities").await.status, 304);
}

/// Reports `G1`, `G2`, … of a workout that a command made a phone write.
fn report(command_id: Option<&str>, source_id: &str) -> Value {
    let mut workout = run("2026-11-25T07:00:00Z", "2026-11-25T07:30:00Z");
    workout["source_id"] = json!(source_id);
    if let Some(command_id) = command_id {
        workout["external_id"] = json!(command_id);
    }
    json!({ "workouts": [workout] })
}

/// With the command's id or without it, first or later, under one id or another: it
/// is one activity, and its source deletes it.
#[tokio::test]
async fn a_command_is_one_activity_whichever_way_it_is_told_of() {
    for reports in [["C G1", "G1"], ["G1", "C G1"], ["C G1", "C G2"], ["C G2", "c G2"]] {
        let world = World::start().await;
        let command = json!({ "user_id": USER, "data_type": "workout", "value": {} });
        let command_id = world.coach.make_with(&command).await;
        let upper = command_id.to_uppercase();
        let body = |text: &str| match text.split_once(' ') {
            Some(("c", id)) => report(Some(&upper), id),
            Some((_, id)) => report(Some(&command_id), id),
            None => report(None, text),
        };
        assert_eq!(world.ingest("workouts", body(reports[0])).await["created"], 1);
        for again in [1, 0, 1] {
            let answer = world.ingest("workouts", body(reports[again])).await;
            assert_eq!(answer["unchanged"], 1, "{reports:?}: {answer}");
        }
        let all = world.list("activities?canonical=false").await;
        assert_eq!((all.len(), &all[0]["version"]), (1, &json!(1)), "{reports:?}");
        let last = reports[1].rsplit(' ').next().unwrap();
        let gone = world.ingest("workouts", json!({ "deleted": [last] })).await;
        assert_eq!(gone["updated"], 1, "{reports:?}");
        assert_eq!(world.list("activities").await.len(), 0);
    }
}

/// Told apart at first, they become one: the later of the two rows goes.
#[tokio::test]
async fn two_that_turn_out_to_be_one_command_become_one() {
    let world = World::start().await;
    let command = json!({ "user_id": USER, "data_type": "workout", "value": {} });
    let command_id = world.coach.make_with(&command).await;
    world.ingest("workouts", report(None, "G1")).await;
    world.ingest("workouts", report(Some(&command_id), "G2")).await;
    assert_eq!(world.list("activities?canonical=false").await.len(), 2);
    world.ingest("workouts", report(Some(&command_id), "G1")).await;
    assert_eq!(world.list("activities?canonical=false").await.len(), 1);
}
