//! What must hold: after every step, and at the end when everybody came back.

use std::collections::{BTreeMap, HashMap, HashSet};

use rand::Rng as _;
use tidegate::store;
use tidegate_protocol::command::{CommandResult, Outcome};
use tidegate_protocol::entry::{CommandBody, CommandClosedBody, kind};
use tidegate_protocol::id::{CommandId, UserId};
use tidegate_protocol::limits::COMMAND_ATTEMPTS;

use crate::simulation::client::{Change, Records, fold};
use crate::simulation::connection::{Device, market, news};
use crate::simulation::rows::Row;
use crate::simulation::world::{ALL, World};

/// More turns than any device needs to catch up.
const TURNS: usize = 10_000;

impl World {
    /// acked ≤ sent ≤ read ≤ head, in every session and stream; nobody holds
    /// more than there is, or another user's commands.
    pub(super) async fn check(&self) {
        let heads = self.heads().await;
        let owners: HashMap<&CommandId, &UserId> =
            self.asked.iter().map(|asked| (&asked.id, &asked.user)).collect();
        for device in &self.devices {
            for (name, cursor) in device.client.cursors() {
                assert!(
                    cursor.seq.get() <= heads[name.as_str()].0,
                    "{name} ends before {cursor:?}"
                );
            }
            for id in device.client.seen.keys().chain(device.client.closed.keys()) {
                assert_eq!(owners[id], &device.user, "another user's command");
            }
            let streams = device.session.iter().flat_map(|session| session.machine.streams());
            for stream in streams {
                let (acked, sent, read) = (stream.window.acked(), stream.sent, stream.read);
                let head = heads[stream.id.name.as_str()].0;
                let is_ordered = acked <= sent && sent <= read && read.get() <= head;
                assert!(is_ordered, "{:?}: {acked} ≤ {sent} ≤ {read} ≤ {head}", stream.id);
            }
        }
        let keys: Vec<_> = self.devices.iter().map(Device::key).collect();
        let stored = store::device::cursors(self.node.store.readers(), &keys).await.unwrap();
        for ((device, stream), row) in stored {
            assert!(row.seq <= heads[&stream].0, "{device:?} acked beyond the end of {stream}");
        }
        if self.is_market_touched {
            self.node.check_market().await;
        }
    }

    /// Everybody connects, takes everything, and applies what is open; then
    /// what is left expires.
    pub(super) async fn settle(&mut self) {
        for at in 0..self.devices.len() {
            self.catch_up(at).await;
            self.holds_what_is_open(at).await;
        }
        self.wake_everybody().await;
        for round in 0..3 {
            for at in 0..self.devices.len() {
                self.catch_up(at).await;
                let open = self.devices[at].client.open.iter().cloned();
                let results = open.map(|command_id| CommandResult {
                    command_id,
                    attempt: None,
                    status: Outcome::Applied,
                    error: None,
                    retryable: None,
                });
                self.send_report(at, results.collect()).await;
            }
            if round == 1 {
                self.pass_days(2);
            }
            self.node.ingest.flush_behind().await.unwrap();
            self.sweep().await;
        }
        for at in 0..self.devices.len() {
            self.catch_up(at).await;
        }
        self.check().await;
    }

    /// A device that has caught up holds every command that waits for it.
    /// Those about to expire are left out: a clock that jumps back makes them
    /// come and go.
    async fn holds_what_is_open(&self, at: usize) {
        let (device, readers) = (&self.devices[at], self.node.store.readers());
        let user = device.user.as_str();
        let rows = store::command::open_after(readers, user, 0, ALL).await.unwrap().rows;
        let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        let settled = store::outcome::settled_by(readers, device.id.as_str(), &ids).await.unwrap();
        let lasting_ms = self.around.clock.now().millis() + 3_600_000;
        for row in rows {
            let concerns = device.is_concerned(row.device_id.as_deref(), row.requires.as_deref());
            if concerns && row.expires_at > lasting_ms && !settled.contains(&row.id) {
                let id = CommandId::parse(&row.id).unwrap();
                assert!(device.client.open.contains(&id), "{user} lacks {id} at {}", row.last_seq);
            }
        }
    }

    /// The device takes everything there is, by socket or by polls.
    pub(super) async fn catch_up(&mut self, at: usize) {
        let polls = self.rng.random_bool(0.4);
        for _ in 0..TURNS {
            // A stream may be made by the device's own coming.
            let heads = self.heads().await;
            let now = self.now();
            let (device, node) = (&mut self.devices[at], &self.node);
            if polls {
                if device.poll(node, &mut self.rng).await {
                    return;
                }
                continue;
            }
            if device.session.is_none() {
                device.connect(node, now).await;
            }
            let pages = self.rng.random_range(1..10);
            device.deliver(node, now, pages, &mut self.rng).await;
            device.receive(100);
            device.ack(node, now, &mut self.rng);
            device.heartbeat();
            let cursors = device.client.cursors();
            let is_there = device.streams().iter().all(|name| {
                cursors.get(name).map(|held| held.seq.get())
                    == heads.get(name.as_str()).map(|head| head.0)
            });
            if is_there && device.is_idle() {
                return;
            }
        }
        panic!("a device does not get to the end");
    }
}

/// The account at the end.
pub(super) async fn everything(world: &mut World) {
    let mut journals = BTreeMap::new();
    for (name, (head, trimmed)) in world.heads().await {
        let mut rows = world.trimmed.remove(&name).unwrap_or_default();
        rows.extend(world.rows(&name, trimmed).await);
        let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
        assert_eq!(seqs, (1..=head).collect::<Vec<_>>(), "positions of {name} are dense");
        journals.insert(name, rows);
    }
    let mut ids = HashSet::new();
    for asked in &world.asked {
        assert!(ids.insert(&asked.id), "two commands with one id");
        let stream = format!("user:{}", asked.user);
        let end = end_of(&journals[&stream], asked.id.as_str());
        let row = store::command::get(world.node.store.readers(), asked.id.as_str()).await.unwrap();
        let row = row.expect("nothing accepted vanishes");
        assert_eq!((row.open, row.status.as_str()), (false, end.as_str()));
        for device in world.devices.iter().filter(|device| device.user == asked.user) {
            let told = device.client.closed.get(&asked.id);
            assert!(told.is_none_or(|status| status.as_str() == end), "{told:?} is not {end}");
        }
    }
    let fold_of = |name: &str| journals.get(name).map(|rows| folded(rows)).unwrap_or_default();
    let folds = [news(), market()].map(|name| (present(&fold_of(name.as_str())), name));
    for device in &world.devices {
        assert!(device.client.open.is_empty(), "every end is told: {:?}", device.client.open);
        for (fold, name) in &folds {
            let held = device.client.records.get(name).map(present).unwrap_or_default();
            assert_eq!(&held, fold, "a replica of {name} is the fold");
        }
    }
    newcomers(world).await;
}

/// Who comes new and gets the current state holds what those hold who were
/// there all the time.
async fn newcomers(world: &mut World) {
    for user in ["u1", "u2", "u3"] {
        world.devices.push(Device::new(user, &[]));
        world.catch_up(world.devices.len() - 1).await;
        let (newest, others) = world.devices.split_last().unwrap();
        for other in others.iter().filter(|device| device.user == newest.user) {
            assert_eq!(other.client.conflicts, newest.client.conflicts, "open conflicts of {user}");
            for name in [news(), market()] {
                let of = |device: &Device| device.client.records.get(&name).map(present);
                assert_eq!(of(other).unwrap_or_default(), of(newest).unwrap_or_default());
            }
        }
    }
}

/// The one end of a command, after attempts that count up.
fn end_of(rows: &[Row], id: &str) -> String {
    let mut attempts = 0;
    let mut end = None;
    for row in rows.iter().filter(|row| row.command_id.as_deref() == Some(id)) {
        assert!(end.is_none(), "{id} goes on after its end: {row:?}");
        if row.kind == kind::COMMAND {
            let body: CommandBody = serde_json::from_str(&row.body).unwrap();
            attempts += 1;
            assert_eq!((body.attempt, body.command_id.as_str()), (attempts, id));
        } else {
            let body: CommandClosedBody = serde_json::from_str(&row.body).unwrap();
            end = Some(body.status.as_str().to_owned());
        }
    }
    assert!((1..=COMMAND_ATTEMPTS).contains(&attempts), "{id} has {attempts} attempts");
    end.unwrap_or_else(|| panic!("{id} has no end"))
}

fn folded(rows: &[Row]) -> Records {
    let mut records = Records::new();
    for change in rows.iter().filter_map(|row| Change::read(&row.kind, &row.body)) {
        assert!(fold(&mut records, change), "each entry follows from those before it");
    }
    records
}

/// Records that are there: deleted ones are each side's own memory.
fn present(records: &Records) -> Records {
    let mut records = records.clone();
    records.retain(|_, (_, data)| data.is_some());
    records
}
