//! A gateway with a marketplace upstream that shares its clock.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tidegate::store;
use tidegate_fakes::atom::{FakeAtom, Generation};

use crate::support::{Answer, Caller, Gateway, Setup, Socket, Token, eventually};

/// `sub` of the operator who edits and decides in these tests.
pub(super) const EDITOR: &str = "ann";

pub(super) struct World {
    pub(super) gateway: Gateway,
    pub(super) atom: FakeAtom,
    /// The editor's calls, not written down.
    pub(super) admin: Caller,
}

/// A skill as upstream lists it.
pub(super) fn skill(id: &str, name: &str) -> Value {
    json!({
        "skill_id": id,
        "name": name,
        "description": format!("{name}, step by step"),
        "version": "1.0.0",
        "code": "def run(): pass",
        "command": "python",
        "python_packages": ["requests"],
        "npm_packages": [],
        "tags": ["daily"],
        "metadata": { "author": "Nadia Okoro" },
        "category": "data",
        "average_rating": 4.5,
        "rating_count": 2,
        "created_at": "2026-01-01T00:00:00.000Z",
        "updated_at": "2026-01-02T00:00:00.000Z",
    })
}

impl World {
    /// Three skills, synchronised; no socket.
    pub(super) async fn start() -> Self {
        Self::with(|setup, _| setup).await
    }

    /// The same with a socket, which is up.
    pub(super) async fn with_socket() -> Self {
        let world = Self::with(|setup, atom| setup.set("marketplace.ws_url", &atom.ws_url())).await;
        world.atom.socket_connected().await;
        world
    }

    /// With settings of the test's own.
    pub(super) async fn with(change: impl FnOnce(Setup, &FakeAtom) -> Setup) -> Self {
        let names = [("s1", "Send Email"), ("s2", "Fetch Invoice"), ("s3", "Plan Meeting")];
        let skills = names.map(|(id, name)| skill(id, name));
        Self::filled(&skills, change).await
    }

    /// With these skills, and the category `data`.
    pub(super) async fn filled(
        skills: &[Value],
        change: impl FnOnce(Setup, &FakeAtom) -> Setup,
    ) -> Self {
        let setup = Setup::new();
        let atom = FakeAtom::start_on(0, Generation::B, setup.clock()).await.unwrap();
        for skill in skills {
            atom.put_skill(skill.clone());
        }
        atom.put_category(json!({ "name": "data", "description": "All about data" }));
        let setup = setup
            .set("marketplace.base_url", &atom.url())
            .set("marketplace.token", atom.token())
            .set("marketplace.backoff_ms", "[10, 20]");
        let gateway = change(setup, &atom).start().await;
        let admin = gateway.caller("ann", &Token::admin(EDITOR).sign()).quiet();
        let world = Self { gateway, atom, admin };
        world.synced(0).await;
        world
    }

    /// Waits until more than so many runs have ended.
    async fn synced(&self, runs: i64) {
        eventually("a synchronisation", async || {
            let sync = self.status().await["sync"].clone();
            let is_over = sync["total_syncs"].as_i64()? > runs && sync["status"] != "syncing";
            is_over.then_some(())
        })
        .await;
    }

    /// Has the gateway poll, and waits until it has.
    pub(super) async fn sync(&self) {
        let runs = eventually("a time without a run", async || {
            let sync = self.status().await["sync"].clone();
            let runs = sync["total_syncs"].as_i64()?;
            if sync["status"] == "syncing" {
                return None;
            }
            let asked = self.admin.post("/api/v1/admin/sync/trigger", &json!({})).await;
            (asked.status == 202).then_some(runs)
        });
        self.synced(runs.await).await;
    }

    /// `GET /api/v1/admin/sync/status`.
    pub(super) async fn status(&self) -> Value {
        self.admin.get("/api/v1/admin/sync/status").await.expect(200)
    }

    /// Starts the gateway anew on the same data.
    pub(super) async fn restart(&mut self) {
        self.gateway.restart().await;
        self.admin = self.caller(&Token::admin(EDITOR));
    }

    /// Somebody else's calls.
    pub(super) fn caller(&self, token: &Token) -> Caller {
        self.gateway.caller("somebody", &token.sign()).quiet()
    }

    /// Moves the clocks of the gateway and of upstream.
    pub(super) fn pass(&self, by: Duration) {
        self.gateway.move_clock(by);
    }

    /// Decides conflicts like this from now on.
    pub(super) async fn strategy(&self, strategy: &str) {
        let body = json!({ "strategy": strategy });
        self.put("/api/v1/admin/sync/config", &body).await.expect(200);
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.admin.call(Method::PUT, path, Some(&body.to_string())).await
    }

    /// A local edit, refused or not.
    pub(super) async fn try_edit(&self, id: &str, patch: &Value) -> Answer {
        let skill = format!("/api/v1/marketplace/skills/{id}");
        self.admin.call(Method::PATCH, &skill, Some(&patch.to_string())).await
    }

    /// A local edit; the skill after it.
    pub(super) async fn edit(&self, id: &str, patch: Value) -> Value {
        self.try_edit(id, &patch).await.expect(200)
    }

    /// Changes fields upstream, where nobody hears of it yet.
    pub(super) fn remote(&self, id: &str, fields: &Value) {
        self.atom.edit_skill(id, |skill| {
            for (name, value) in fields.as_object().unwrap() {
                skill[name] = value.clone();
            }
        });
    }

    /// The skill as it is served.
    pub(super) async fn skill(&self, id: &str) -> Value {
        self.admin.get(&format!("/api/v1/marketplace/skills/{id}")).await.expect(200)
    }

    /// What it is.
    pub(super) async fn data(&self, id: &str) -> Value {
        self.skill(id).await["data"].clone()
    }

    /// Whether there is none.
    pub(super) async fn is_gone(&self, id: &str) -> bool {
        self.admin.get(&format!("/api/v1/marketplace/skills/{id}")).await.status == 404
    }

    /// Conflicts about a skill, newest first.
    pub(super) async fn conflicts(&self, id: &str) -> Vec<Value> {
        let path = format!("/api/v1/conflicts?subject=skill:{id}");
        let page = self.admin.get(&path).await.expect(200);
        page["items"].as_array().unwrap().clone()
    }

    /// The only one.
    pub(super) async fn conflict(&self, id: &str) -> Value {
        let mut conflicts = self.conflicts(id).await;
        assert_eq!(conflicts.len(), 1, "{conflicts:?}");
        conflicts.remove(0)
    }

    /// Makes an open conflict: the editor and upstream give a skill another
    /// description each.
    pub(super) async fn open_conflict(&self, id: &str) -> Value {
        self.strategy("manual").await;
        self.edit(id, json!({ "description": "ours" })).await;
        self.remote(id, &json!({ "description": "theirs" }));
        self.sync().await;
        let conflict = self.conflict(id).await;
        assert_eq!(conflict["status"], "open", "{conflict}");
        conflict
    }

    /// A person's word on a conflict, refused or not.
    pub(super) async fn resolve(&self, conflict: &Value, decision: &Value) -> Answer {
        let id = conflict["conflict_id"].as_str().unwrap();
        self.admin.post(&format!("/api/v1/conflicts/{id}/resolve"), decision).await
    }

    /// Brings back a side of a conflict.
    pub(super) async fn restore(&self, conflict: &Value, loser: &str, version: i64) -> Answer {
        let id = conflict["conflict_id"].as_str().unwrap();
        let body = json!({ "loser": loser, "expected_remote_version": version });
        self.admin.post(&format!("/api/v1/conflicts/{id}/restore"), &body).await
    }

    /// A device that follows the marketplace, past its snapshots.
    pub(super) async fn follower(&self, user: &str) -> Socket {
        let device = self.gateway.device("phone", user);
        let mut hello = device.hello();
        hello["subscribe"] = json!(["marketplace"]);
        let (mut socket, _) = device.open_with(&hello).await;
        socket.snapshot().await;
        socket.snapshot().await;
        socket
    }

    /// Who did what to a subject, oldest first: `(actor, action, detail)`.
    pub(super) async fn audit(&self, subject: &str) -> Vec<(String, String, Value)> {
        let readers = self.gateway.running().state().store.readers();
        let mut rows = store::audit::about(readers, subject).await.unwrap();
        rows.sort_by(|left, right| left.id.cmp(&right.id));
        let detail = |text: Option<String>| {
            text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
        };
        rows.into_iter().map(|row| (row.actor, row.action, detail(row.detail))).collect()
    }
}
