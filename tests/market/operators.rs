//! What operators see and change of the synchronisation.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_fakes::atom::answer::Answer;

use crate::market::world::World;
use crate::support::{Gateway, Setup, Token, check, eventually};

const CONFIG: &str = "/api/v1/admin/sync/config";

/// Everything that operators can ask, with a body where one is needed.
fn everything() -> Vec<(Method, &'static str, Option<&'static str>)> {
    vec![
        (Method::GET, "/api/v1/admin/sync/status", None),
        (Method::POST, "/api/v1/admin/sync/trigger", None),
        (Method::GET, CONFIG, None),
        (Method::PUT, CONFIG, Some("{}")),
        (Method::POST, "/api/v1/admin/sync/ratings", None),
        (Method::GET, "/api/v1/admin/websocket/status", None),
        (Method::POST, "/api/v1/admin/websocket/reconnect", None),
        (Method::POST, "/api/v1/admin/websocket/enable", None),
        (Method::POST, "/api/v1/admin/websocket/disable", None),
        (Method::GET, "/api/v1/admin/ratings/failed", None),
        (Method::POST, "/api/v1/admin/ratings/failed/nobody/retry", None),
        (Method::GET, "/api/v1/admin/conflicts", None),
        (Method::GET, "/api/v1/admin/conflicts/nobody", None),
    ]
}

/// Only operators; others change nothing by trying.
#[tokio::test]
async fn only_operators_are_let_in() {
    let world = World::with_socket().await;
    let before = world.status().await;
    for (method, path, body) in everything() {
        for token in [Token::device("u1"), Token::service("backend")] {
            let answer = world.caller(&token).call(method.clone(), path, body).await;
            answer.expect_error(403, "forbidden");
        }
        let stranger = world.admin.clone().without_token();
        stranger.call(method.clone(), path, body).await.expect_error(401, "unauthenticated");
    }
    assert_eq!(world.status().await, before);
    assert_eq!(world.atom.sockets(), 1);
    assert_eq!(world.audit("marketplace_sync").await, []);
}

/// What cannot be set is refused, with the range; what can takes effect for
/// good, and is noted.
#[tokio::test]
async fn settings_are_checked_kept_and_noted() {
    let mut world = World::start().await;
    for (body, field, reason) in [
        (json!({ "interval_s": 299 }), "interval_s", "300 to 3600"),
        (json!({ "interval_s": 3601 }), "interval_s", "300 to 3600"),
        (json!({ "interval_s": -1 }), "interval_s", ""),
        (json!({ "interval_s": "900" }), "interval_s", ""),
        (json!({ "strategy": "oldest_wins" }), "strategy", "remote_wins"),
        (json!({ "strategy": 7 }), "strategy", ""),
        (json!({ "strategy": "merge", "page_size": 5 }), "page_size", ""),
        (json!({ "strategy": "merge", "interval_s": 5 }), "interval_s", "300 to 3600"),
    ] {
        let error = world.put(CONFIG, &body).await.expect_error(422, "invalid");
        let detail = &error["details"][0];
        assert_eq!(detail["field"], field, "{body}: {error}");
        assert!(detail["reason"].as_str().unwrap().contains(reason), "{error}");
    }
    let config = world.admin.get(CONFIG).await.expect(200);
    assert_eq!((&config["strategy"], &config["interval_s"]), (&json!("remote_wins"), &json!(900)));
    assert_eq!(world.audit("marketplace_sync").await, []);

    let changed = world.put(CONFIG, &json!({ "strategy": "Merge" })).await.expect(200);
    assert_eq!(changed["strategy"], "merge");
    let both = json!({ "strategy": "local_wins", "interval_s": 300 });
    let changed = world.put(CONFIG, &both).await.expect(200);
    assert_eq!(changed, world.admin.get(CONFIG).await.expect(200));
    world.put(CONFIG, &json!({})).await.expect(200);
    world.restart().await;
    assert_eq!(changed, world.admin.get(CONFIG).await.expect(200));
    world.shown();
    world.show("settings", &changed);
    let wrong = world.put(CONFIG, &json!({ "interval_s": 299 })).await;
    world.show("out of range", &wrong.body);
    check!("sync_config", world.shown());

    let audit = world.audit("marketplace_sync").await;
    let details: Vec<&Value> = audit.iter().map(|(_, _, detail)| detail).collect();
    assert!(audit.iter().all(|(actor, action, _)| actor == "ann" && action == "sync.config"));
    assert_eq!(details[1], &json!({ "strategy": "local_wins", "interval_s": 300 }));

    world.edit("s1", json!({ "description": "ours" })).await;
    world.remote("s1", &json!({ "description": "theirs" }));
    world.sync().await;
    assert_eq!(world.data("s1").await["description"], "ours", "the strategy is in force");
    world.remote("s2", &json!({ "description": "theirs" }));
    world.pass(Duration::from_secs(301));
    eventually("the next poll, by the new interval", async || {
        (world.data("s2").await["description"] == "theirs").then_some(())
    })
    .await;
}

/// A run can be asked for while none is under way.
#[tokio::test]
async fn one_run_at_a_time() {
    let world = World::start().await;
    world.atom.script().extend("skills", [Answer::Slow(Duration::from_millis(500))]);
    let pages = world.atom.count("skills");
    let trigger = "/api/v1/admin/sync/trigger";
    let first = world.admin.post(trigger, &json!({})).await.expect(202);
    assert_eq!(first["status"], "accepted");
    assert!(first["sync_id"].as_str().is_some_and(|id| !id.is_empty()), "{first}");
    let refused = world.admin.post(trigger, &json!({})).await;
    refused.expect_error(409, "sync_already_in_progress");
    world.atom.request_seen("skills", pages + 1).await;
    let refused = world.admin.post(trigger, &json!({})).await;
    refused.expect_error(409, "sync_already_in_progress");
    world.sync().await;
    let second = world.admin.post(trigger, &json!({})).await.expect(202);
    assert_ne!(first["sync_id"], second["sync_id"]);
    let audit = world.audit("marketplace_sync").await;
    let triggers = audit.iter().filter(|(_, action, _)| action == "sync.trigger").count();
    assert_eq!(triggers, 3, "what was refused is not noted");
}

/// The socket goes and comes as operators say, and that survives a restart.
#[tokio::test]
async fn the_socket_is_switched_off_and_on() {
    let mut world = World::with_socket().await;
    let status =
        async |world: &World| world.admin.get("/api/v1/admin/websocket/status").await.expect(200);
    let is_up = async |world: &World| {
        let up = status(world).await["connected"] == true;
        up.then_some(())
    };
    let post = async |world: &World, what: &str| {
        world.admin.post(&format!("/api/v1/admin/websocket/{what}"), &json!({})).await
    };
    eventually("the socket", async || is_up(&world).await).await;
    let before = status(&world).await;
    let flags =
        |status: &Value| ["websocket_enabled", "fallback_to_polling"].map(|f| status[f].clone());
    assert_eq!(flags(&before), [json!(true), json!(false)]);
    assert!(!before["ws_url"].as_str().unwrap().contains("token"), "{before}");

    let sockets = world.atom.count("ws");
    assert_eq!(post(&world, "reconnect").await.expect(202)["reconnect_triggered"], true);
    world.atom.request_seen("ws", sockets + 1).await;
    eventually("the socket", async || is_up(&world).await).await;

    assert_eq!(post(&world, "disable").await.expect(200)["websocket_enabled"], false);
    world.atom.sockets_gone().await;
    eventually("the end", async || is_up(&world).await.is_none().then_some(())).await;
    assert_eq!(flags(&status(&world).await), [json!(false), json!(true)]);
    post(&world, "reconnect").await.expect_error(409, "conflict_state");
    world.restart().await;
    world.sync().await;
    assert_eq!(world.atom.sockets(), 0, "it stays off");
    assert_eq!(world.admin.get(CONFIG).await.expect(200)["websocket_enabled"], false);

    assert_eq!(post(&world, "enable").await.expect(200)["websocket_enabled"], true);
    world.atom.socket_connected().await;
    eventually("the socket", async || is_up(&world).await).await;
    assert_eq!(flags(&status(&world).await), [json!(true), json!(false)]);
    let actions: Vec<String> =
        world.audit("marketplace_sync").await.into_iter().map(|(_, action, _)| action).collect();
    assert_eq!(actions[..3], ["socket.reconnect", "socket.disable", "sync.trigger"]);
    assert_eq!(actions.last().unwrap(), "socket.enable");
}

/// One that is configured and switched off is none.
#[tokio::test]
async fn a_marketplace_that_is_off_is_not_asked() {
    let atom = tidegate_fakes::atom::FakeAtom::start(tidegate_clock::Clock::system());
    let atom = atom.await.unwrap();
    atom.fill(3, 1);
    let setup = Setup::new()
        .set("marketplace.enabled", "false")
        .set("marketplace.base_url", &atom.url())
        .set("marketplace.ws_url", &atom.ws_url())
        .set("marketplace.token", atom.token());
    let mut gateway = setup.start().await;
    let admin = gateway.caller("root", &Token::admin("root").sign()).quiet();
    let trigger = admin.post("/api/v1/admin/sync/trigger", &json!({})).await;
    trigger.expect_error(501, "not_supported");
    assert_eq!(admin.get(CONFIG).await.expect(200)["enabled"], false);
    assert_eq!(admin.get("/health/sync").await.expect(200)["status"], "healthy");
    gateway.stop().await;
    assert!(atom.requests().is_empty());
}

/// Without a marketplace nothing can be asked of it, and everything else
/// answers.
#[tokio::test]
async fn without_a_marketplace_everything_answers() {
    let gateway = Gateway::start().await;
    let admin = gateway.caller("root", &Token::admin("root").sign()).quiet();
    for (method, path, body) in everything() {
        let answer = admin.call(method.clone(), path, body).await;
        let is_work = method == Method::POST && !path.ends_with("able");
        if is_work {
            answer.expect_error(501, "not_supported");
        } else if path.ends_with("nobody") {
            answer.expect_error(404, "not_found");
        } else {
            answer.expect(200);
        }
    }
    let config = admin.get(CONFIG).await.expect(200);
    assert_eq!(config["enabled"], false);
    let status = admin.get("/api/v1/admin/sync/status").await.expect(200);
    assert_eq!(
        (&status["sync"]["status"], &status["sync"]["total_syncs"]),
        (&json!("idle"), &json!(0))
    );
    let page = admin.get("/api/v1/marketplace/skills").await.expect(200);
    assert_eq!((&page["total"], &page["items"]), (&json!(0), &json!([])));
    admin.get("/api/v1/marketplace/skills/s1").await.expect_error(404, "not_found");
    let health = admin.get("/health/sync").await.expect(200);
    assert_eq!(health["status"], "healthy");
    let rating = json!({ "rating": 5 });
    let rated = admin.post("/api/v1/marketplace/skills/s1/rate", &rating).await;
    rated.expect_error(404, "not_found");
}
