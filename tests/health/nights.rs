//! Nights: one for each source, one shown, on the day they end.

use serde_json::json;

use crate::health::world::World;

#[tokio::test]
async fn a_night_belongs_to_the_day_it_ends_on_where_the_sleeper_is() {
    let world = World::start().await;
    let night = json!({
        "total_sleep_minutes": 450,
        "asleep_deep_minutes": 60,
        "sleep_start": "2026-11-24T23:30:00+09:00",
        "sleep_end": "2026-11-25T07:00:00+09:00",
        "source_devices": ["Watch"],
    });
    world.ingest("sleep", json!({ "sleep_records": [night] })).await;
    let shown = world.list("sleep").await;
    assert_eq!(
        shown,
        [json!({
            "date": "2026-11-25", "version": 1, "source": "apple_health", "canonical": true,
            "total_sleep_minutes": 450, "asleep_deep_minutes": 60,
            "sleep_start": "2026-11-24T14:30:00.000Z", "sleep_end": "2026-11-24T22:00:00.000Z",
            "source_devices": ["Watch"],
        })]
    );
    world.phone.get("/api/v1/entries/2026-11-25").await.expect_error(404, "not_found");
}

#[tokio::test]
async fn the_night_of_the_better_source_is_shown_and_a_nap_changes_nothing() {
    let world = World::start().await;
    let backend = &world.coach;
    let by = |source: &str, minutes: u32, start: &str, end: &str| {
        json!({ "source": source, "sleep_records": [{
            "date": "2026-11-25", "total_sleep_minutes": minutes,
            "sleep_start": start, "sleep_end": end,
        }] })
    };
    let path = "/api/v1/ingest/sleep?user_id=u1";
    let long = ("2026-11-24T22:00:00Z", "2026-11-25T06:00:00Z");
    let nap = ("2026-11-25T13:00:00Z", "2026-11-25T14:00:00Z");
    backend.post(path, &by("oura", 470, long.0, long.1)).await.expect(200);
    world.ingest("sleep", by("apple_health", 460, long.0, long.1)).await;
    let unchanged = world.ingest("sleep", by("apple_health", 55, nap.0, nap.1)).await;
    assert_eq!(unchanged["unchanged"], 1);
    let shown = world.list("sleep").await;
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0]["total_sleep_minutes"], 460);
    let all = world.list("sleep?canonical=false").await;
    let sources: Vec<_> = all.iter().map(|night| night["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["apple_health", "oura"]);
    assert_eq!(all[1]["canonical"], false);
    // A device does not speak for a provider.
    let refused = world.phone.post("/api/v1/ingest/sleep", &by("oura", 1, long.0, long.1)).await;
    assert_eq!(refused.expect_error(422, "invalid")["details"][0]["field"], "source");
}
