//! Random edits on both sides, under changing strategies: whatever happens,
//! devices hold what is served, and what nobody changes stays.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Value, json};

use crate::market::detection::STRATEGIES;
use crate::market::world::{World, skill};
use crate::seed;
use crate::support::Socket;

const IDS: [&str; 3] = ["s1", "s2", "s3"];

/// Steps of one round.
const STEPS: usize = 40;

/// A device's copy of the skills: the fold of what it was sent.
struct Replica {
    socket: Socket,
    skills: BTreeMap<String, (i64, Value)>,
}

impl Replica {
    /// Follows the marketplace from its beginning.
    async fn of(world: &World) -> Self {
        Self::of_skills(world, ["Skill"; 3]).await
    }

    /// The same, of skills with these names.
    async fn of_skills(world: &World, names: [&str; 3]) -> Self {
        let skills = IDS.iter().zip(names);
        let skills = skills.map(|(id, name)| ((*id).to_owned(), (1, skill(id, name))));
        Self { socket: world.follower("u1").await, skills: skills.collect() }
    }

    /// Applies an entry as the protocol says: a patch on its very base.
    fn apply(&mut self, body: &Value) {
        let id = body["id"].as_str().unwrap().to_owned();
        let version = body["version"].as_i64().unwrap();
        let known = self.skills.remove(&id);
        let before = known.as_ref().map_or(0, |(version, _)| *version);
        assert!(version > before, "{body} after version {before}");
        match body["op"].as_str().unwrap() {
            "put" => {
                self.skills.insert(id, (version, body["data"].clone()));
            }
            "patch" => {
                assert_eq!(body["base_version"], before, "{body}");
                let (_, mut data) = known.expect("a patch has a base");
                merge(&mut data, &body["patch"]);
                self.skills.insert(id, (version, data));
            }
            op => assert_eq!(op, "delete", "{body}"),
        }
    }

    /// Takes entries until every skill is as it is served.
    async fn catch_up(&mut self, world: &World) {
        let page = world.admin.get("/api/v1/marketplace/skills").await.expect(200);
        let served: BTreeMap<String, (i64, Value)> = page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| {
                let version = item["version"].as_i64().unwrap();
                (item["id"].as_str().unwrap().to_owned(), (version, item["data"].clone()))
            })
            .collect();
        while self.skills != served {
            let events = self.socket.expect("events").await;
            for entry in events["entries"].as_array().unwrap() {
                self.apply(&entry["body"]);
            }
            self.socket.ack(&events).await;
        }
        self.socket.expect_nothing_pending().await;
    }
}

/// An RFC 7396 merge patch, without nulls.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (name, value) in fields {
        assert!(!value.is_null(), "a patch on the wire holds no null");
        merge(&mut target[name], value);
    }
}

/// A few fields with new values.
fn fields(rng: &mut StdRng) -> Value {
    let mut fields = Map::new();
    for _ in 0..rng.random_range(1..=3) {
        let number = rng.random_range(0..6);
        let words = ["a", "b", "c", "d"];
        let list: Vec<&&str> = words.iter().filter(|_| rng.random_bool(0.4)).collect();
        let (name, value) = match rng.random_range(0..6) {
            0 => ("description", json!(format!("text {number}"))),
            1 => ("version", json!(format!("1.{number}.0"))),
            2 => ("python_packages", json!(list)),
            3 => ("tags", json!(list)),
            4 => ("metadata", json!({ "author": "Nadia Okoro", "level": number })),
            _ => ("code", json!(format!("code {number}"))),
        };
        fields.insert(name.to_owned(), value);
    }
    Value::Object(fields)
}

/// One random step; what it was.
async fn step(world: &World, rng: &mut StdRng) -> String {
    let id = *IDS.choose(rng).unwrap();
    match rng.random_range(0..10) {
        0 => {
            let strategy = *STRATEGIES.choose(rng).unwrap();
            world.strategy(strategy).await;
            strategy.to_owned()
        }
        1..=3 => {
            let patch = fields(rng);
            let status = world.try_edit(id, &patch).await.status.as_u16();
            assert!([200, 404, 409].contains(&status), "{status}");
            format!("edit {id} {patch}: {status}")
        }
        4..=6 => {
            let change = fields(rng);
            if world.atom.skill(id).is_none() {
                world.atom.put_skill(skill(id, "Skill"));
            }
            world.remote(id, &change);
            format!("upstream {id} {change}")
        }
        7 if rng.random_bool(0.3) => {
            world.atom.remove_skill(id);
            format!("upstream deletes {id}")
        }
        8 => {
            let open = world.admin.get("/api/v1/conflicts?status=open").await.expect(200);
            let Some(conflict) = open["items"].as_array().unwrap().choose(rng).cloned() else {
                return "nothing to decide".to_owned();
            };
            let choice = *["local", "remote", "merged"].choose(rng).unwrap();
            let version = conflict["current_version"].clone();
            let decision = json!({ "choice": choice, "expected_remote_version": version });
            world.resolve(&conflict, &decision).await.expect(200);
            format!("{} of {} is chosen", choice, conflict["subject"])
        }
        _ => {
            world.sync().await;
            "sync".to_owned()
        }
    }
}

/// The replica follows every step, nothing changes in a sync without news,
/// and with every conflict decided for upstream all is as upstream has it.
async fn round(seed: u64) {
    let mut rng = seed::rng(seed);
    let world = World::filled(&IDS.map(|id| skill(id, "Skill")), |setup, _| setup).await;
    let mut replica = Replica::of(&world).await;
    for _ in 0..STEPS {
        let what = step(&world, &mut rng).await;
        seed::say(&what);
        world.pass(Duration::from_secs(rng.random_range(0..20)));
        replica.catch_up(&world).await;
    }
    world.sync().await;
    replica.catch_up(&world).await;
    let settled = replica.skills.clone();
    let count = async || {
        let page = world.admin.get("/api/v1/conflicts?limit=500").await.expect(200);
        page["items"].as_array().unwrap().len()
    };
    let conflicts = count().await;
    for strategy in STRATEGIES {
        world.strategy(strategy).await;
        world.sync().await;
    }
    replica.catch_up(&world).await;
    assert_eq!(replica.skills, settled, "no news, no change");
    assert_eq!(count().await, conflicts, "no news, no conflict");
    for (id, (_, data)) in &settled {
        let version = data["version"].as_str().unwrap();
        assert!(version.len() <= 8, "{id}: {version}");
    }
    end_with_upstream(&world, &mut replica).await;
}

/// Decides for upstream what is open, and lets remote win from now on.
async fn end_with_upstream(world: &World, replica: &mut Replica) {
    world.strategy("remote_wins").await;
    let open = world.admin.get("/api/v1/conflicts?status=open").await.expect(200);
    for conflict in open["items"].as_array().unwrap() {
        let version = conflict["current_version"].clone();
        let decision = json!({ "choice": "remote", "expected_remote_version": version });
        world.resolve(conflict, &decision).await.expect(200);
    }
    for id in IDS {
        if world.atom.skill(id).is_none() {
            world.atom.put_skill(skill(id, "Skill"));
        }
        world.remote(id, &json!({ "description": "the last word" }));
    }
    world.sync().await;
    replica.catch_up(world).await;
    for id in IDS {
        let skill = world.skill(id).await;
        assert_eq!(skill["data"], world.atom.skill(id).unwrap(), "{id}");
        assert_eq!((&skill["edited"], &skill["conflict_id"]), (&Value::Null, &Value::Null));
    }
}

/// Edits, polls, messages and decisions at the same time: nothing is sent to
/// devices that is not so, and the last word of upstream's is heard.
#[tokio::test]
async fn edits_at_the_same_time_converge() {
    let world = World::with_socket().await;
    let mut replica =
        Replica::of_skills(&world, ["Send Email", "Fetch Invoice", "Plan Meeting"]).await;
    world.strategy("manual").await;
    let edits = async {
        for number in 0..30 {
            let patch = json!({ "description": format!("ours {number}") });
            let status = world.try_edit(IDS[number % 3], &patch).await.status.as_u16();
            assert!([200, 409].contains(&status), "{status}");
        }
    };
    let upstream = async {
        for number in 0..30 {
            let id = IDS[number % 3];
            world.remote(id, &json!({ "description": format!("theirs {number}") }));
            world.atom.announce_skill(id);
            if number % 5 == 0 {
                world.sync().await;
            }
        }
    };
    let decisions = async {
        for number in 0..30 {
            let open = world.admin.get("/api/v1/conflicts?status=open").await.expect(200);
            for conflict in open["items"].as_array().unwrap() {
                let choice = ["local", "remote", "merged"][number % 3];
                let version = conflict["current_version"].clone();
                let decision = json!({ "choice": choice, "expected_remote_version": version });
                let status = world.resolve(conflict, &decision).await.status.as_u16();
                assert!([200, 409].contains(&status), "{status}");
            }
        }
    };
    futures_util::join!(edits, upstream, decisions);
    world.sync().await;
    replica.catch_up(&world).await;
    end_with_upstream(&world, &mut replica).await;
}

#[tokio::test]
async fn random_edits_converge() {
    for seed in seed::rounds("random_edits_converge", 4) {
        seed::say(&seed::replay(seed));
        round(seed).await;
    }
}
