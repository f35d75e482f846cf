//! How healthy the synchronisation says it is.

use std::time::Duration;

use serde_json::{Value, json};

use crate::market::world::World;
use crate::support::{Answer, check, eventually};

async fn health(world: &World) -> Answer {
    world.admin.clone().without_token().get("/health/sync").await
}

/// By the age of the last success; 503 only when that is too old.
#[tokio::test]
async fn health_follows_the_last_success() {
    let world = World::start().await;
    world.shown();
    let fresh = health(&world).await.expect(200);
    assert_eq!((&fresh["status"], &fresh["sync_age_minutes"]), (&json!("healthy"), &json!(0)));
    world.show("healthy", &fresh);
    world.atom.set_down(true);
    let mut passed = 0;
    for (minutes, word, status) in [
        (29, "healthy", 200),
        (31, "degraded", 200),
        (59, "degraded", 200),
        (61, "unhealthy", 503),
        (600, "unhealthy", 503),
    ] {
        world.pass(Duration::from_mins(minutes - passed));
        passed = minutes;
        let body = health(&world).await.expect(status);
        assert_eq!(body["status"], word, "{minutes}: {body}");
        assert_eq!(body["checks"]["sync"], word);
        assert_eq!(body["sync_age_minutes"], minutes);
    }
    eventually("a run that failed", async || {
        let errors = health(&world).await.body["recent_errors"].as_i64()?;
        (errors > 0).then_some(())
    })
    .await;
    world.atom.set_down(false);
    world.sync().await;
    let again = health(&world).await.expect(200);
    assert_eq!((&again["status"], &again["recent_errors"]), (&json!("healthy"), &json!(0)));
    check!("health", world.shown());
}

/// Before the first success its age is that of the node.
#[tokio::test]
async fn health_before_the_first_success() {
    let world = World::with(|setup, atom| {
        atom.set_down(true);
        setup
    })
    .await;
    let body = health(&world).await.expect(200);
    assert_eq!((&body["status"], &body["last_sync"]), (&json!("healthy"), &Value::Null));
    assert_eq!((&body["sync_age_minutes"], &body["recent_errors"]), (&json!(0), &json!(1)));
    world.show("before the first success", &body);
    let status = world.status().await;
    assert_eq!(status["sync"]["status"], "error");
    assert!(status["sync"]["last_error"].is_string(), "{status}");
    check!("health_at_first", world.shown());
}

/// A socket that is down is named, and does not make the whole unhealthy.
#[tokio::test]
async fn health_names_a_socket_that_is_down() {
    let world = World::with_socket().await;
    let of =
        |body: &Value| (body["websocket_connected"].clone(), body["checks"]["websocket"].clone());
    eventually("the socket", async || {
        let body = health(&world).await.expect(200);
        (of(&body) == (json!(true), json!("healthy"))).then_some(())
    })
    .await;
    world.admin.post("/api/v1/admin/websocket/disable", &json!({})).await.expect(200);
    eventually("its end", async || {
        let body = health(&world).await.expect(200);
        assert_eq!(body["status"], "healthy");
        (of(&body) == (json!(false), json!("degraded"))).then_some(())
    })
    .await;
}
