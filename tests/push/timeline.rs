//! What can be seen of pushes: timelines and figures.

use serde_json::{Value, json};
use tidegate_fakes::fcm::answer::Answer;

use crate::push::scene::Scene;
use crate::support::check;

/// Hides the latency of a push row, after a look at it.
fn shown(row: &Value) -> String {
    let detail = row["detail"].as_str().unwrap();
    let (text, took) = detail.rsplit_once("; ").unwrap();
    let ms: u64 = took.strip_suffix(" ms").unwrap().parse().unwrap();
    assert!(ms < 10_000, "{row}");
    assert!(chrono::DateTime::parse_from_rfc3339(row["at"].as_str().unwrap()).is_ok());
    format!("{} {} {text}; [n] ms", row["event"], row["channel"])
}

/// Every attempt is a row with channel, outcome, the provider's message id or
/// its refusal, and how long it took; never a token.
#[tokio::test]
async fn every_attempt_is_a_row() {
    let scene = Scene::start_with(Scene::setup().set("push.backoff_ms", "[10, 10, 10]")).await;
    let phone = scene.phone("phone", "u1").await;
    let answers =
        [Answer::Unavailable { retry_after: None }, Answer::Internal, Answer::SentThenDrop];
    scene.fcm.script("token-phone", answers);
    let id = scene.backend.make("u1", "steps").await;
    let rows = scene.settled(&id, 4).await;
    let mut text: Vec<String> = rows.iter().map(shown).collect();
    assert!(rows.iter().all(|row| row["device_id"] == phone.id));
    let (_, subscription) = scene.browser("browser", "u2").await;
    scene.webpush.unsubscribe(&subscription.id);
    let id = scene.backend.make("u2", "steps").await;
    text.extend(scene.settled(&id, 1).await.iter().map(shown));
    let (browser, _) = scene.browser("again", "u3").await;
    let id = scene.backend.make("u3", "steps").await;
    text.extend(scene.settled(&id, 1).await.iter().map(shown));
    scene.applied(&browser, &id).await;
    assert!(!text.join("\n").contains("token-"), "{text:?}");
    check!("push_rows", text.join("\n"));
}

/// One push for several commands is a row of each.
#[tokio::test]
async fn one_push_is_a_row_of_every_command_it_is_for() {
    let scene = Scene::start_with(Scene::patient()).await;
    scene.phone("phone", "u1").await;
    let of = |n: usize| json!({ "user_id": "u1", "data_type": format!("t{n}"), "value": 1 });
    let body = json!({ "commands": [of(1), of(2), of(3)] });
    let answer = scene.backend.post("/api/v1/commands/batch", &body).await.expect(207);
    for row in answer["results"].as_array().unwrap() {
        let id = row["command"]["command_id"].as_str().unwrap();
        assert_eq!(scene.settled(id, 1).await[0]["event"], "push_ok");
    }
    scene.pushes("token-phone", 1).await;
}

/// Sends are counted by outcome, ended tokens too; a command's latency by the
/// tier that won.
#[tokio::test]
async fn the_tiers_are_counted() {
    let scene = Scene::start_with(Scene::patient()).await;
    let (phone, gone) = (scene.phone("phone", "u1").await, scene.phone("gone", "u2").await);
    scene.fcm.script("token-gone", [Answer::Unregistered]);
    let by_push = scene.backend.make("u1", "steps").await;
    scene.settled(&by_push, 1).await;
    scene.applied(&phone, &by_push).await;
    let by_poll = scene.backend.make("u2", "steps").await;
    scene.settled(&by_poll, 1).await;
    scene.applied(&gone, &by_poll).await;
    let (browser, _) = scene.browser("browser", "u3").await;
    let by_browser = scene.backend.make("u3", "steps").await;
    scene.settled(&by_browser, 1).await;
    scene.applied(&browser, &by_browser).await;
    let tablet = scene.gateway.device("tablet", "u4");
    let mut socket = tablet.open().await;
    let by_socket = scene.backend.make("u4", "steps").await;
    socket.entries(1).await;
    let results = json!([{ "command_id": by_socket, "status": "applied" }]);
    socket.send(&json!({ "type": "results", "results": results })).await;
    socket.expect("results_ok").await;
    for (name, value) in [
        ("tidegate_pushes_total{outcome=\"ok\"}", 2.0),
        ("tidegate_pushes_total{outcome=\"token_dead\"}", 1.0),
        ("tidegate_push_tokens_ended_total", 1.0),
        ("tidegate_push_seconds_count", 3.0),
        ("tidegate_pushes_in_flight", 0.0),
        ("tidegate_command_latency_seconds_count{channel=\"fcm\"}", 1.0),
        ("tidegate_command_latency_seconds_count{channel=\"webpush\"}", 1.0),
        ("tidegate_command_latency_seconds_count{channel=\"poll\"}", 1.0),
        ("tidegate_command_latency_seconds_count{channel=\"socket\"}", 1.0),
    ] {
        scene.until_figure(name, value).await;
    }
}
