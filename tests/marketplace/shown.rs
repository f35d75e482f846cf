//! What devices and operators are shown, word by word.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tidegate_fakes::atom::answer::Answer;

use crate::marketplace::world::{STREAM, Stage, World};
use crate::support::{check, eventually};

/// A skill whose times do not differ from run to run.
fn skill(id: &str, version: &str, updated_at: &str) -> Value {
    json!({
        "skill_id": id,
        "name": "Send Invoice",
        "description": "Sends one invoice at a time, checks what it was given, and reports each step.",
        "version": version,
        "command": "python",
        "python_packages": ["requests>=2.31"],
        "tags": ["send", "invoice"],
        "category": "finance",
        "average_rating": 4.5,
        "rating_count": 2,
        "updated_at": updated_at,
    })
}

fn category(skill_count: u32) -> Value {
    json!({
        "name": "finance",
        "description": "Skills for finance in daily work",
        "skill_count": skill_count,
        "icon_url": "https://cdn.atomsaas.com/icons/finance.svg",
        "created_at": "2026-01-10T08:00:00.000Z",
    })
}

/// A snapshot, and one entry of each kind after it.
#[tokio::test]
async fn deltas_as_devices_see_them() {
    let stage = Stage::new().await.with_socket();
    stage.atom.put_category(category(1));
    stage.atom.put_skill(skill("s-1", "1.0.0", "2026-01-15T10:30:00Z"));
    let world = stage.synced().await;
    let device = world.gateway.device("phone", "u1");
    let mut hello = device.hello();
    hello["subscribe"] = json!([STREAM]);
    let (mut socket, _) = device.open_with(&hello).await;
    socket.quiet(true);
    assert!(socket.snapshot().await.is_empty(), "the user's own stream");
    socket.quiet(false);
    socket.snapshot().await;
    let atom = &world.atom;
    atom.put_skill(skill("s-2", "1.0.0", "2026-01-16T10:30:00Z"));
    atom.announce_skill("s-2");
    socket.entries(1).await;
    atom.put_skill(skill("s-1", "1.1.0", "2026-01-17T10:30:00Z"));
    atom.announce_skill("s-1");
    socket.entries(1).await;
    atom.put_category(category(2));
    atom.announce_category("finance");
    socket.entries(1).await;
    atom.announce_rating("s-1", 3);
    socket.entries(1).await;
    atom.remove_skill("s-2");
    atom.announce_delete("s-2");
    socket.entries(1).await;
    // The listing has the new average, and nothing else that is new.
    world.sync().await;
    socket.entries(1).await;
    check!("deltas", world.gateway.said());
}

/// An answer without what differs from run to run.
fn redacted(key: &str, value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let value = redacted(&name, value);
                (name, value)
            });
            Value::Object(fields.collect())
        }
        Value::String(text) if key.ends_with("_at") || key == "last_sync" => {
            let time = chrono::DateTime::parse_from_rfc3339(&text).unwrap().to_utc();
            let millis = time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            assert_eq!(text, millis, "times are in UTC with milliseconds");
            "[time]".into()
        }
        Value::String(text) if key == "ws_url" => {
            assert!(text.starts_with("ws://127.0.0.1:") && text.ends_with("/ws"), "{text}");
            "[url]".into()
        }
        other => other,
    }
}

async fn shown(world: &World, paths: &[&str]) -> String {
    let mut text = String::new();
    for path in paths {
        let answer = world.operator().quiet().get(path).await;
        let body = serde_json::to_string_pretty(&redacted("", answer.body)).unwrap();
        let _ = writeln!(text, "GET {path} {}\n{body}", answer.status.as_u16());
    }
    text
}

const STATUS: &str = "/api/v1/admin/sync/status";

const SOCKET: &str = "/api/v1/admin/websocket/status";

const HEALTH: &str = "/health/sync";

/// Nothing runs, all is well.
#[tokio::test]
async fn an_idle_synchronisation() {
    let world = Stage::new().await.filled(20).with_socket().synced().await;
    let text = shown(&world, &[STATUS, SOCKET, HEALTH]).await;
    check!("idle", text);
}

/// A run is under way; the page before it is stored.
#[tokio::test]
async fn a_synchronisation_under_way() {
    let stage = Stage::new().await.filled(150).with_socket();
    stage.atom.script().extend("skills?page=2", [Answer::Hang]);
    let world = stage.start().await;
    world.connected(true).await;
    world.atom.request_seen("skills?page=2", 1).await;
    let text = shown(&world, &[STATUS, HEALTH]).await;
    check!("syncing", text);
}

/// The last run failed: why, and how many before it.
#[tokio::test]
async fn a_synchronisation_that_failed() {
    let world = Stage::new().await.filled(20).synced().await;
    world.atom.set_down(true);
    world.sync().await;
    world.atom.set_down(false);
    world.atom.script().extend("skills?page=1", [Answer::HalfPage]);
    world.sync().await;
    let text = shown(&world, &[STATUS]).await;
    check!("error", text);
}

/// How old the last success may be: half an hour, an hour, and no more.
#[tokio::test]
async fn health_goes_by_the_age_of_the_last_success() {
    // The lease is renewed soon after the clock has jumped over its end.
    let world = Stage::new().await.filled(5).set("lease_s", "5").synced().await;
    world.atom.set_down(true);
    let mut text = String::new();
    for (minutes, runs) in [(31, 2), (30, 3)] {
        world.move_clock(std::time::Duration::from_mins(minutes));
        world.ended(runs).await;
        eventually("the lease", async || {
            let health = world.user().get(HEALTH).await.body;
            (health["scheduler_running"] == true).then_some(())
        })
        .await;
        text.push_str(&shown(&world, &[HEALTH]).await);
    }
    check!("health", text);
}

/// The socket in an operator's hand.
#[tokio::test]
async fn a_socket_that_is_disabled() {
    let world = Stage::new().await.filled(5).with_socket().synced().await;
    let operator = world.operator();
    operator.post("/api/v1/admin/websocket/disable", &json!({})).await.expect(200);
    world.connected(false).await;
    operator.post("/api/v1/admin/websocket/reconnect", &json!({})).await;
    let said = world.gateway.said();
    let text = said + &shown(&world, &[SOCKET]).await;
    check!("disabled", text);
}
