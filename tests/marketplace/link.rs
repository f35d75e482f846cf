//! The socket to the marketplace itself: kept alive, opened anew, given up
//! for a while, and in the operators' hands.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_fakes::atom::skill_id;

use crate::marketplace::world::{Stage, World};
use crate::support::eventually;

const HEARTBEAT: Duration = Duration::from_secs(10);

async fn order(world: &World, what: &str) -> Value {
    let path = format!("/api/v1/admin/websocket/{what}");
    let answer = world.operator().quiet().post(&path, &json!({})).await;
    assert!(answer.status.is_success(), "{what}: {}", answer.text());
    answer.body
}

/// The token is in the address and nowhere in what operators see.
#[tokio::test]
async fn the_socket_is_opened_with_the_token() {
    let world = Stage::new().await.filled(5).with_socket().synced().await;
    let requests = world.atom.request_seen("ws", 1).await;
    let query = requests[0].uri.query().unwrap();
    assert!(query.contains(&format!("token={}", world.atom.token())), "{query}");
    let status = world.socket_status().await.to_string();
    assert!(!status.contains(world.atom.token()), "{status}");
}

/// A gap may hide anything: each reconnect brings one poll, and only one.
#[tokio::test]
async fn a_reconnect_brings_exactly_one_poll() {
    let world = Stage::new().await.filled(20).with_socket().synced().await;
    assert_eq!(world.atom.count("categories"), 1, "the first connection brings none");
    for cut in 1_u8..=3 {
        // A socket that brings something is one that works.
        world.atom.announce_rating(&skill_id(2), 4);
        let told = async || (world.messages("taken").await == u64::from(cut)).then_some(());
        eventually("the rating", told).await;
        // Nobody hears of this.
        world.atom.drop_sockets();
        world.atom.edit_skill(&skill_id(1), |skill| skill["name"] = json!(format!("N{cut}")));
        world.ended(1 + i64::from(cut)).await;
        world.connected(true).await;
        assert_eq!(world.skill(&skill_id(1)).await["data"]["name"], format!("N{cut}"));
    }
    world.atom.close_sockets(1001);
    world.ended(5).await;
    // One asked for by hand is the next one: none was waiting.
    world.sync().await;
    assert_eq!(world.atom.count("categories"), 6);
    assert_eq!(world.atom.count("ws"), 5);
}

/// A link that is dead without being closed: the pong is missed, really.
#[tokio::test]
async fn a_missing_pong_ends_the_socket() {
    let stage = Stage::new().await.filled(20).with_socket();
    let stage = stage.set("ws_heartbeat_s", "10").set("ws_pong_timeout_s", "1");
    let world = stage.synced().await;
    world.gateway.pass_time(HEARTBEAT).await;
    let heard = world.atom.heard_at_least(1).await;
    assert_eq!(heard[0], json!({ "type": "ping" }));
    // Its pong has come when the next message has.
    world.atom.edit_skill(&skill_id(1), |skill| skill["name"] = json!("After the pong"));
    world.atom.announce_skill(&skill_id(1));
    world.skill_is(&skill_id(1), |skill| skill["data"]["name"] == "After the pong").await;
    assert_eq!(world.atom.count("ws"), 1);

    world.atom.mute_pongs(true);
    world.gateway.pass_time(HEARTBEAT).await;
    world.atom.heard_at_least(2).await;
    world.atom.request_seen("ws", 2).await;
    world.ended(2).await;
    world.connected(true).await;
}

/// Pings of the marketplace are answered.
#[tokio::test]
async fn pings_of_the_marketplace_are_answered() {
    let world = Stage::new().await.filled(5).with_socket().synced().await;
    world.atom.send_pings(Duration::from_millis(20));
    let heard = world.atom.heard_at_least(3).await;
    assert!(heard.iter().all(|said| *said == json!({ "type": "pong" })), "{heard:?}");
    assert_eq!(world.atom.count("ws"), 1);
}

/// Three attempts in vain: only polling for an hour, then the socket again.
/// Atom's own client only documents that.
#[tokio::test]
async fn three_failures_mean_an_hour_of_polling() {
    // The lease is renewed soon after the clock has jumped over its end.
    let stage = Stage::new().await.filled(20).with_socket().set("lease_s", "5");
    stage.atom.refuse_sockets(4);
    let now_ms = stage.stop_clock();
    let world = stage.start().await;
    world.ended(1).await;
    let status = eventually("the fallback", async || {
        let status = world.socket_status().await;
        (status["fallback_to_polling"] == true).then_some(status)
    })
    .await;
    assert_eq!((&status["connected"], &status["reconnect_attempts"]), (&json!(false), &json!(3)));
    assert_eq!(status["last_disconnect_reason"], "connection_error: unavailable");
    let next = status["next_attempt_at"].as_str().unwrap();
    let next_ms = chrono::DateTime::parse_from_rfc3339(next).unwrap().timestamp_millis();
    assert_eq!(next_ms - now_ms, 3_600_000);
    // It goes on polling.
    world.sync().await;
    assert_eq!(world.atom.count("ws"), 3, "not tried before its time");

    // The fourth attempt fails, too; the fifth is after the usual wait.
    world.move_clock(Duration::from_hours(1));
    world.connected(true).await;
    assert_eq!(world.atom.count("ws"), 5);
    let status = world.socket_status().await;
    assert_eq!(
        (&status["fallback_to_polling"], &status["next_attempt_at"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(status["consecutive_failures"], 0);
}

/// A socket that opens and brings nothing before it ends is none: three in a
/// row mean polling only, too.
#[tokio::test]
async fn sockets_that_bring_nothing_count_as_failures() {
    let world = Stage::new().await.filled(5).with_socket().synced().await;
    for sockets in 2..=4 {
        world.atom.drop_sockets();
        if sockets < 4 {
            world.atom.request_seen("ws", sockets).await;
            world.atom.socket_connected().await;
            world.connected(true).await;
        }
    }
    eventually("the fallback", async || {
        let status = world.socket_status().await;
        (status["fallback_to_polling"] == true).then_some(())
    })
    .await;
    assert_eq!(world.atom.count("ws"), 3);
}

/// It is never given up for good: Atom's own client stops after ten attempts.
#[tokio::test]
async fn the_socket_is_never_given_up() {
    let stage = Stage::new().await.filled(5).with_socket();
    let stage = stage.set("ws_attempts", "100").set("backoff_ms", "[10]");
    stage.atom.refuse_sockets(25);
    let world = stage.start().await;
    world.connected(true).await;
    assert_eq!(world.atom.count("ws"), 26);
}

/// Operators close the socket for good, open it, and have it opened anew.
#[tokio::test]
async fn operators_have_the_socket_in_hand() {
    let world = Stage::new().await.filled(20).with_socket().synced().await;
    assert_eq!(order(&world, "disable").await["websocket_enabled"], false);
    world.atom.sockets_gone().await;
    world.connected(false).await;
    let status = world.socket_status().await;
    assert_eq!(status["last_disconnect_reason"], "disabled_by_admin");
    assert_eq!(
        (&status["fallback_to_polling"], &status["websocket_enabled"]),
        (&json!(true), &json!(false))
    );
    let path = "/api/v1/admin/websocket/reconnect";
    let refused = world.operator().quiet().post(path, &json!({})).await;
    assert_eq!(refused.status, 409);
    world.sync().await;
    assert_eq!(world.atom.count("ws"), 1, "it stays closed");

    assert_eq!(order(&world, "enable").await["websocket_enabled"], true);
    world.connected(true).await;
    world.ended(3).await;
    assert_eq!(order(&world, "reconnect").await["reconnect_triggered"], true);
    world.atom.request_seen("ws", 3).await;
    world.ended(4).await;
    world.connected(true).await;

    // Also out of the hour of polling.
    world.atom.refuse_sockets(3);
    world.atom.drop_sockets();
    eventually("the fallback", async || {
        (world.socket_status().await["fallback_to_polling"] == true).then_some(())
    })
    .await;
    order(&world, "reconnect").await;
    world.connected(true).await;
    world.ended(5).await;
    assert_eq!(world.atom.count("ws"), 7);
}
