//! A gateway with its marketplace, both on one clock that the test moves.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::store;
use tidegate::store::portion::Portion;
use tidegate_fakes::atom::{FakeAtom, Generation, skill_id};

use crate::support::{Caller, Gateway, Setup, Socket, Token, eventually};

/// The stream that all devices may follow.
pub(super) const STREAM: &str = "marketplace";

/// A marketplace whose gateway has not started yet.
pub(super) struct Stage {
    pub(super) atom: FakeAtom,
    setup: Setup,
}

impl Stage {
    /// Generation B, without a socket.
    pub(super) async fn new() -> Self {
        Self::of(Generation::B).await
    }

    pub(super) async fn of(generation: Generation) -> Self {
        let setup = Setup::new();
        let atom = FakeAtom::start_on(0, generation, setup.clock()).await.unwrap();
        let contract = match generation {
            Generation::A => "a",
            Generation::B => "b",
            Generation::C => "c",
        };
        let setup = setup
            .set("marketplace.contract", contract)
            .set("marketplace.base_url", &atom.url())
            .set("marketplace.token", atom.token())
            .set("marketplace.backoff_ms", "[10, 20]");
        Self { atom, setup }
    }

    /// With this many skills in eight categories.
    pub(super) fn filled(self, skills: usize) -> Self {
        self.atom.fill(skills, 8);
        self
    }

    /// With a setting of the marketplace.
    pub(super) fn set(self, key: &str, value: &str) -> Self {
        self.set_any(&format!("marketplace.{key}"), value)
    }

    /// With any setting.
    pub(super) fn set_any(self, key: &str, value: &str) -> Self {
        Self { setup: self.setup.set(key, value), ..self }
    }

    /// The gateway holds a socket to the marketplace.
    pub(super) fn with_socket(self) -> Self {
        let url = self.atom.ws_url();
        self.set("ws_url", &url)
    }

    /// The clocks of both stand from before the start on; milliseconds.
    pub(super) fn stop_clock(&self) -> i64 {
        self.setup.stop_clock()
    }

    /// As [`Setup::on_postgres`].
    pub(super) async fn on_postgres(self) -> Option<Self> {
        Some(Self { setup: self.setup.on_postgres().await?, ..self })
    }

    pub(super) async fn start(self) -> World {
        let Self { atom, setup } = self;
        World { gateway: setup.start().await, atom }
    }

    /// Starts, and waits until the first run has ended well and, where there
    /// is one, the socket is up.
    pub(super) async fn synced(self) -> World {
        let world = self.start().await;
        let run = world.ended(1).await;
        assert_eq!(run["status"], "idle", "{run}");
        if !world.gateway.config().marketplace.ws_url.is_empty() {
            world.connected(true).await;
        }
        world
    }
}

/// A running gateway and its marketplace.
pub(super) struct World {
    pub(super) gateway: Gateway,
    pub(super) atom: FakeAtom,
}

impl World {
    pub(super) fn operator(&self) -> Caller {
        self.gateway.caller("operator", &Token::admin("operator").sign())
    }

    pub(super) fn user(&self) -> Caller {
        self.gateway.caller("user", &Token::device("u1").sign()).quiet()
    }

    /// `GET /api/v1/admin/sync/status`.
    pub(super) async fn status(&self) -> Value {
        self.operator().quiet().get("/api/v1/admin/sync/status").await.expect(200)
    }

    /// `GET /api/v1/admin/websocket/status`.
    pub(super) async fn socket_status(&self) -> Value {
        self.operator().quiet().get("/api/v1/admin/websocket/status").await.expect(200)
    }

    /// Waits until so many runs have ended, and none is under way; how they
    /// stand.
    pub(super) async fn ended(&self, runs: i64) -> Value {
        eventually("a run's end", async || {
            let run = self.status().await["sync"].take();
            let count = run["total_syncs"].as_i64().unwrap();
            assert!(count <= runs, "more runs than expected: {run}");
            (count == runs && run["status"] != "syncing").then_some(run)
        })
        .await
    }

    /// Asks for a run.
    pub(super) async fn trigger(&self) {
        let path = "/api/v1/admin/sync/trigger";
        self.operator().quiet().post(path, &json!({})).await.expect(202);
    }

    /// One whole run; how they stand after it.
    pub(super) async fn sync(&self) -> Value {
        let before = self.status().await["sync"]["total_syncs"].as_i64().unwrap();
        self.trigger().await;
        self.ended(before + 1).await
    }

    /// Waits until the socket to the marketplace is up, or down.
    pub(super) async fn connected(&self, is_up: bool) {
        eventually("the socket's state", async || {
            (self.socket_status().await["connected"] == is_up).then_some(())
        })
        .await;
    }

    /// The last seq of the stream.
    pub(super) async fn head(&self) -> i64 {
        let readers = self.gateway.running().state().store.readers();
        let heads = store::head::load(readers, &[STREAM.to_owned()]).await.unwrap();
        heads.get(STREAM).map_or(0, |head| head.seq)
    }

    /// All rows of items, as the database has them, but for when a listing last
    /// named them.
    pub(super) async fn dump(&self) -> Vec<String> {
        let readers = self.gateway.running().state().store.readers();
        let all = Portion { rows: 100_000, bytes: usize::MAX };
        let items = store::market::page(readers, ("", ""), all).await.unwrap().rows;
        let keys: Vec<_> = items.into_iter().map(|item| (item.kind, item.id)).collect();
        let mut rows = store::market::load(readers, &keys).await.unwrap();
        for row in &mut rows {
            row.listed_at = 0;
        }
        let mut rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
        rows.sort_unstable();
        rows
    }

    /// What the API lists: data by id.
    pub(super) async fn skills(&self) -> BTreeMap<String, Value> {
        let mut found = BTreeMap::new();
        for page in 1.. {
            let path = format!("/api/v1/marketplace/skills?page={page}&page_size=500");
            let answer = self.user().get(&path).await.expect(200);
            for item in answer["items"].as_array().unwrap() {
                found.insert(item["id"].as_str().unwrap().to_owned(), item["data"].clone());
            }
            if answer["next_cursor"].is_null() {
                break;
            }
        }
        found
    }

    /// Names of the categories that the API lists.
    pub(super) async fn categories(&self) -> Vec<String> {
        let answer = self.user().get("/api/v1/marketplace/categories").await.expect(200);
        let items = answer["items"].as_array().unwrap().iter();
        items.map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    }

    /// One skill as the API has it; null where there is none.
    pub(super) async fn skill(&self, id: &str) -> Value {
        let answer = self.user().get(&format!("/api/v1/marketplace/skills/{id}")).await;
        if answer.status == 404 { Value::Null } else { answer.expect(200) }
    }

    /// Waits until a skill is as the test wants it.
    pub(super) async fn skill_is(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        eventually("the skill's state", async || {
            let skill = self.skill(id).await;
            is_so(&skill).then_some(skill)
        })
        .await
    }

    /// Waits until there is no such skill.
    pub(super) async fn skill_is_gone(&self, id: &str) {
        eventually("the skill's end", async || {
            let answer = self.user().get(&format!("/api/v1/marketplace/skills/{id}")).await;
            (answer.status == 404).then_some(())
        })
        .await;
    }

    /// What the marketplace has of the first skills that were filled in.
    pub(super) fn truth(&self, skills: usize) -> BTreeMap<String, Value> {
        let ids = (0..skills).map(skill_id);
        ids.filter_map(|id| Some((id.clone(), self.atom.skill(&id)?))).collect()
    }

    /// The gateway has what the marketplace has, and nothing else.
    pub(super) async fn assert_same(&self, filled: usize) {
        let (held, truth) = (self.skills().await, self.truth(filled));
        let missing: Vec<_> = truth.keys().filter(|id| !held.contains_key(*id)).collect();
        let surplus: Vec<_> = held.keys().filter(|id| !truth.contains_key(*id)).collect();
        assert!(missing.is_empty() && surplus.is_empty(), "-{missing:?} +{surplus:?}");
        assert_eq!(held, truth);
    }

    /// Moves the clocks of both.
    pub(super) fn move_clock(&self, by: Duration) {
        self.gateway.move_clock(by);
    }

    /// Sets the clocks of both back; the gateway looks.
    pub(super) async fn set_clock_back(&self, by: Duration) {
        self.gateway.set_clock_back(by);
        self.gateway.pass_time(Duration::from_secs(2)).await;
    }

    /// A figure of `/metrics`; 0 where it is not there.
    pub(super) async fn figure(&self, name: &str) -> u64 {
        let answer = self.user().get("/metrics").await;
        let line =
            answer.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |text| text.parse().unwrap())
    }

    /// How many messages of the socket came to this end.
    pub(super) async fn messages(&self, result: &str) -> u64 {
        let name = format!("tidegate_marketplace_messages_total{{result=\"{result}\"}}");
        self.figure(&name).await
    }

    /// A device that follows the marketplace, past its snapshots; and the
    /// items of the marketplace's.
    pub(super) async fn follow(&self, name: &str) -> (Socket, Vec<Value>) {
        let device = self.gateway.device(name, "u1");
        let mut hello = device.hello();
        hello["subscribe"] = json!([STREAM]);
        let mut socket = device.connect().await;
        // Upstream's times are not written as the gateway writes its own.
        socket.quiet(true);
        socket.begin(&hello).await;
        assert!(socket.snapshot().await.is_empty());
        let items = socket.snapshot().await;
        (socket, items)
    }
}
