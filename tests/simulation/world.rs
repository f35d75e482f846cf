//! Everything there is: a node that can be dropped and opened again, a backend,
//! and devices.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use tidegate::ingest::commands::Report;
use tidegate::session::Moment;
use tidegate::store;
use tidegate::store::portion::Portion;
use tidegate_protocol::command::{Channel, CommandResult, Outcome};
use tidegate_protocol::id::{CommandId, UserId};
use tidegate_protocol::rest::{CreateCommand, RecordChange};

use crate::seed;
use crate::simulation::Step;
use crate::simulation::connection::{Device, news};
use crate::simulation::market::Upstream;
use crate::simulation::node::{Around, Node, Place};
use crate::simulation::rows::Row;

/// A command that was asked for.
pub(super) struct Asked {
    pub(super) id: CommandId,
    pub(super) user: UserId,
    key: String,
    body: Value,
}

/// What was done so far, told if it fails.
struct Trace {
    seed: u64,
    steps: Vec<Step>,
}

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (number, step) in self.steps.iter().enumerate() {
                seed::say(&format!("{number}: {step:?}"));
            }
            seed::say(&format!("simulation: {}", seed::replay(self.seed)));
        }
    }
}

pub(super) struct World {
    pub(super) around: Arc<Around>,
    pub(super) rng: StdRng,
    pub(super) node: Node,
    pub(super) devices: Vec<Device>,
    pub(super) asked: Vec<Asked>,
    pub(super) upstream: Upstream,
    /// Rows that were trimmed, by stream.
    pub(super) trimmed: BTreeMap<String, Vec<Row>>,
    /// Whether the last step was one that changes the marketplace.
    pub(super) is_market_touched: bool,
    /// Requests to the push service that were looked at.
    pub(super) requests: usize,
    /// The time that never jumps back.
    mono_ms: u64,
    trace: Trace,
    place: Place,
}

/// A read that nothing bounds.
pub(super) const ALL: Portion = Portion { rows: 1_000_000, bytes: usize::MAX };

impl World {
    pub(super) async fn new(around: Arc<Around>, seed: u64) -> Self {
        let trace = Trace { seed, steps: Vec::new() };
        let place = Place::new(&around).await;
        let token = |name: &str| format!("{name}-{seed:016x}");
        let devices = vec![
            Device::new("u1", &["scale"]).with_token(token("u1")),
            Device::new("u1", &[]),
            Device::new("u2", &[]).with_token(token("u2")),
            Device::new("u2", &["scale"]),
            Device::new("u3", &[]).with_token(token("u3")),
        ];
        let mut world = Self {
            node: Node::open(&around, &place).await,
            rng: seed::rng(seed),
            devices,
            asked: Vec::new(),
            upstream: Upstream::default(),
            trimmed: BTreeMap::new(),
            is_market_touched: true,
            requests: around.fcm.requests().len(),
            mono_ms: 0,
            trace,
            around,
            place,
        };
        world.lead().await;
        world
    }

    /// Remembers a step for the message of a failure.
    pub(super) fn trace(&mut self, step: Step) {
        self.trace.steps.push(step);
    }

    pub(super) fn now(&self) -> Moment {
        Moment { mono_ms: self.mono_ms, wall: self.around.clock.now() }
    }

    pub(super) async fn take(&mut self, step: Step) {
        self.mono_ms += self.rng.random_range(0..500);
        let (at, now) = (self.rng.random_range(0..self.devices.len()), self.now());
        self.is_market_touched =
            matches!(step, Step::Hear | Step::Edit | Step::Rule | Step::Lead | Step::Restart);
        let count = self.rng.random_range(1..5);
        let (device, node) = (&mut self.devices[at], &self.node);
        match step {
            Step::Connect => {
                // Mostly one that is away; else it replaces its own session.
                let away = self.devices.iter().position(|device| device.session.is_none());
                let at = away.filter(|_| self.rng.random_bool(0.8)).unwrap_or(at);
                self.devices[at].connect(node, now).await;
            }
            Step::Poll => {
                device.poll(node, &mut self.rng).await;
            }
            Step::Deliver => device.deliver(node, now, count, &mut self.rng).await,
            Step::Receive => device.receive(count),
            Step::Ack => device.ack(node, now, &mut self.rng),
            Step::BadAck => device.bad_ack(),
            Step::Cut => device.session = None,
            Step::Heartbeat => device.heartbeat(),
            Step::Create => {
                for _ in 0..count {
                    self.create().await;
                }
            }
            Step::Publish => {
                for _ in 0..count {
                    self.publish().await;
                }
            }
            Step::Cancel => self.cancel().await,
            Step::Hear => self.hear().await,
            Step::Edit => self.edit().await,
            Step::Rule => self.rule().await,
            Step::Lead => self.lead().await,
            Step::Wake => self.wake().await,
            Step::Report => self.report(at).await,
            Step::WriteBehind => self.node.ingest.flush_behind().await.unwrap(),
            Step::Sweep => self.sweep().await,
            Step::JumpClock => self.jump(),
            Step::Trim => self.trim().await,
            Step::Restart => self.restart().await,
        }
    }

    /// A new command, or an old one asked for again with its key.
    async fn create(&mut self) {
        if self.rng.random_bool(0.15)
            && let Some(known) = self.asked.choose(&mut self.rng)
        {
            let (key, body, id) = (known.key.clone(), known.body.clone(), known.id.clone());
            let (again, is_new) = self.ask(&key, &body).await;
            assert_eq!((again, is_new), (id, false), "one key, one command");
            return;
        }
        let device = self.devices.choose(&mut self.rng).unwrap();
        let user = device.user.clone();
        let mut body = json!({ "user_id": user, "data_type": "steps", "value": { "n": 1 } });
        match self.rng.random_range(0..10) {
            // A device is known from its first hello.
            0..4 if device.session.is_some() => body["device_id"] = json!(device.id),
            4 => body["requires"] = json!("scale"),
            5 => body["ttl_s"] = json!(self.rng.random_range(1..120)),
            _ => {}
        }
        self.make(user, body).await;
    }

    /// A new command.
    pub(super) async fn make(&mut self, user: UserId, body: Value) {
        let key = format!("{:016x}", self.rng.random::<u64>());
        let (id, is_new) = self.ask(&key, &body).await;
        assert!(is_new);
        self.asked.push(Asked { id, user, key, body });
    }

    async fn ask(&self, key: &str, body: &Value) -> (CommandId, bool) {
        let request: CreateCommand = serde_json::from_str(&body.to_string()).unwrap();
        let key = Some(("backend".to_owned(), key.to_owned()));
        let command = self.node.ingest.prepare(&request, key).unwrap();
        let created = self.node.ingest.create(vec![command]).await.unwrap().pop().unwrap().unwrap();
        (created.accepted.command_id, created.is_new)
    }

    async fn publish(&mut self) {
        let readers = self.node.store.readers();
        let records = store::record::page(readers, "news", ("", ""), ALL).await.unwrap().rows;
        let present: HashMap<String, bool> =
            records.into_iter().map(|row| (row.id, row.data.is_some())).collect();
        let id = self.rng.random_range(0..8).to_string();
        let is_present = present.get(&id).copied().unwrap_or(false);
        let mut change = json!({ "collection": "c", "id": id });
        let value = json!({ "text": "x".repeat(60), "n": self.rng.random::<u16>() });
        match self.rng.random_range(0..10) {
            0..2 if is_present => change["op"] = json!("delete"),
            2..8 if is_present => {
                change["op"] = json!("patch");
                change["patch"] = json!({ "n": self.rng.random::<u16>() });
            }
            _ => {
                change["op"] = json!("put");
                change["data"] = value;
            }
        }
        let change: RecordChange = serde_json::from_str(&change.to_string()).unwrap();
        self.node.ingest.publish(news(), vec![change], None).await.unwrap();
    }

    async fn cancel(&mut self) {
        if let Some(asked) = self.asked.choose(&mut self.rng) {
            // One that has ended already stays as it is.
            let _ = self.node.ingest.cancel(asked.id.clone()).await;
        }
    }

    /// A device reports some of what it saw, new or old, once or again.
    async fn report(&mut self, at: usize) {
        let device = &self.devices[at];
        let mut seen: Vec<_> = device.client.seen.iter().collect();
        seen.sort_unstable();
        let mut results = Vec::new();
        for (id, attempt) in seen {
            if !self.rng.random_bool(0.15) {
                continue;
            }
            let status = match self.rng.random_range(0..10) {
                0 => Outcome::Rejected,
                1..4 => Outcome::Failed,
                _ => Outcome::Applied,
            };
            let attempt = self.rng.random_bool(0.8).then(|| self.rng.random_range(1..=*attempt));
            let retryable = (status == Outcome::Failed).then(|| self.rng.random_bool(0.7));
            results.push(CommandResult {
                command_id: id.clone(),
                attempt,
                status,
                error: None,
                retryable,
            });
        }
        let known = self.asked.iter().map(|asked| (&asked.id, &asked.user));
        let owners: HashMap<_, _> = known.collect();
        assert!(results.iter().all(|row| owners[&row.command_id] == &device.user), "a stranger's");
        self.send_report(at, results).await;
    }

    pub(super) async fn send_report(&self, at: usize, results: Vec<CommandResult>) {
        let device = &self.devices[at];
        let report = Report {
            user_id: device.user.clone(),
            device_id: device.id.clone(),
            channel: Channel::Socket,
            results,
        };
        let count = report.results.len();
        let rows = self.node.ingest.report(report).await.unwrap();
        assert_eq!(rows.len(), count);
        for row in rows {
            assert_eq!(row.error, None, "{row:?}");
        }
    }

    /// Expiry and retries that are due.
    pub(super) async fn sweep(&self) {
        loop {
            let now = self.around.clock.now().millis();
            let due = store::command::due(self.node.store.readers(), now, 100).await.unwrap();
            if due.is_empty() {
                return;
            }
            self.node.ingest.settle_due(due).await.unwrap();
        }
    }

    /// Mostly forward, sometimes a little back, as clocks that are set right.
    fn jump(&mut self) {
        let by_ms = match self.rng.random_range(0..4) {
            0 => -self.rng.random_range(0..3_000),
            1 => self.rng.random_range(0..120_000),
            _ => self.rng.random_range(0..25_000),
        };
        self.around.hands.move_ms(by_ms);
    }

    pub(super) fn pass_days(&self, days: i64) {
        self.pass_hours(days * 24);
    }

    pub(super) fn pass_hours(&self, hours: i64) {
        self.around.hands.move_ms(hours * 3_600_000);
    }

    /// Removes a part of one stream, as retention does.
    async fn trim(&mut self) {
        let heads = self.heads().await;
        let names: Vec<&String> = heads.keys().collect();
        let Some(name) = names.choose(&mut self.rng) else { return };
        let head = &heads[*name];
        let upto = self.rng.random_range(head.1..=head.0);
        let removed = self.rows(name, head.1).await.into_iter().filter(|row| row.seq <= upto);
        self.trimmed.entry((*name).clone()).or_default().extend(removed);
        let trim = self.node.store.write(|tx| async move {
            store::head::lock(&tx, std::slice::from_ref(*name)).await?;
            let (reached, _) =
                store::journal::remove_upto(&tx, name, head.1, upto, i64::MAX / 2).await?;
            store::head::set_trimmed(&tx, name, reached).await
        });
        trim.await.unwrap();
    }

    /// Everything in memory is gone; the database stays.
    async fn restart(&mut self) {
        for device in &mut self.devices {
            device.session = None;
        }
        // A database file belongs to one node.
        self.node.end().await;
        self.node = Node::open(&self.around, &self.place).await;
    }

    /// Head and highest position removed, of every stream.
    pub(super) async fn heads(&self) -> BTreeMap<String, (i64, i64)> {
        let readers = self.node.store.readers();
        let names = store::head::names(readers, "", 100).await.unwrap();
        let heads = store::head::load(readers, &names).await.unwrap();
        heads.into_iter().map(|(stream, head)| (stream, (head.seq, head.trimmed))).collect()
    }

    pub(super) async fn end(mut self) {
        drop(self.devices);
        self.node.end().await;
    }
}
