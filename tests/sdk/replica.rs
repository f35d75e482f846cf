//! Invariant 2 of the protocol: a replica equals the fold of its stream, over
//! any mix of socket, poll and cuts.

use std::collections::BTreeMap;

use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tidegate::store;
use tidegate_protocol::id::StreamName;

use crate::sdk::network::Network;
use crate::sdk::phone::{Phone, Running};
use crate::sdk::setup;
use crate::seed;
use crate::support::{Gateway, Token, bounded, eventually};

/// What was published: version and data by id; no data after a delete.
type Model = BTreeMap<String, (i64, Option<Value>)>;

const STREAM: &str = "news";

/// Steps of each history.
const STEPS: usize = 25;

/// A backend that publishes and remembers.
struct Backend {
    rng: StdRng,
    model: Model,
}

impl Backend {
    /// Publishes a few changes in one call.
    async fn publish(&mut self, gateway: &Gateway) {
        let mut model = self.model.clone();
        let changes: Vec<Value> =
            (0..self.rng.random_range(1..8)).map(|_| self.change(&mut model)).collect();
        let backend = gateway.backend().quiet();
        let body = json!({ "records": changes });
        backend.post("/api/v1/streams/news/records", &body).await.expect(202);
        self.model = model;
    }

    fn change(&mut self, model: &mut Model) -> Value {
        let id = self.rng.random_range(0..12).to_string();
        let (version, data) = model.get(&id).cloned().unwrap_or_default();
        let field = format!("f{}", self.rng.random_range(0..4));
        let value = json!({ "n": self.rng.random::<u32>(), "text": "x".repeat(40) });
        let mut change = json!({ "collection": "c", "id": id });
        let after = match (self.rng.random_range(0..10), data) {
            (0..2, Some(_)) => {
                change["op"] = json!("delete");
                None
            }
            (2..8, Some(mut data)) => {
                change["op"] = json!("patch");
                if self.rng.random_bool(0.2) {
                    change["patch"] = json!({ field.as_str(): null });
                    data.as_object_mut().unwrap().remove(&field);
                } else {
                    change["patch"] = json!({ field.as_str(): value });
                    merge(&mut data[field.as_str()], value);
                }
                Some(data)
            }
            _ => {
                let data = json!({ field: value, "fixed": 1 });
                change["op"] = json!("put");
                change["data"] = data.clone();
                Some(data)
            }
        };
        model.insert(id, (version + 1, after));
        change
    }
}

/// A field after a patch of objects without nulls.
fn merge(field: &mut Value, patch: Value) {
    match patch {
        Value::Object(members) if field.is_object() => {
            for (name, value) in members {
                merge(&mut field[name.as_str()], value);
            }
        }
        other => *field = other,
    }
}

/// What the phone holds, as the model tells it.
async fn held(running: &Running) -> Model {
    let stream = StreamName::parse(STREAM).unwrap();
    let replica = running.device.replica(&stream).await.unwrap();
    let row = |change: tidegate_device::handler::Change| {
        let data = change.data.map(|data| serde_json::from_str(data.get()).unwrap());
        (change.id, (change.version, data))
    };
    replica.into_iter().map(row).collect()
}

async fn until_caught_up(gateway: &Gateway, running: &Running) {
    let readers = gateway.running().state().store.readers();
    let heads = store::head::load(readers, &[STREAM.to_owned()]).await.unwrap();
    // A stream begins with its first entry or its first reader: before both
    // there is nothing to catch up with.
    let Some(head) = heads.get(STREAM).map(|head| head.seq) else { return };
    let stream = StreamName::parse(STREAM).unwrap();
    eventually("the phone holds everything", async || {
        let cursors = running.device.cursors().await.unwrap();
        cursors.get(&stream).is_some_and(|cursor| cursor.seq.get() == head).then_some(())
    })
    .await;
}

/// One history: publishes, cuts, restarts, polls, and trims in between.
async fn history(seed: u64) {
    let setup = setup().set("journal.retention_entries", "100").set("journal.trim_interval_s", "1");
    let mut gateway = setup.start().await;
    let network = Network::to(&gateway.address()).await;
    let mut phone = Phone::with_token(Token::device("u1").sign());
    phone.subscribe = vec![StreamName::parse(STREAM).unwrap()];
    let mut backend = Backend { rng: seed::rng(seed), model: Model::new() };
    let mut running = None;
    for _ in 0..STEPS {
        for _ in 0..backend.rng.random_range(0..4) {
            backend.publish(&gateway).await;
        }
        match backend.rng.random_range(0..7) {
            0 => network.cut(),
            1 => network.refuse_sockets(backend.rng.random_bool(0.5)),
            2 => {
                gateway.restart().await;
                network.lead_to(&gateway.address());
                network.cut();
            }
            3 => match running.take() {
                Some(running) => Running::stop(running).await,
                None => running = Some(phone.start(&network.url()).await),
            },
            4 if running.is_none() => {
                let device = phone.open(&network.url()).await;
                bounded("one round", device.sync_once(0)).await.unwrap();
                device.close().await.unwrap();
            }
            5 => {
                if let Some(running) = &running {
                    until_caught_up(&gateway, running).await;
                    assert_eq!(live(&held(running).await), live(&backend.model));
                }
            }
            _ => {}
        }
    }
    network.refuse_sockets(false);
    let running = match running {
        Some(running) => running,
        None => phone.start(&network.url()).await,
    };
    backend.publish(&gateway).await;
    until_caught_up(&gateway, &running).await;
    assert_eq!(live(&held(&running).await), live(&backend.model));
    running.stop().await;
}

/// Records that are there: versions of deleted ones are each side's own
/// memory.
fn live(model: &Model) -> Model {
    model
        .iter()
        .filter(|(_, (_, data))| data.is_some())
        .map(|(id, row)| (id.clone(), row.clone()))
        .collect()
}

#[tokio::test]
async fn a_replica_equals_the_fold_of_its_stream() {
    for seed in seed::rounds("a_replica_equals_the_fold_of_its_stream", 4) {
        seed::say(&seed::replay(seed));
        history(seed).await;
    }
}
