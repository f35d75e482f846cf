//! When there is a conflict, and what kind it is.

use std::time::Duration;

use serde_json::{Value, json};

use crate::market::world::World;
use crate::support::eventually;

pub(super) const STRATEGIES: [&str; 5] =
    ["remote_wins", "local_wins", "newest_wins", "merge", "manual"];

/// How the gateway hears of what changed upstream.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Poll,
    Socket,
}

impl Way {
    async fn world(self) -> World {
        match self {
            Self::Poll => World::start().await,
            Self::Socket => World::with_socket().await,
        }
    }

    /// Lets the gateway hear of a skill as it is now.
    async fn hear(self, world: &World, id: &str) {
        if self == Self::Poll {
            return world.sync().await;
        }
        let heard = async || world.status().await["websocket"]["last_message_at"].clone();
        let before = heard().await;
        // Two messages are told apart by their times.
        world.pass(Duration::from_secs(1));
        if world.atom.skill(id).is_some() {
            world.atom.announce_skill(id);
        } else {
            world.atom.announce_delete(id);
        }
        eventually("the message", async || (heard().await != before).then_some(())).await;
    }
}

/// The value without what only upstream writes.
fn ours(mut data: Value) -> Value {
    for field in ["average_rating", "rating_count", "created_at", "updated_at"] {
        data.as_object_mut().unwrap().remove(field);
    }
    data
}

/// A side that did not change, or both that changed alike, cannot be in
/// conflict, whatever the strategy.
#[tokio::test]
async fn one_side_alone_is_no_conflict() {
    for way in [Way::Poll, Way::Socket] {
        let world = way.world().await;
        for strategy in STRATEGIES {
            world.strategy(strategy).await;
            let what = format!("{way:?}, {strategy}");

            world.remote("s1", &json!({ "description": format!("theirs: {strategy}") }));
            way.hear(&world, "s1").await;
            let skill = world.skill("s1").await;
            assert_eq!(skill["data"], world.atom.skill("s1").unwrap(), "{what}");
            assert_eq!(skill["edited"], Value::Null, "{what}");

            world.edit("s2", json!({ "description": format!("ours: {strategy}") })).await;
            let edited = world.data("s2").await;
            world.remote("s2", &json!({ "average_rating": 1.5, "rating_count": 99 }));
            way.hear(&world, "s2").await;
            let skill = world.skill("s2").await;
            assert_eq!(ours(skill["data"].clone()), ours(edited), "{what}");
            assert_eq!(skill["data"]["rating_count"], 99, "{what}");
            assert_eq!(skill["edited"]["by"], "ann", "{what}");

            let alike = json!({ "description": format!("alike: {strategy}"), "tags": [strategy] });
            world.edit("s3", alike.clone()).await;
            world.remote("s3", &alike);
            way.hear(&world, "s3").await;
            let skill = world.skill("s3").await;
            assert_eq!(skill["data"], world.atom.skill("s3").unwrap(), "{what}");
            assert_eq!(skill["edited"], Value::Null, "{what}");
        }
        for id in ["s1", "s2", "s3"] {
            assert!(world.conflicts(id).await.is_empty(), "{way:?} {id}");
        }
    }
}

/// What each strategy makes of a conflict does not depend on how the gateway
/// heard of it.
#[tokio::test]
async fn polls_and_messages_are_judged_alike() {
    let mut of_ways = Vec::new();
    for way in [Way::Poll, Way::Socket] {
        let mut seen = Vec::new();
        for strategy in STRATEGIES {
            let world = way.world().await;
            world.strategy(strategy).await;
            world.edit("s1", json!({ "description": "ours", "tags": ["b", "a"] })).await;
            world.edit("s2", json!({ "description": "ours" })).await;
            world.pass(Duration::from_mins(1));
            world.remote("s1", &json!({ "description": "theirs", "tags": ["c"] }));
            way.hear(&world, "s1").await;
            world.atom.remove_skill("s2");
            way.hear(&world, "s2").await;
            for id in ["s1", "s2"] {
                let conflict = world.conflict(id).await;
                let names =
                    ["status", "conflict_type", "severity", "fields", "losers", "decided_by"];
                let of_conflict = names.map(|name| conflict[name].clone());
                let result = &conflict["result"];
                let data = result["data"].as_object().map(|_| ours(result["data"].clone()));
                seen.push((strategy, id, of_conflict, result["version"].clone(), data));
            }
        }
        of_ways.push(seen);
    }
    assert_eq!(of_ways[0], of_ways[1]);
}

/// The type and the severity are those of the first field that hits, by
/// domain rule.
#[tokio::test]
async fn conflicts_have_a_type_and_a_severity() {
    let world = World::start().await;
    let both = |field: &str, local: Value, remote: Value| {
        (json!({ field: local }), json!({ field: remote }))
    };
    let text = |field: &str| both(field, json!("ours"), json!("theirs"));
    let list = |field: &str| both(field, json!(["ours"]), json!(["theirs"]));
    let map = |field: &str| both(field, json!({ "x": 1 }), json!({ "x": 2 }));
    for ((local, remote), conflict_type, severity) in [
        (text("code"), "CONTENT_MISMATCH", "CRITICAL"),
        (text("command"), "CONTENT_MISMATCH", "CRITICAL"),
        (map("local_files"), "CONTENT_MISMATCH", "CRITICAL"),
        (both("version", json!("1.1.0"), json!("1.2.0")), "VERSION_MISMATCH", "HIGH"),
        (list("python_packages"), "DEPENDENCY_CONFLICT", "HIGH"),
        (list("npm_packages"), "DEPENDENCY_CONFLICT", "HIGH"),
        (list("packages"), "DEPENDENCY_CONFLICT", "HIGH"),
        (map("parameters"), "OTHER", "MEDIUM"),
        (map("metadata"), "OTHER", "MEDIUM"),
        (map("env_vars"), "OTHER", "MEDIUM"),
        (text("description"), "OTHER", "LOW"),
        (list("tags"), "OTHER", "LOW"),
        (text("category"), "OTHER", "LOW"),
        (text("something_new"), "OTHER", "LOW"),
        ((json!({ "version": "2.0.0" }), json!({ "code": "new" })), "VERSION_MISMATCH", "CRITICAL"),
        (
            (json!({ "description": "d" }), json!({ "python_packages": ["new"] })),
            "DEPENDENCY_CONFLICT",
            "HIGH",
        ),
        ((json!({ "metadata": {"y": 3} }), json!({ "tags": ["new"] })), "OTHER", "MEDIUM"),
    ] {
        world.edit("s1", local.clone()).await;
        world.remote("s1", &remote);
        world.sync().await;
        let conflict = world.conflicts("s1").await.swap_remove(0);
        let what = format!("{local} against {remote}: {conflict}");
        assert_eq!(conflict["conflict_type"], conflict_type, "{what}");
        assert_eq!(conflict["severity"], severity, "{what}");
        let fields = conflict["fields"].as_array().unwrap();
        let names: Vec<&str> =
            fields.iter().map(|field| field["field"].as_str().unwrap()).collect();
        for field in local.as_object().unwrap().keys().chain(remote.as_object().unwrap().keys()) {
            assert!(names.contains(&&**field), "{what}");
        }
    }
    assert_eq!(world.conflicts("s1").await.len(), 17);
}
