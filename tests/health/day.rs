//! A day's entry: who says what, whose value counts, and what a person does
//! about it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::health::world::{USER, World, patch};
use crate::support::Token;

const DATE: &str = "2026-11-25";

/// Corrected by hand, not overwritten, told on the row, and back again.
#[tokio::test]
async fn a_day_in_the_life() {
    let world = World::start().await;
    let taken = world.steps(DATE, 4_000).await;
    assert_eq!(
        taken,
        json!({
            "success": true, "processed": 1, "total": 1, "created": 1, "updated": 0,
            "unchanged": 0, "ignored": 0, "errors": [],
        })
    );
    let corrected = world.correct(DATE, json!({ "steps": 5_000 })).await.expect(200);
    assert_eq!((&corrected["steps"], &corrected["version"]), (&json!(5_000), &json!(2)));
    world.gateway.move_clock(Duration::from_mins(1));
    assert_eq!(world.steps(DATE, 7_000).await["updated"], 1);
    let day = world.day(DATE).await;
    assert_eq!(
        day,
        json!({
            "date": DATE, "version": 3, "steps": 5_000,
            "data_sources": ["apple_health", "manual"],
            "field_sources": {
                "steps": { "source": "manual", "at": "2026-11-26T12:00:00.000Z" },
            },
            "overridden": [
                { "field": "steps", "manual": 5_000, "device": 7_000, "source": "apple_health" },
            ],
            "updated_at": "2026-11-26T12:01:00.000Z",
        })
    );
    let back = world.correct(DATE, json!({ "steps": null })).await.expect(200);
    assert_eq!((&back["steps"], &back["overridden"]), (&json!(7_000), &json!([])));
    assert_eq!(back["data_sources"], json!(["apple_health", "manual"]));
}

#[tokio::test]
async fn what_says_nothing_new_makes_no_entry() {
    let world = World::start().await;
    world.steps(DATE, 4_000).await;
    world.gateway.move_clock(Duration::from_hours(1));
    assert_eq!(world.steps(DATE, 4_000).await["unchanged"], 1);
    let withdrawn = world.correct(DATE, json!({ "weight_kg": null })).await.expect(200);
    assert_eq!(withdrawn["version"], 1);
    let day = world.day(DATE).await;
    assert_eq!(day["field_sources"]["steps"]["at"], "2026-11-26T12:00:00.000Z");
}

#[tokio::test]
async fn a_correction_names_what_it_saw() {
    let world = World::start().await;
    let nothing = world.correct(DATE, json!({ "steps": null })).await;
    nothing.expect_error(404, "not_found");
    let path = format!("/api/v1/entries/{DATE}");
    let expecting = |version: &str| world.phone.clone().with_header("if-match", version);
    let body = json!({ "steps": 1 });
    let early =
        patch(&expecting("\"1\""), &path, &body).await.expect_error(409, "version_conflict");
    assert_eq!(early["details"][0]["current_version"], 0);
    let made = world.correct(DATE, json!({ "steps": 5_000 })).await;
    let tag = made.header("etag").unwrap().to_owned();
    patch(&expecting(&tag), &path, &json!({ "steps": 6_000 })).await.expect(200);
    let late = patch(&expecting(&tag), &path, &json!({ "steps": 7_000 })).await;
    assert_eq!(late.expect_error(409, "version_conflict")["details"][0]["current_version"], 2);
    assert_eq!(world.day(DATE).await["steps"], 6_000);
}

#[tokio::test]
async fn wrong_corrections_name_the_field() {
    let world = World::start().await;
    for (fields, field) in [
        (json!({ "steps": 200_001 }), "steps"),
        (json!({ "steps": "many" }), "steps"),
        (json!({ "naps": 1 }), "naps"),
        (json!({ "notes": 5 }), "notes"),
        (json!({ "weight_kg": 0 }), "weight_kg"),
        (json!({ "sleep_quality": 0.4 }), "sleep_quality"),
        (json!({ "notes": "x".repeat(2_001) }), "notes"),
    ] {
        let error = world.correct(DATE, fields).await.expect_error(422, "invalid");
        assert_eq!(error["details"][0]["field"], field, "{error}");
    }
    world.correct(DATE, json!({})).await.expect_error(422, "invalid");
    world.correct("2026-11-28", json!({ "steps": 1 })).await.expect_error(422, "invalid");
    world.correct("yesterday", json!({ "steps": 1 })).await.expect_error(422, "invalid");
    // It is tomorrow already, in the far east.
    world.correct("2026-11-27", json!({ "steps": 1 })).await.expect(200);
}

/// A coach corrects for the user; that is noted, with the names of the fields only.
#[tokio::test]
async fn a_coach_corrects_for_a_user() {
    let world = World::start().await;
    world.steps(DATE, 4_000).await;
    let path = format!("/api/v1/entries/{DATE}?user_id={USER}");
    let body = json!({ "steps": 5_000, "notes": "felt well" });
    patch(&world.coach, &path, &body).await.expect(200);
    patch(&world.coach, &path, &json!({ "notes": null })).await.expect(200);
    assert_eq!(world.day(DATE).await["steps"], 5_000);
    let subject = format!("user:{USER}/entry:{DATE}");
    let noted = world.gateway.audited(&subject).await;
    assert_eq!(
        noted,
        [
            (
                "coach".to_owned(),
                "entry.override".to_owned(),
                json!({ "fields": ["steps", "notes"] })
            ),
            ("coach".to_owned(), "entry.withdraw".to_owned(), json!({ "fields": ["notes"] })),
        ]
    );
    world.coach.get("/api/v1/entries").await.expect_error(422, "invalid");
    let foreign = world.gateway.caller("other", &Token::device("u2").sign());
    foreign.get(&format!("/api/v1/entries?user_id={USER}")).await.expect_error(403, "forbidden");
    let own = foreign.get("/api/v1/entries?user_id=u2").await.expect(200);
    assert_eq!(own["items"], json!([]));
}

/// Fields of one row belong to different sources, and a manual weight does not
/// keep a phone's steps out.
#[tokio::test]
async fn each_field_has_its_owner() {
    let world = World::start().await;
    world.correct(DATE, json!({ "weight_kg": 82.1 })).await.expect(200);
    let body = json!({
        "entries": [
            { "date": DATE, "source": "health_connect", "steps": 900, "weight_kg": 83.0 },
            { "date": DATE, "source": "apple_health", "steps": 1_000, "hrv_ms": 40.5 },
            { "date": DATE, "source": "manual", "stress": 3 },
        ],
    });
    assert_eq!(world.ingest("entry", body).await["processed"], 3);
    let day = world.day(DATE).await;
    let owner = |field: &str| day["field_sources"][field]["source"].clone();
    assert_eq!(owner("weight_kg"), "manual");
    // Of equal rank and age the one with the higher priority; these are equal in
    // that too, so the first to arrive.
    assert_eq!(owner("steps"), "health_connect");
    assert_eq!(owner("hrv_sdnn_ms"), "apple_health");
    assert_eq!(day["hrv_ms"], Value::Null);
    assert_eq!(owner("stress"), "manual");
}
