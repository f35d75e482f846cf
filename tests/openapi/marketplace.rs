//! What calls about the marketplace answer when they do their work, and
//! refusals of their own.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_clock::Clock;
use tidegate_fakes::atom::answer::Answer as Upstream;
use tidegate_fakes::atom::{FakeAtom, Generation};

use crate::openapi::call::{Seen, caller};
use crate::support::{Caller, Gateway, Setup, eventually};

const SKILLS: &str = "/api/v1/marketplace/skills";
const TRIGGER: &str = "/api/v1/admin/sync/trigger";

fn skill(id: &str, description: &str) -> Value {
    json!({
        "skill_id": id,
        "name": id,
        "description": description,
        "version": "1.0.0",
        "category": "data",
        "created_at": "2026-01-01T00:00:00.000Z",
        "updated_at": "2026-01-02T00:00:00.000Z",
    })
}

struct World {
    gateway: Gateway,
    atom: FakeAtom,
    operator: Caller,
}

impl World {
    async fn start() -> Self {
        let atom = FakeAtom::start_on(0, Generation::B, Clock::system()).await.unwrap();
        for id in ["s1", "s2"] {
            atom.put_skill(skill(id, "as it was"));
        }
        atom.put_category(json!({ "name": "data", "description": "All about data" }));
        let setup = Setup::new()
            .set("marketplace.base_url", &atom.url())
            .set("marketplace.token", atom.token())
            .set("marketplace.backoff_ms", "[10]")
            .set("marketplace.rating_attempts", "1")
            .set("marketplace.strategy", "manual");
        let gateway = setup.start().await;
        let operator = caller(&gateway, "admin");
        let world = Self { gateway, atom, operator };
        world.is_idle(1).await;
        world
    }

    /// Waits until so many runs have ended, and none is under way.
    async fn is_idle(&self, runs: i64) {
        eventually("the end of a run", async || {
            let status = self.operator.get("/api/v1/admin/sync/status").await.expect(200);
            let sync = &status["sync"];
            let is_over = sync["total_syncs"].as_i64()? >= runs && sync["status"] != "syncing";
            is_over.then_some(())
        })
        .await;
    }

    async fn post(&self, path: &str, body: &Value, status: u16) -> Value {
        self.operator.post(path, body).await.expect(status)
    }

    async fn call(&self, method: Method, path: &str, body: &Value, status: u16) {
        let body = body.to_string();
        self.operator.call(method, path, Some(&body)).await.expect(status);
    }
}

/// With its tag, an answer is told once.
async fn reads(world: &World) {
    for path in [SKILLS, "/api/v1/marketplace/categories", "/api/v1/marketplace/skills/s1"] {
        let answer = world.operator.get(path).await;
        let tag = answer.header("etag").unwrap().to_owned();
        answer.expect(200);
        let again = world.operator.clone().with_header("if-none-match", &tag);
        again.get(path).await.expect(304);
    }
}

async fn ratings(world: &World) {
    world.atom.script().extend("rate", [Upstream::Unavailable { retry_after: None }]);
    world.post(&format!("{SKILLS}/s1/rate"), &json!({ "rating": 5, "comment": "x" }), 202).await;
    world.post("/api/v1/admin/sync/ratings", &json!({}), 202).await;
    let dead = eventually("a dead letter", async || {
        let page = world.operator.get("/api/v1/admin/ratings/failed").await.expect(200);
        page["items"][0]["id"].as_str().map(str::to_owned)
    });
    let path = format!("/api/v1/admin/ratings/failed/{}/retry", dead.await);
    world.post(&path, &json!({}), 202).await;
    let rating = format!("{SKILLS}/s1/rate");
    for status in [200, 404] {
        world.operator.call(Method::DELETE, &rating, None).await.expect(status);
    }
}

/// Edits both skills here and upstream.
async fn open_conflicts(world: &World) {
    for id in ["s1", "s2"] {
        let path = format!("{SKILLS}/{id}");
        world.call(Method::PATCH, &path, &json!({ "description": "ours" }), 200).await;
        let stale = world.operator.clone().with_header("if-match", "\"77\"");
        let body = json!({ "description": "again" }).to_string();
        let refused = stale.call(Method::PATCH, &path, Some(&body)).await;
        refused.expect_error(409, "version_conflict");
        world.atom.edit_skill(id, |skill| skill["description"] = "theirs".into());
    }
    world.atom.script().extend("skills", [Upstream::Slow(Duration::from_millis(300))]);
    world.post(TRIGGER, &json!({}), 202).await;
    let refused = world.operator.post(TRIGGER, &json!({})).await;
    refused.expect_error(409, "sync_already_in_progress");
    world.is_idle(2).await;
}

/// Decides the conflict about a skill, by the calls below this path.
async fn decide(world: &World, below: &str, skill: &str) {
    let page = world.operator.get(&format!("{below}?subject=skill:{skill}")).await.expect(200);
    let conflict = &page["items"][0];
    let path = format!("{below}/{}", conflict["conflict_id"].as_str().unwrap());
    world.operator.get(&path).await.expect(200);
    let version = conflict["current_version"].as_i64().unwrap();
    let decision = |version: i64| {
        let id = &conflict["conflict_id"];
        json!({ "conflict_id": id, "choice": "local", "expected_remote_version": version })
    };
    let resolve = format!("{path}/resolve");
    let moved = world.post(&resolve, &decision(version + 1), 409).await;
    assert_eq!(moved["remote"]["version"], version);
    let bulk = json!({ "conflicts": [decision(version + 1)] });
    world.post(&format!("{below}/bulk-resolve"), &bulk, 207).await;
    world.post(&resolve, &decision(version), 200).await;
    let undo = |version: i64| json!({ "loser": "remote", "expected_remote_version": version });
    let restore = format!("{path}/restore");
    world.post(&restore, &undo(version), 409).await;
    world.post(&restore, &undo(version + 1), 200).await;
}

async fn settings(world: &World) {
    let config = "/api/v1/admin/sync/config";
    world.operator.get(config).await.expect(200);
    world.call(Method::PUT, config, &json!({ "strategy": "merge" }), 200).await;
    world.operator.get("/api/v1/admin/websocket/status").await.expect(200);
    for (word, status) in
        [("reconnect", 202), ("disable", 200), ("reconnect", 409), ("enable", 200)]
    {
        world.post(&format!("/api/v1/admin/websocket/{word}"), &json!({}), status).await;
    }
}

async fn health(world: &World) {
    let anyone = world.operator.clone().without_token();
    anyone.get("/health/sync").await.expect(200);
    world.atom.set_down(true);
    world.gateway.move_clock(Duration::from_mins(61));
    anyone.get("/health/sync").await.expect(503);
}

pub(super) async fn all() -> Seen {
    let world = World::start().await;
    reads(&world).await;
    ratings(&world).await;
    open_conflicts(&world).await;
    decide(&world, "/api/v1/conflicts", "s1").await;
    decide(&world, "/api/v1/admin/conflicts", "s2").await;
    settings(&world).await;
    health(&world).await;
    world.gateway.transcript().answers()
}
